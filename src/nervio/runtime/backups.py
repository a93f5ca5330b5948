"""What goes into a backup beside the database, and comes back out of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from nervio.runtime.env_files import effective
from nervio.runtime.keys import JWT_FILE, SEAL_FILE, VAULT_FILE
from nervio.runtime.lock import write_private
from nervio.runtime.settings import Settings

SETTINGS_FILE = "settings.json"
HEADS_FILE = "seals/heads.jsonl"
KEY_FILES = (f"keys/{JWT_FILE}", f"keys/{SEAL_FILE}", f"keys/{VAULT_FILE}")


def heads_path(settings: Settings) -> Path:
    """The file of sealed heads."""
    directory = settings.ledger.export_directory
    return (settings.data_dir / "seals" if directory is None else directory) / "heads.jsonl"


def files_to_keep(settings: Settings, *, with_keys: bool) -> dict[str, bytes]:
    """The configuration with its secrets masked, the sealed heads, and the keys where they are wanted."""
    values = {row.variable: row.value for row in effective(settings)}
    files = {SETTINGS_FILE: json.dumps(values, indent=1, ensure_ascii=False).encode()}
    with contextlib.suppress(FileNotFoundError):
        files[HEADS_FILE] = heads_path(settings).read_bytes()
    for name in KEY_FILES if with_keys else ():
        with contextlib.suppress(FileNotFoundError):
            files[name] = (settings.data_dir / name).read_bytes()
    return files


def put_back(settings: Settings, files: Mapping[str, bytes], *, with_keys: bool) -> list[str]:
    """Writes the heads, and the keys where they are wanted, beside the restored database; returns what was written.

    Keys of this installation are never overwritten: whoever moves a shop to a new machine starts with an empty folder.
    """
    put = []
    heads = files.get(HEADS_FILE)
    if heads is not None:
        path = heads_path(settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.replace(path.with_name("heads.before-restore.jsonl"))
        path.write_bytes(heads)
        put.append(str(path))
    for name in KEY_FILES if with_keys else ():
        path = settings.data_dir / name
        if name in files and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, files[name].decode())
            put.append(str(path))
    return put
