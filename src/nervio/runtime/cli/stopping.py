"""`nervio stop`, `nervio resume` and `nervio status`: straight on the database, with the server up, down or hung."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nervio.kernel.errors import invalid
from nervio.runtime.cli.operating import perform_for_person
from nervio.runtime.cli.output import Exit, JsonFlag, console, fail, show, show_table

if TYPE_CHECKING:
    from nervio.modules.safety.contracts.halts import InFlight, Thawed

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
    level: Annotated[
        str | None, typer.Option(help="all, read_only or reduce_only; the policy's (all by default) when left out.")
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", help="How long: 90s, 30m, 2h or 1d. Until somebody resumes when left out.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Stop. When this says so, no write commits any more, on any process."""
    from nervio.modules.safety import api as safety
    from nervio.modules.safety.contracts.halts import Pending

    seconds = None if lasting is None else seconds_of(lasting)
    answer = safety.stop_now(
        _database(),
        reason,
        _actor(),
        tenant_id=tenant,
        module=module,
        location_id=location,
        level=level,
        for_seconds=seconds,
    )
    done = "Stopped." if lasting is None else f"Stopped for {lasting}."
    left = [] if isinstance(answer, Pending) else [_on_its_way(one) for one in answer.in_flight]
    _answer(as_json, answer, [done, *left], isinstance(answer, Pending))
    raise SystemExit(int(safety.exit_code(answer)))


def resume(
    reason: Reason,
    tenant: TenantId = None,
    module: Module = None,
    location: Location = None,
    level: Annotated[str | None, typer.Option(help="Only stops of this level.")] = None,
    stages: Annotated[
        str | None,
        typer.Option(help="policy: read, then reduce, then all. none: at once. As the policy says by default."),
    ] = None,
    break_glass: Annotated[
        bool,
        typer.Option(
            "--break-glass", help="Override two people and stages. It says what it overrides, and so does the journal."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Let go of a stop of exactly this scope. Where the policy wants two people this asks, and another confirms in the console."""
    from nervio.modules.safety import api as safety
    from nervio.modules.safety.contracts.halts import Pending, Stages

    if stages is not None and stages not in {each.value for each in Stages}:
        fail("--stages is policy or none.", Exit.USAGE)
    answer = safety.resume_now(
        _database(),
        reason,
        _actor(),
        tenant_id=tenant,
        module=module,
        location_id=location,
        level=level,
        stages=None if stages is None else Stages(stages),
        break_glass=break_glass,
    )
    _answer(as_json, answer, [] if isinstance(answer, Pending) else _resumed(answer), isinstance(answer, Pending))
    raise SystemExit(int(safety.exit_code(answer)))


def drill(
    tenant: Annotated[str, typer.Option(help="A shop, by its slug; the whole installation when left out.")] = "",
    module: Annotated[str | None, typer.Option(help="Only this module of the shop.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The installation, the shop and each of its modules.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Try the stop through the real path, on a scope that nobody works in: no till notices."""
    arguments = {"tenant": tenant, "module": module, "all": everything}
    report = perform_for_person("drill", arguments, as_json=as_json)

    def human() -> None:
        rows = [
            (
                "installation" if one["tenant_id"] is None else "shop",
                one["module"] or "all of it",
                "passed" if not one["findings"] else "FAILED: " + ", ".join(one["findings"]),
                "" if one["freeze_us"] is None else f"{one['freeze_us'] / 1000:.1f}",
                "" if one["everywhere_us"] is None else f"{one['everywhere_us'] / 1000:.1f}",
                one["processes"],
            )
            for one in report["drills"]
        ]
        show_table(("Whose", "Part", "Outcome", "Frozen after ms", "Everywhere after ms", "Processes"), rows)

    show(as_json, report, human)
    if not report["passed"]:
        raise SystemExit(int(Exit.FOUND))


def seconds_of(text: str) -> float:
    """A length of time as people write it. Raises `invalid`."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit():
        raise invalid("invalid_expiry", "Write how long as a number and s, m, h or d: 90s, 30m, 2h, 1d.", field="for")
    return float(number) * _UNITS[unit]


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _on_its_way(order: InFlight) -> str:
    return (
        f"Already on its way, and not to be called back: {order.kind} of campaign {order.campaign_id} "
        f"on {order.platform} (order {order.action_id})."
    )


def _resumed(answer: Thawed) -> list[str]:
    from nervio.kernel.time import to_iso

    lines = [f"BROKEN GLASS: this overrode {words}." for words in answer.overridden]
    lines += [
        "Nothing is resumed yet: this takes two people. Somebody else confirms in the console until "
        f"{to_iso(request.expires_at)} (request {request.id})."
        for request in answer.requested
    ]
    lines += [
        f"Thawing in stages: {halt.level} now. A running scheduler takes the next ones." for halt in answer.thawing
    ]
    if not lines or answer.cleared:
        lines.append(
            "Resumed." if answer.cleared or not answer.remaining else "Nothing of exactly this scope was stopped."
        )
    return lines


def _answer(as_json: bool, answer: Any, done: Sequence[str], pending: bool) -> None:
    data = {"acknowledged": not pending, **asdict(answer)}

    def human() -> None:
        if pending:
            holder = "" if answer.process_id is None else f" Process {answer.process_id} holds the lock."
            console.print(f"NOT acknowledged: {answer.detail}.{holder}", style="bold red", markup=False)
        else:
            for line in done:
                console.print(line, style="bold", markup=False)

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
    app.command()(drill)
