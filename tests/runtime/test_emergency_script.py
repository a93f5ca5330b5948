"""`scripts/check_emergency_stop.sh` against a real server; its PowerShell twin is compared with it step by step."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.runtime.program import Server, a_server

SCRIPTS = Path(__file__).parents[2] / "scripts"
BASH, POWERSHELL = SCRIPTS / "check_emergency_stop.sh", SCRIPTS / "check_emergency_stop.ps1"


def check(server: Server, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"EMERGENCY_EMAIL": "admin@nervio.local", "EMERGENCY_PASSWORD": server.first_password(), **environment}
    return subprocess.run(
        ["bash", str(BASH), "--url", server.url, *arguments],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def steps(path: Path) -> list[str]:
    """The names of a script's steps, in order."""
    return re.findall(r"^\s*step ([a-z-]+) ", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.IGNORECASE)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None or shutil.which("curl") is None, reason="needs bash and curl")
def test_the_script_tries_the_whole_stop(tmp_path: Path, free_port: int) -> None:
    with a_server(tmp_path, free_port) as server:
        complete = check(server, "--complete")
        assert complete.returncode == 0, complete.stdout + complete.stderr
        assert [line.split()[1] for line in complete.stdout.splitlines()[:-1]] == steps(BASH)
        headers = server.login()
        keys = server.call("GET", "/api/keys", headers=headers).json()["items"]
        assert [key["revoked_at"] is None for key in keys] == [False], "the key without rights was revoked"

        assert server.first_password() not in complete.stdout + complete.stderr
        basic = check(server, "--basic")
        assert basic.returncode == 0, basic.stdout + basic.stderr
        assert len(basic.stdout.splitlines()) < len(complete.stdout.splitlines())

        wrong = check(server, EMERGENCY_PASSWORD="guess")
        assert wrong.returncode == 2, wrong.stdout + wrong.stderr
        it_leaves_a_real_stop_alone(server, headers)
        it_lets_go_when_a_promise_is_broken(server, headers)


def it_leaves_a_real_stop_alone(server: Server, headers: dict[str, str]) -> None:
    server.call("POST", "/api/admin/emergency/freeze", {"reason": "fire"}, headers)
    refused = check(server)
    assert refused.returncode == 2
    assert "fire" in refused.stderr
    assert server.call("GET", "/api/admin/emergency/status").json()["active"] is True
    server.call("POST", "/api/admin/emergency/unfreeze", {"reason": "out"}, headers)


def it_lets_go_when_a_promise_is_broken(server: Server, headers: dict[str, str]) -> None:
    """A script that expects another reason than it gave ends in the middle of the stop."""
    text = BASH.read_text(encoding="utf-8")
    expected = '[ "$(field kind)" = halted ]'
    assert expected in text
    wrong = server.folder / "wrong.sh"
    wrong.write_text(text.replace(expected, '[ "$(field kind)" = closed ]'), encoding="utf-8")
    ended = subprocess.run(
        ["bash", str(wrong), "--url", server.url],
        env={**os.environ, "EMERGENCY_TOKEN": headers["Authorization"].removeprefix("Bearer ")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "BROKEN" in ended.stderr
    assert "let go of the stop again" in ended.stderr
    assert server.call("GET", "/api/admin/emergency/status").json()["active"] is False


def test_both_scripts_take_the_same_steps() -> None:
    assert steps(BASH) == steps(POWERSHELL)
    assert len(steps(BASH)) == 13


def test_both_scripts_ask_the_same_things() -> None:
    """Methods and addresses in order, and what each promise is called when it is broken."""
    asked = re.compile(r"^\s*(?:if \(-not \()?ask (GET|POST|DELETE) [\"']?([^\s\"'?$]+)", re.MULTILINE | re.IGNORECASE)
    promised = re.compile(r"\"((?:a|an|the|who|past|health|people|requests|freezing) [^\"$]{10,})\"")
    bash, powershell = (path.read_text(encoding="utf-8") for path in (BASH, POWERSHELL))
    assert [(m.upper(), p) for m, p in asked.findall(bash)] == [(m.upper(), p) for m, p in asked.findall(powershell)]
    assert set(promised.findall(bash)) == set(promised.findall(powershell))


def test_the_powershell_script_is_well_formed_as_far_as_can_be_told_without_it() -> None:
    """Brackets close in order and every quote ends: there is no PowerShell here to ask."""
    text = re.sub(r"<#.*?#>", "", POWERSHELL.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"'(?:[^']|'')*'", "''", text)
    text = re.sub(r'"(?:[^"`]|`.)*"', '""', text)
    text = re.sub(r"#[^\n]*", "", text)
    assert "'" not in text.replace("''", "")
    pairs, open_ones = {")": "(", "]": "[", "}": "{"}, list[str]()
    for character in text:
        if character in pairs.values():
            open_ones.append(character)
        elif character in pairs:
            assert open_ones and open_ones.pop() == pairs[character], character
    assert open_ones == []
    for keyword in ("param", "try", "finally", "exit"):
        assert re.search(rf"\b{keyword}\b", text), keyword
