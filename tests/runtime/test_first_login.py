"""The first login: shown as soon as it is made, and never out of reach."""

import asyncio
import json
import re
import socket
from pathlib import Path

import pytest

from nervio.kernel.errors import NervioError
from nervio.modules.identity.contracts import FirstLogin
from nervio.runtime import cli
from nervio.runtime.cli.output import Exit
from nervio.runtime.settings import load_settings
from nervio.runtime.wiring import App, build
from tests.builders import create_sqlite_file
from tests.runtime.program import settings_in

EMAIL = "admin@nervio.local"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own, with an empty database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NERVIO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("NERVIO_LOG__DIRECTORY", str(tmp_path / "logs"))
    monkeypatch.setenv("COLUMNS", "200")
    asyncio.run(create_sqlite_file(tmp_path / "nervio.db"))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command, run in this process."""
    monkeypatch.setattr("sys.argv", ["nervio", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def gets_in(password: str) -> bool:
    """Whether the password is the first superadmin's."""

    async def log_in() -> bool:
        app = build(load_settings())
        async with app.started():
            try:
                await app.authenticator.log_in(EMAIL, password)
            except NervioError:
                return False
        return True

    return asyncio.run(log_in())


def test_a_start_that_fails_after_making_the_login_has_shown_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run(monkeypatch, "up", "--port", str(taken.getsockname()[1])) == Exit.USAGE
    shown = capsys.readouterr().out
    (password,) = re.findall(r"Password +(\S+)", shown)
    assert f"nervio user reset-password {EMAIL}" in shown
    assert gets_in(password)


def test_a_process_without_a_web_server_shows_the_login_too(folder: Path) -> None:
    shown: list[FirstLogin] = []

    async def start() -> None:
        app = build(settings_in(folder))
        app.on_first_login = shown.append
        async with app.started(("sealer",)):
            assert [app.first_login] == shown

    asyncio.run(start())
    assert gets_in(shown[0].password)


def test_a_login_that_was_lost_is_replaced_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def start() -> App:
        app = build(load_settings())
        async with app.started():
            pass
        return app

    first = asyncio.run(start())
    assert (first.first_login is not None, first.unused_login) == (True, None)
    # The output of that start is gone; the next one says what to do, until somebody has logged in.
    assert asyncio.run(start()).unused_login == EMAIL
    assert run(monkeypatch, "user", "reset-password", EMAIL, "--json") == Exit.DONE
    password = json.loads(capsys.readouterr().out)["password"]
    assert first.first_login is not None
    assert not gets_in(first.first_login.password)
    assert gets_in(password)
    assert asyncio.run(start()).unused_login is None
