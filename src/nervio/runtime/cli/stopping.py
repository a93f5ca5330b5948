"""`nervio stop`, `nervio resume` and `nervio status`: straight on the database, with the server up, down or hung."""

from __future__ import annotations

import getpass
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from nervio.runtime.cli.output import JsonFlag, console, show

Reason = Annotated[str, typer.Option(help="Why; it is shown on every screen and kept in the journal.", prompt=True)]
TenantId = Annotated[
    str | None, typer.Option("--tenant", help="Only this shop (its id); the whole installation when left out.")
]
Module = Annotated[str | None, typer.Option(help="Only this module (stock, sales, …).")]
Location = Annotated[str | None, typer.Option(help="Only this location (its id).")]


def stop(
    reason: Reason,
    tenant: TenantId = None,
    module: Module = None,
    location: Location = None,
    level: Annotated[str, typer.Option(help="all, read_only or reduce_only.")] = "all",
    as_json: JsonFlag = False,
) -> None:
    """Stop. When this says so, no write commits any more, on any process."""
    from nervio.modules.safety import api as safety
    from nervio.modules.safety.contracts import Pending

    answer = safety.stop_now(
        _database(), reason, _actor(), tenant_id=tenant, module=module, location_id=location, level=level
    )
    _answer(as_json, answer, "Stopped.", isinstance(answer, Pending))
    raise SystemExit(int(safety.exit_code(answer)))


def resume(
    reason: Reason,
    tenant: TenantId = None,
    module: Module = None,
    location: Location = None,
    level: Annotated[str | None, typer.Option(help="Only stops of this level.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Let go of a stop of exactly this scope."""
    from nervio.modules.safety import api as safety
    from nervio.modules.safety.contracts import Pending

    answer = safety.resume_now(
        _database(), reason, _actor(), tenant_id=tenant, module=module, location_id=location, level=level
    )
    _answer(as_json, answer, "Resumed.", isinstance(answer, Pending))
    raise SystemExit(int(safety.exit_code(answer)))


def _answer(as_json: bool, answer: Any, done: str, pending: bool) -> None:
    data = {"acknowledged": not pending, **asdict(answer)}

    def human() -> None:
        if pending:
            holder = "" if answer.process_id is None else f" Process {answer.process_id} holds the lock."
            console.print(f"NOT acknowledged: {answer.detail}.{holder}", style="bold red", markup=False)
        else:
            console.print(done, style="bold")

    show(as_json, data, human)


def _database() -> Any:
    from nervio.adapters.clock import SystemClock
    from nervio.runtime.databases import open_database
    from nervio.runtime.settings import load_settings

    return open_database(load_settings(), SystemClock())


def _actor() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = "unknown"
    return f"{name}@{sys.platform}"


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(stop)
    app.command()(resume)
