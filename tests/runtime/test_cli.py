"""The command line: what it says when something is wrong, and by which exit code."""

import json
import socket
from pathlib import Path

import pytest

from nervio.runtime import cli
from nervio.runtime.cli.output import Exit


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NERVIO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NERVIO_LOG__DIRECTORY", str(tmp_path / "logs"))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command, run in this process."""
    monkeypatch.setattr("sys.argv", ["nervio", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (("serve", "--roles", "web,baker"), {}, "There is no role 'baker'"),
        (("serve", "--only", "bakery"), {}, "There is no module 'bakery'"),
        (("up",), {"NERVIO_SERVER__PORT": "many"}, "NERVIO_SERVER__PORT"),
        (("settings", "--template", "poem"), {}, "--template must be one of example, production"),
        (("demo", "--shop", "bakery"), {}, "There is no demo shop 'bakery'"),
    ],
)
def test_a_wrong_start_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    environment: dict[str, str],
    said: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(monkeypatch, *arguments) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_said_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(monkeypatch, "up", "--port", str(port)) == Exit.USAGE
    said = capsys.readouterr().err
    assert f"port {port}" in said
    assert "NERVIO_SERVER__PORT" in said


def test_settings_and_version_answer_in_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DASHBOARD_API_KEY", "board-key")
    assert run(monkeypatch, "settings", "--json") == Exit.DONE
    shown = capsys.readouterr().out
    assert json.loads(shown)["NERVIO_SECRETS__DASHBOARD_API_KEY"] == "********"
    assert "board-key" not in shown
    assert run(monkeypatch, "version", "--json") == Exit.DONE
    assert json.loads(capsys.readouterr().out)["version"]


def test_a_shop_goes_through_backup_and_restore(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    made = ("user", "create", "ana@shop.test", "--name", "Ana", "--role", "admin", "--json")
    assert run(monkeypatch, *made) == Exit.DONE
    assert run(monkeypatch, "backup", "--to", str(folder / "kept"), "--with-keys", "--json") == Exit.DONE
    path = json.loads(capsys.readouterr().out.splitlines()[-1])["path"]
    monkeypatch.setenv("NERVIO_DATA_DIR", str(folder / "moved"))
    assert run(monkeypatch, "restore", path, "--with-keys", "--json") == Exit.DONE
    assert (folder / "moved" / "keys" / "jwt.key").read_text() == (folder / "data" / "keys" / "jwt.key").read_text()
    capsys.readouterr()
    assert run(monkeypatch, "user", "list", "--json") == Exit.DONE
    users = json.loads(capsys.readouterr().out)["users"]
    assert "ana@shop.test" in {user["email"] for user in users}
    assert run(monkeypatch, "restore", path) == Exit.FAILED
    assert run(monkeypatch, "ledger", "verify") == Exit.DONE


def test_a_stop_and_its_end_are_acknowledged_without_a_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "user", "list", "--json") == Exit.DONE
    assert run(monkeypatch, "stop", "--reason", "fire", "--json") == Exit.DONE
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["halt"]["reason"] == "fire"
    refused = ("user", "create", "eva@shop.test", "--name", "Eva", "--role", "admin")
    assert run(monkeypatch, *refused) == Exit.FAILED
    assert "fire" in capsys.readouterr().err
    assert run(monkeypatch, "resume", "--reason", "over", "--json") == Exit.DONE
