"""`nervio events …`: what happens right now, what handlers gave up, and having it tried again."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from functools import partial
from typing import Annotated, Any

import typer

from nervio.runtime.cli.output import Exit, JsonFlag, console, fail, show, show_table

app = typer.Typer(help="What happened, and who could not digest it.", no_args_is_help=True)

POLL_SECONDS = 0.5
PAGE = 500
LARGEST_N = 2**31 - 1


@app.command()
def tail(
    kind: Annotated[
        list[str] | None, typer.Option("--type", help="Only events of this type (several may be given).")
    ] = None,
    tenant_id: Annotated[str | None, typer.Option("--tenant", help="Only those of this shop (its id).")] = None,
    after: Annotated[
        int | None, typer.Option(help="Begin after this position; with what comes next when left out.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="End after so many seconds.", min=0)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show events as they become true, straight from the database, with the server up or down. Ctrl-C ends it."""
    from nervio.db import outbox

    run = _reader()
    position = run(outbox.last_position) if after is None else after
    n, ends_at = LARGEST_N, None if seconds is None else time.monotonic() + seconds
    while True:
        query = partial(outbox.read_after, position=position, n=n, limit=PAGE, tenant_id=tenant_id, types=kind or None)
        events = run(query)
        for event in events:
            _print(event, as_json=as_json)
            position, n = event.position, event.n
        if ends_at is not None and time.monotonic() >= ends_at:
            return
        if len(events) < PAGE:
            time.sleep(POLL_SECONDS)


@app.command()
def dead(as_json: JsonFlag = False) -> None:
    """List what handlers gave up, with the reason. Exit code 4 when there is something."""
    from nervio.db import dead_letters
    from nervio.kernel.time import to_iso

    letters = _reader()(partial(dead_letters.list_letters, tenant_id=None, limit=100_000))
    found = [
        {
            "id": letter.id,
            "tenant_id": letter.event.tenant_id,
            "handler": letter.handler,
            "event_id": letter.event.id,
            "type": letter.event.type,
            "key": letter.event.key,
            "position": letter.event.position,
            "payload": letter.event.payload,
            "reason": letter.reason,
            "attempts": letter.attempts,
            "first_at": to_iso(letter.first_at),
            "last_at": to_iso(letter.last_at),
            "asked_by": letter.asked_by,
        }
        for letter in letters
    ]

    def human() -> None:
        if not found:
            console.print("No dead letters.")
            return
        columns = ("id", "handler", "type", "attempts", "last", "reason")
        rows = [(f["id"], f["handler"], f["type"], f["attempts"], f["last_at"], f["reason"]) for f in found]
        show_table(columns, rows)
        console.print("Have them tried again: nervio events replay ID, or --all")

    show(as_json, {"letters": found}, human)
    if found:
        raise SystemExit(int(Exit.FOUND))


@app.command()
def replay(
    letter_id: Annotated[str | None, typer.Argument(metavar="ID", help="A dead letter.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter of every shop.")] = False,
    from_position: Annotated[
        int | None,
        typer.Option("--from", help="Publish everything from this position again: for a bus that lost it.", min=1),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Have dead letters tried again, or fill Redis or NATS again from the database. No effect happens twice by it."""
    from nervio.runtime.cli.operating import perform_for_person

    if sum((letter_id is not None, everything, from_position is not None)) != 1:
        fail("Give one of: the ID of a dead letter, --all, or --from POSITION.", Exit.USAGE)
    given = {"id": letter_id, "from_position": from_position}
    done = perform_for_person("replay-events", given, as_json=as_json)

    def human() -> None:
        if from_position is not None:
            console.print(f"The relay publishes positions {from_position} to {done['to_position']} again.")
        else:
            console.print(f"{done['letters']} dead letters will be tried again by the process that runs handlers.")

    show(as_json, done, human)


def _print(event: Any, *, as_json: bool) -> None:
    from nervio.kernel.time import to_iso

    if as_json:
        line = {
            "id": event.id,
            "type": event.type,
            "tenant_id": event.tenant_id,
            "key": event.key,
            "position": event.position,
            "n": event.n,
            "recorded_at": to_iso(event.recorded_at),
            "payload": event.payload,
        }
        text = json.dumps(line, ensure_ascii=False)
    else:
        payload = json.dumps(event.payload, ensure_ascii=False)
        text = f"{event.position:>9} {to_iso(event.recorded_at)[11:23]} {event.type:<28} {payload}"
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _reader() -> Any:
    from nervio.db import maintenance
    from nervio.runtime.settings import load_settings
    from nervio.runtime.wiring import build

    settings = load_settings()
    build(settings)  # makes every module's tables known
    file = maintenance.file_of(settings.database_address)
    if file is not None and not file.exists():
        fail(f"There is no database at {file}; nervio up makes one.", Exit.UNREACHABLE)

    def run(query: Any) -> Any:
        return asyncio.run(maintenance.run(settings.database_address, query, maintenance.Access.SNAPSHOT))

    return run
