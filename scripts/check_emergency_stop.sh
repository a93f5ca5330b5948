#!/usr/bin/env bash
# Tries the emergency stop of a running Nervio, step by step, and ends with the first promise that is broken.
#
#   scripts/check_emergency_stop.sh [--complete] [--url URL] [--email EMAIL] [--password PASSWORD]
#
# It STOPS THE WHOLE INSTALLATION for a few seconds and lets it go again, whatever happens in between. A shop that is stopped
# already is left alone. Give a superadmin's login; better by EMERGENCY_EMAIL and EMERGENCY_PASSWORD (or EMERGENCY_TOKEN, a
# bearer token) than by arguments, which every user of the machine can read. EMERGENCY_URL stands for --url.
#
#   basic     status, refused without login, freeze, a request is blocked, status while frozen, unfreeze, works again
#   complete  also: refused without rights, a reason is needed, frozen twice is one stop, what stays reachable, the record of it
#
# Exit codes: 0 every promise held · 1 one is broken · 2 wrong usage or not ready to be tried · 3 STILL FROZEN, see the message
# scripts/check_emergency_stop.ps1 is the same for PowerShell, step by step: change both.
set -uo pipefail

url=${EMERGENCY_URL:-http://127.0.0.1:8080}
email=${EMERGENCY_EMAIL:-}
password=${EMERGENCY_PASSWORD:-}
token=${EMERGENCY_TOKEN:-}
mode=basic
wait_seconds=${EMERGENCY_WAIT_SECONDS:-60}
reason="Check of the emergency stop"

usage() { sed -n '2,16p' "$0" | sed 's/^# \{0,1\}//'; }

while [ $# -gt 0 ]; do
  case $1 in
    --basic) mode=basic ;;
    --complete) mode=complete ;;
    --url | --email | --password)
      [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
      case $1 in --url) url=$2 ;; --email) email=$2 ;; --password) password=$2 ;; esac
      shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "unknown argument: $1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
url=${url%/}
command -v curl >/dev/null || { echo "curl is needed" >&2; exit 2; }

folder=$(mktemp -d) || exit 2
chmod 700 "$folder"
frozen=no
weak_key_id=""
status=000

# -- asking ------------------------------------------------------------------------------------------------------------

# ask METHOD PATH [BODY] [HEADER_FILE]: the status goes to $status, body and headers to files. Secrets travel in files and by
# standard input: the arguments of a process can be read by others.
ask() {
  local options=(--silent --show-error --max-time 20 --output "$folder/body" --dump-header "$folder/headers" --request "$1")
  : >"$folder/body"
  : >"$folder/headers"
  [ -z "${4:-}" ] || options+=(--header "@$4")
  if [ -n "${3:-}" ]; then
    status=$(printf '%s' "$3" | curl "${options[@]}" --header 'Content-Type: application/json' --data-binary @- \
      --write-out '%{http_code}' "$url$2" 2>"$folder/error") || status=000
  else
    status=$(curl "${options[@]}" --write-out '%{http_code}' "$url$2" 2>"$folder/error") || status=000
  fi
}

# field NAME: the first value of that name in the last answer, without quotes.
field() { sed -n "s/.*\"$1\" *: *\"\{0,1\}\([^\",}]*\).*/\1/p" "$folder/body" | head -n 1; }
escape() { printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g'; }

# -- saying ------------------------------------------------------------------------------------------------------------

number=0
current=""
step() {
  number=$((number + 1))
  current=$1
  printf '%2d  %-24s %s\n' "$number" "$1" "$2"
}
broken() {
  printf '    BROKEN: %s\n' "$1" >&2
  printf '    status %s: %s%s\n' "$status" "$(head -c 400 "$folder/body")" "$(head -c 200 "$folder/error" 2>/dev/null)" >&2
  exit 1
}
not_ready() {
  printf '    %s\n' "$1" >&2
  exit 2
}
expect() { [ "$status" = "$1" ] || broken "$2"; }

# -- never left frozen -------------------------------------------------------------------------------------------------

thaw() {
  ask POST /api/admin/emergency/unfreeze "{\"reason\":\"$reason\",\"scope\":\"installation\",\"level\":\"all\"}" "$folder/login"
  [ "$status" = 200 ]
}
clean_up() {
  local ended=$?
  trap - EXIT INT TERM HUP
  if [ "$frozen" = yes ]; then
    for pause in 0 1 2 4 8; do
      sleep "$pause"
      if thaw; then frozen=no; break; fi
    done
    if [ "$frozen" = yes ]; then
      printf 'STILL FROZEN. Resume by hand: nervio resume --reason "%s" (or a second person confirms it in the console).\n' "$reason" >&2
      ended=3
    else
      printf '    let go of the stop again\n' >&2
    fi
  fi
  [ -z "$weak_key_id" ] || ask DELETE "/api/keys/$weak_key_id" "" "$folder/login"
  rm -rf "$folder"
  exit "$ended"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# -- the steps ---------------------------------------------------------------------------------------------------------

freeze_body="{\"reason\":\"$reason\",\"scope\":\"installation\",\"level\":\"all\"}"

step status-public "the status is told to anybody"
ask GET /api/admin/emergency/status
expect 200 "the status must be public"
case $(field active) in
  false) ;;
  true) not_ready "it is stopped already: $(field reason). Nothing was tried." ;;
  *) broken "the status must say whether it is active" ;;
esac

step login "a superadmin is let in"
if [ -z "$token" ]; then
  [ -n "$email" ] && [ -n "$password" ] || not_ready "give EMERGENCY_EMAIL and EMERGENCY_PASSWORD, or EMERGENCY_TOKEN"
  ask POST /api/auth/login "{\"email\":\"$(escape "$email")\",\"password\":\"$(escape "$password")\"}"
  [ "$status" = 200 ] || not_ready "the login was refused (status $status)"
  token=$(field access_token)
fi
(umask 077 && printf 'Authorization: Bearer %s\n' "$token" >"$folder/login")
ask GET /api/products?limit=1 "" "$folder/login"
expect 200 "a request must work before anything is stopped"

step freeze-without-login "a freeze by nobody is refused"
ask POST /api/admin/emergency/freeze "$freeze_body"
if [ "$status" = 200 ]; then frozen=yes; fi
expect 401 "a freeze without login must be answered with 401"
ask POST /api/admin/emergency/unfreeze "$freeze_body"
expect 401 "an unfreeze without login must be answered with 401"

if [ "$mode" = complete ]; then
  step freeze-without-rights "a freeze without rights is refused"
  ask POST /api/keys '{"name":"Check of the emergency stop","roles":["ml_service"]}' "$folder/login"
  expect 201 "a key without rights could not be made"
  weak_key_id=$(field id)
  (umask 077 && printf 'X-API-Key: %s\n' "$(field secret)" >"$folder/weak")
  ask POST /api/admin/emergency/freeze "$freeze_body" "$folder/weak"
  if [ "$status" = 200 ]; then frozen=yes; fi
  expect 403 "a freeze without rights must be answered with 403"
  ask POST /api/admin/emergency/unfreeze "$freeze_body" "$folder/weak"
  expect 403 "an unfreeze without rights must be answered with 403"
  ask DELETE "/api/keys/$weak_key_id" "" "$folder/login"
  weak_key_id=""

  step freeze-without-reason "a freeze without a reason is refused"
  ask POST /api/admin/emergency/freeze '{"reason":"","scope":"installation"}' "$folder/login"
  if [ "$status" = 200 ]; then frozen=yes; fi
  expect 422 "a freeze needs a reason"
fi

step freeze "a superadmin freezes, and it is acknowledged"
frozen=yes # from the moment it is asked for
ask POST /api/admin/emergency/freeze "$freeze_body" "$folder/login"
expect 200 "the freeze was not acknowledged"

step blocked "a request is answered with a typed 503"
ask GET /api/products?limit=1 "" "$folder/login"
expect 503 "a request must be answered with 503 while everything is stopped"
[ "$(field kind)" = halted ] || broken "the 503 must say kind: halted"
[ "$(field reason)" = "$reason" ] || broken "the 503 must give the reason"
grep -qi '^retry-after: *[0-9]' "$folder/headers" || broken "the 503 must carry Retry-After"
ask POST /api/sales '{}' "$folder/login"
expect 503 "a write must be answered with 503 while everything is stopped"

step status-frozen "the status says who, when and why, to anybody"
ask GET /api/admin/emergency/status
expect 200 "the status must be reachable while everything is stopped"
[ "$(field active)" = true ] || broken "the status must say that it is active"
[ "$(field reason)" = "$reason" ] || broken "the status must give the reason"
[ "$(field activated_by)" != null ] && [ "$(field activated_at)" != null ] || broken "the status must say who and when"

if [ "$mode" = complete ]; then
  step freeze-twice "frozen twice is one stop"
  ask POST /api/admin/emergency/freeze "$freeze_body" "$folder/login"
  expect 200 "freezing what is frozen must be acknowledged too"
  [ "$(field already)" = true ] || broken "the second freeze must say that it was so already"

  step reachable "health, login and the record of stops answer"
  ask GET /health
  expect 200 "health must be reachable while everything is stopped"
  ask GET /api/auth/profile "" "$folder/login"
  expect 200 "people must be able to get in while everything is stopped"
  ask GET "/api/admin/emergency/halts?active=true&limit=1" "" "$folder/login"
  expect 200 "the stops in force must be listed"
  [ "$(field reason)" = "$reason" ] || broken "the list must show this stop"
fi

step unfreeze "a superadmin resumes"
thaw
if [ "$status" = 202 ]; then
  broken "the resumption was not acknowledged; where it takes a second person, that person has to confirm it now"
fi
expect 200 "the resumption was not acknowledged"
frozen=no

step works-again "requests work again, and the status is quiet"
deadline=$((SECONDS + wait_seconds))
while :; do
  ask GET /api/products?limit=1 "" "$folder/login"
  [ "$status" != 200 ] || break
  [ "$SECONDS" -lt "$deadline" ] || broken "requests must work again in time"
  sleep 0.2
done
ask GET /api/admin/emergency/status
[ "$(field active)" = false ] || broken "the status must be quiet again"

if [ "$mode" = complete ]; then
  step recorded "who stopped and who resumed is kept"
  ask GET "/api/admin/emergency/halts?active=false&limit=1" "" "$folder/login"
  expect 200 "past stops must be listed"
  [ "$(field reason)" = "$reason" ] && [ "$(field clear_reason)" = "$reason" ] || broken "the last stop must be this one"
  [ "$(field cleared_by)" != null ] || broken "who resumed must be kept"
fi

echo "Every promise held ($mode)."
