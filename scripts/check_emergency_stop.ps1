<#
Tries the emergency stop of a running Nervio, step by step, and ends with the first promise that is broken.

  scripts/check_emergency_stop.ps1 [-Complete] [-Url URL] [-Email EMAIL] [-Password PASSWORD]

It STOPS THE WHOLE INSTALLATION for a few seconds and lets it go again, whatever happens in between. A shop that is stopped
already is left alone. Give a superadmin's login; better by EMERGENCY_EMAIL and EMERGENCY_PASSWORD (or EMERGENCY_TOKEN, a
bearer token) than by arguments, which every user of the machine can read. EMERGENCY_URL stands for -Url.

  basic     status, refused without login, freeze, a request is blocked, status while frozen, unfreeze, works again
  complete  also: refused without rights, a reason is needed, frozen twice is one stop, what stays reachable, the record of it

Exit codes: 0 every promise held, 1 one is broken, 2 wrong usage or not ready to be tried, 3 STILL FROZEN, see the message.
Works with Windows PowerShell 5.1 and PowerShell 7. scripts/check_emergency_stop.sh is the same for bash, step by step:
change both.
#>
param(
    [string]$Url = $(if ($env:EMERGENCY_URL) { $env:EMERGENCY_URL } else { 'http://127.0.0.1:8080' }),
    [string]$Email = $env:EMERGENCY_EMAIL,
    [string]$Password = $env:EMERGENCY_PASSWORD,
    [string]$Token = $env:EMERGENCY_TOKEN,
    [switch]$Basic,
    [switch]$Complete
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
Add-Type -AssemblyName System.Net.Http

$mode = if ($Complete) { 'complete' } else { 'basic' }
$waitSeconds = if ($env:EMERGENCY_WAIT_SECONDS) { [int]$env:EMERGENCY_WAIT_SECONDS } else { 60 }
$reason = 'Check of the emergency stop'
$base = $Url.TrimEnd('/')
$client = New-Object System.Net.Http.HttpClient
$client.Timeout = [TimeSpan]::FromSeconds(20)
$script:frozen = $false
$script:weakKeyId = ''
$script:status = 0
$script:text = ''
$script:body = $null
$script:retryAfter = ''
$script:number = 0
$exitCode = 0

# -- asking ------------------------------------------------------------------------------------------------------------

$nobody = @{}
$login = @{}
$weak = @{}

# Ask METHOD PATH BODY HEADERS: what came back is in $script:status, $script:body and $script:retryAfter.
function Ask([string]$Method, [string]$Path, [string]$Json, [hashtable]$Headers) {
    $script:status = 0
    $script:text = ''
    $script:body = $null
    $script:retryAfter = ''
    $request = New-Object System.Net.Http.HttpRequestMessage((New-Object System.Net.Http.HttpMethod($Method)), ($base + $Path))
    if ($Headers) {
        foreach ($name in $Headers.Keys) { [void]$request.Headers.TryAddWithoutValidation($name, [string]$Headers[$name]) }
    }
    if ($Json) {
        $request.Content = New-Object System.Net.Http.StringContent($Json, [Text.Encoding]::UTF8, 'application/json')
    }
    try {
        $answer = $client.SendAsync($request).GetAwaiter().GetResult()
        $script:status = [int]$answer.StatusCode
        $script:text = $answer.Content.ReadAsStringAsync().GetAwaiter().GetResult()
        $values = $null
        if ($answer.Headers.TryGetValues('Retry-After', [ref]$values)) { $script:retryAfter = @($values)[0] }
        try { $script:body = $script:text | ConvertFrom-Json } catch { $script:body = $null }
    }
    catch {
        $script:text = $_.Exception.Message
    }
}

# Field NAME: the value of that name in the last answer, in its first item or in the key or halt it is about.
function Field([string]$Name) {
    $places = @($script:body)
    foreach ($inner in 'key', 'halt', 'items') {
        if ($script:body -and $script:body.PSObject.Properties[$inner] -and $script:body.$inner) {
            $places += @($script:body.$inner)[0]
        }
    }
    foreach ($place in $places) {
        if ($place -and $place.PSObject.Properties[$Name]) { return $place.$Name }
    }
    return $null
}

# -- saying ------------------------------------------------------------------------------------------------------------

function Step([string]$Name, [string]$What) {
    $script:number += 1
    Write-Output ('{0,2}  {1,-24} {2}' -f $script:number, $Name, $What)
}
function Broken([string]$Why) {
    $shown = $script:text
    if ($shown.Length -gt 400) { $shown = $shown.Substring(0, 400) }
    [Console]::Error.WriteLine("    BROKEN: $Why")
    [Console]::Error.WriteLine("    status $($script:status): $shown")
    throw 'broken'
}
function NotReady([string]$Why) {
    [Console]::Error.WriteLine("    $Why")
    throw 'not ready'
}
function Expect([int]$Status, [string]$Why) {
    if ($script:status -ne $Status) { Broken $Why }
}

# -- never left frozen -------------------------------------------------------------------------------------------------

$freezeBody = @{ reason = $reason; scope = 'installation'; level = 'all' } | ConvertTo-Json -Compress

function Thaw {
    Ask POST '/api/admin/emergency/unfreeze' $freezeBody $login
}

# -- the steps ---------------------------------------------------------------------------------------------------------

try {
    Step status-public "the status is told to anybody"
    Ask GET '/api/admin/emergency/status' '' $nobody
    Expect 200 "the status must be public"
    $active = Field active
    if ($active -eq $true) { NotReady "it is stopped already: $(Field reason). Nothing was tried." }
    if ($active -ne $false) { Broken "the status must say whether it is active" }

    Step login "a superadmin is let in"
    if (-not $Token) {
        if (-not ($Email -and $Password)) { NotReady 'give EMERGENCY_EMAIL and EMERGENCY_PASSWORD, or EMERGENCY_TOKEN' }
        $credentials = @{ email = $Email; password = $Password } | ConvertTo-Json -Compress
        Ask POST '/api/auth/login' $credentials $nobody
        if ($script:status -ne 200) { NotReady "the login was refused (status $($script:status))" }
        $Token = Field access_token
    }
    $login['Authorization'] = "Bearer $Token"
    Ask GET '/api/products?limit=1' '' $login
    Expect 200 "a request must work before anything is stopped"

    Step freeze-without-login "a freeze by nobody is refused"
    Ask POST '/api/admin/emergency/freeze' $freezeBody $nobody
    if ($script:status -eq 200) { $script:frozen = $true }
    Expect 401 "a freeze without login must be answered with 401"
    Ask POST '/api/admin/emergency/unfreeze' $freezeBody $nobody
    Expect 401 "an unfreeze without login must be answered with 401"

    if ($mode -eq 'complete') {
        Step freeze-without-rights "a freeze without rights is refused"
        Ask POST '/api/keys' '{"name":"Check of the emergency stop","roles":["ml_service"]}' $login
        Expect 201 "a key without rights could not be made"
        $script:weakKeyId = Field id
        $weak['X-API-Key'] = Field secret
        Ask POST '/api/admin/emergency/freeze' $freezeBody $weak
        if ($script:status -eq 200) { $script:frozen = $true }
        Expect 403 "a freeze without rights must be answered with 403"
        Ask POST '/api/admin/emergency/unfreeze' $freezeBody $weak
        Expect 403 "an unfreeze without rights must be answered with 403"
        Ask DELETE "/api/keys/$($script:weakKeyId)" '' $login
        $script:weakKeyId = ''

        Step freeze-without-reason "a freeze without a reason is refused"
        Ask POST '/api/admin/emergency/freeze' '{"reason":"","scope":"installation"}' $login
        if ($script:status -eq 200) { $script:frozen = $true }
        Expect 422 "a freeze needs a reason"
    }

    Step freeze "a superadmin freezes, and it is acknowledged"
    $script:frozen = $true # from the moment it is asked for
    Ask POST '/api/admin/emergency/freeze' $freezeBody $login
    Expect 200 "the freeze was not acknowledged"

    Step blocked "a request is answered with a typed 503"
    Ask GET '/api/products?limit=1' '' $login
    Expect 503 "a request must be answered with 503 while everything is stopped"
    if ((Field kind) -ne 'halted') { Broken "the 503 must say kind: halted" }
    if ((Field reason) -ne $reason) { Broken "the 503 must give the reason" }
    if ($script:retryAfter -notmatch '^[0-9]') { Broken "the 503 must carry Retry-After" }
    Ask POST '/api/sales' '{}' $login
    Expect 503 "a write must be answered with 503 while everything is stopped"

    Step status-frozen "the status says who, when and why, to anybody"
    Ask GET '/api/admin/emergency/status' '' $nobody
    Expect 200 "the status must be reachable while everything is stopped"
    if ((Field active) -ne $true) { Broken "the status must say that it is active" }
    if ((Field reason) -ne $reason) { Broken "the status must give the reason" }
    if (-not ((Field activated_by) -and (Field activated_at))) { Broken "the status must say who and when" }

    if ($mode -eq 'complete') {
        Step freeze-twice "frozen twice is one stop"
        Ask POST '/api/admin/emergency/freeze' $freezeBody $login
        Expect 200 "freezing what is frozen must be acknowledged too"
        if ((Field already) -ne $true) { Broken "the second freeze must say that it was so already" }

        Step reachable "health, login and the record of stops answer"
        Ask GET '/health' '' $nobody
        Expect 200 "health must be reachable while everything is stopped"
        Ask GET '/api/auth/profile' '' $login
        Expect 200 "people must be able to get in while everything is stopped"
        Ask GET '/api/admin/emergency/halts?active=true&limit=1' '' $login
        Expect 200 "the stops in force must be listed"
        if ((Field reason) -ne $reason) { Broken "the list must show this stop" }
    }

    Step unfreeze "a superadmin resumes"
    Thaw
    if ($script:status -eq 202) {
        Broken "the resumption was not acknowledged; where it takes a second person, that person has to confirm it now"
    }
    Expect 200 "the resumption was not acknowledged"
    $script:frozen = $false

    Step works-again "requests work again, and the status is quiet"
    $deadline = [DateTime]::UtcNow.AddSeconds($waitSeconds)
    while ($true) {
        Ask GET '/api/products?limit=1' '' $login
        if ($script:status -eq 200) { break }
        if ([DateTime]::UtcNow -ge $deadline) { Broken "requests must work again in time" }
        Start-Sleep -Milliseconds 200
    }
    Ask GET '/api/admin/emergency/status' '' $nobody
    if ((Field active) -ne $false) { Broken "the status must be quiet again" }

    if ($mode -eq 'complete') {
        Step recorded "who stopped and who resumed is kept"
        Ask GET '/api/admin/emergency/halts?active=false&limit=1' '' $login
        Expect 200 "past stops must be listed"
        if (((Field reason) -ne $reason) -or ((Field clear_reason) -ne $reason)) { Broken "the last stop must be this one" }
        if (-not (Field cleared_by)) { Broken "who resumed must be kept" }
    }
    Write-Output "Every promise held ($mode)."
}
catch {
    $exitCode = if ($_.Exception.Message -eq 'not ready') { 2 } else { 1 }
    if (@('not ready', 'broken') -notcontains $_.Exception.Message) { [Console]::Error.WriteLine($_.Exception.Message) }
}
finally {
    # Also on Ctrl-C.
    if ($script:frozen) {
        foreach ($pause in 0, 1, 2, 4, 8) {
            Start-Sleep -Seconds $pause
            Thaw
            if ($script:status -eq 200) { $script:frozen = $false; break }
        }
        if ($script:frozen) {
            [Console]::Error.WriteLine("STILL FROZEN. Resume by hand: nervio resume --reason '$reason' (or a second person confirms it in the console).")
            $exitCode = 3
        }
        else { [Console]::Error.WriteLine('    let go of the stop again') }
    }
    if ($script:weakKeyId) { Ask DELETE "/api/keys/$($script:weakKeyId)" '' $login }
}
exit $exitCode
