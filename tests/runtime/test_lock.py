"""The lock on a data directory, and the keys in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nervio.runtime import keys
from nervio.runtime.lock import DirectoryInUse, DirectoryLock, find_running

HOLDER = """
import sys, time
from pathlib import Path
from nervio.runtime.lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
lock.take()
lock.announce("http://127.0.0.1:8123")
print("held", flush=True)
time.sleep(60)
"""


def a_holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    with a_holder(tmp_path) as holder:
        with pytest.raises(DirectoryInUse) as refused:
            DirectoryLock(tmp_path).take()
        assert f"process id {holder.pid} at http://127.0.0.1:8123" in str(refused.value)
        assert "NERVIO_DATABASE_URL" in str(refused.value)
        running = find_running(tmp_path)
        assert running is not None
        assert running.pid == holder.pid
        holder.kill()


def test_what_a_killed_process_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    with a_holder(tmp_path) as holder:
        holder.kill()
    assert (tmp_path / "server.json").exists()
    assert find_running(tmp_path) is None
    with DirectoryLock(tmp_path).held():
        assert (tmp_path / "server.pid").read_text(encoding="utf-8") == str(os.getpid())
        assert not (tmp_path / "server.json").exists()
    assert not (tmp_path / "server.pid").exists()


def test_nobody_runs_in_a_folder_that_was_never_used(tmp_path: Path) -> None:
    assert find_running(tmp_path / "new") is None
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps its own rights")
def test_what_is_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with lock.held():
        running = lock.announce("http://127.0.0.1:1")
        assert json.loads((tmp_path / "server.json").read_text(encoding="utf-8"))["token"] == running.token
        assert (tmp_path / "server.json").stat().st_mode & 0o777 == 0o600
    keys.jwt_secret(tmp_path)
    keys.seal_key(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_keys_are_made_once(tmp_path: Path) -> None:
    assert keys.find_seal_key(tmp_path) is None
    assert keys.jwt_secret(tmp_path) == keys.jwt_secret(tmp_path)
    first, second = keys.seal_key(tmp_path), keys.seal_key(tmp_path)
    assert first.public_key() == second.public_key()
    assert len(keys.jwt_secret(tmp_path)) >= 32
