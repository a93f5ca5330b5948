"""`nervio backup`, `nervio restore` and `nervio upgrade`: keeping a shop's data safe and current."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from nervio.runtime.cli.output import JsonFlag, console, show


def backup(
    to: Annotated[
        Path | None, typer.Option(help="Folder for the backup; the one of the settings when left out.")
    ] = None,
    with_keys: Annotated[
        bool,
        typer.Option("--with-keys", help="Put the keys of this installation in too; keep such a file locked away."),
    ] = False,
    keep_days: Annotated[int | None, typer.Option(help="Then delete backups of days beyond these.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a consistent backup while sales go on, and read it back before it counts."""
    from nervio.db.backup import create_backup, delete_old_backups
    from nervio.runtime.backups import files_to_keep
    from nervio.runtime.settings import load_settings
    from nervio.runtime.wiring import build

    settings = load_settings()
    app = build(settings)
    folder = settings.backup.directory if to is None else to
    folder.mkdir(parents=True, exist_ok=True)
    made = asyncio.run(
        create_backup(
            settings.database_address,
            folder,
            app.clock.now(),
            files=files_to_keep(settings, with_keys=with_keys),
            keys_included=with_keys,
        )
    )
    deleted = [] if keep_days is None else delete_old_backups(folder, keep_days)
    data = {
        "path": str(made.path),
        "bytes": made.bytes,
        "seconds": round(made.seconds, 2),
        "deleted": list(map(str, deleted)),
    }
    show(
        as_json,
        data,
        lambda: console.print(
            f"{made.path} ({made.bytes / 1e6:.1f} MB, verified) in {made.seconds:.1f} s", markup=False
        ),
    )


def restore(
    file: Path,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there; a SQLite file is put aside.")] = False,
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Take the keys out of the backup too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Put a backup into an empty database, whole or not at all. The server must be down."""
    from nervio.db.backup import restore_backup
    from nervio.runtime.backups import put_back
    from nervio.runtime.settings import load_settings
    from nervio.runtime.wiring import build

    settings = load_settings()
    app = build(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if app.is_exclusive:
        with app.lock.held():
            restored = asyncio.run(restore_backup(settings.database_address, file, force=force))
    else:
        restored = asyncio.run(restore_backup(settings.database_address, file, force=force))
    put = put_back(settings, restored.files, with_keys=with_keys)
    data = {
        "revision": restored.revision,
        "seconds": round(restored.seconds, 2),
        "replaced": None if restored.replaced is None else str(restored.replaced),
        "files": put,
        "manifest": msgspec.to_builtins(restored.manifest),
    }

    def human() -> None:
        console.print(f"Restored {file} in {restored.seconds:.1f} s.", markup=False)
        if restored.replaced is not None:
            console.print(f"The database that was there is now {restored.replaced}.", markup=False)

    show(as_json, data, human)


def upgrade(as_json: JsonFlag = False) -> None:
    """Bring the database to the newest schema."""
    from nervio.db.migrate import upgrade as upgrade_database
    from nervio.runtime.settings import load_settings
    from nervio.runtime.wiring import build

    settings = load_settings()
    build(settings)  # makes every module's tables known
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    revision = asyncio.run(upgrade_database(settings.database_address))
    show(as_json, {"revision": revision}, lambda: console.print(f"The database is at revision {revision}."))


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(backup)
    app.command()(restore)
    app.command()(upgrade)
