"""`nervio ledger …`: the proof of the journal, on the data itself, with the server up or down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from nervio.runtime.cli.output import Exit, JsonFlag, console, show, show_table

app = typer.Typer(help="The journal and its seal.", no_args_is_help=True)

T = TypeVar("T")


@app.command()
def verify(
    export: Annotated[Path | None, typer.Option(help="Compare with this export, which was kept elsewhere.")] = None,
    heads: Annotated[
        Path | None, typer.Option(help="File of saved heads; the one of this installation when left out.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Audit the whole journal: every digest, block, signature and balance. Exit code 4 when something was changed."""
    from nervio.modules.ledger import api as ledger
    from nervio.runtime.backups import heads_path
    from nervio.runtime.keys import find_seal_key

    settings = _settings()
    key = find_seal_key(settings.data_dir)
    trusted = [] if key is None else [ledger.make_signer(key).public_key]
    saved = ledger.read_heads(heads_path(settings) if heads is None else heads)

    def work(connection: Any) -> Any:
        if export is None:
            return ledger.verify(connection, saved, trusted)
        with export.open("rb") as lines:
            return ledger.verify_export(connection, lines, trusted)

    result = _on_database(settings, work)
    show(as_json, asdict(result), lambda: _show(result))
    if not result.verified:
        raise SystemExit(int(Exit.FOUND))


@app.command("export")
def export_journal(
    to: Annotated[Path, typer.Argument(help="File to write.")],
    rows: Annotated[bool, typer.Option(help="Every entry too, not only the chain of blocks.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Write the chain, and the entries, to a file that proves the journal as it is now. Keep it elsewhere."""
    from nervio.modules.ledger import api as ledger

    def work(connection: Any) -> int:
        lines = 0
        with to.open("wb") as file:
            for line in ledger.export(connection, rows=rows):
                file.write(line)
                lines += 1
        return lines

    lines = _on_database(_settings(), work)
    show(as_json, {"path": str(to), "lines": lines}, lambda: console.print(f"{to}: {lines} lines", markup=False))


def _settings() -> Any:
    from nervio.runtime.settings import load_settings

    return load_settings()


def _on_database(settings: Any, work: Callable[[Any], T]) -> T:
    from nervio.db import maintenance
    from nervio.runtime.wiring import build

    build(settings)  # makes every module's tables known
    return asyncio.run(maintenance.run(settings.database_address, work, maintenance.Access.SNAPSHOT))


def _show(result: Any) -> None:
    console.print(
        f"{result.commits} commits, {result.entries} entries, {result.blocks} blocks, {result.unsealed_commits} commits not "
        f"sealed yet, {result.heads} saved heads compared."
    )
    if result.verified:
        console.print(
            "The journal holds."
            if result.heads
            else "The journal agrees with itself; no saved head was there to compare."
        )
        return
    console.print(f"{result.found} findings:", style="bold red")
    show_table(("code", "where", "what"), [(f.code, f.where, f.message) for f in result.findings])
