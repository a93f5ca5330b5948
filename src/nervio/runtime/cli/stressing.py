"""`nervio stress`: buyers for the last units against a running server, and the stop in the middle of it."""

from __future__ import annotations

from typing import Annotated

import typer

from nervio.runtime.cli.output import Exit, JsonFlag, console, errors, show, show_table

Url = Annotated[
    list[str], typer.Option("--url", help="Address of the server; give it again for more processes of the same shop.")
]


def stress(
    url: Url = ["http://127.0.0.1:8080"],  # noqa: B006 (Typer copies it)
    buyers: Annotated[int, typer.Option(help="How many buy at once.", min=1, max=1000)] = 32,
    units: Annotated[int, typer.Option(help="How many units there are to be had.", min=1, max=1_000_000)] = 300,
    seconds: Annotated[float, typer.Option(help="How long they buy.", min=1, max=3600)] = 10.0,
    email: Annotated[str, typer.Option(envvar="STRESS_EMAIL", help="An admin of the shop to run it in.")] = "",
    password: Annotated[str, typer.Option(envvar="STRESS_PASSWORD", help="Better given as a variable.")] = "",
    token: Annotated[str, typer.Option(envvar="STRESS_TOKEN", help="A bearer token instead.")] = "",
    api_key: Annotated[str, typer.Option(envvar="STRESS_API_KEY", help="Or an API key.")] = "",
    seed: Annotated[int, typer.Option(help="What the buyers do in which order.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Sell the last units to many buyers at once, cut connections, stop in the middle, and check every promise.

    Makes a product and a place of its own, STOPS THE SHOP for a second or two, and closes what it made. Never in production.
    """
    from nervio.runtime import server
    from nervio.runtime.stress.judging import PROMISES, Verdict
    from nervio.runtime.stress.run import Plan, stress
    from nervio.runtime.stress.shop import Credentials

    plan = Plan(url, Credentials(token, api_key, email, password), buyers, units, seconds, seed)

    def note(text: str) -> None:
        if not as_json:
            errors.print(text, style="dim", markup=False)

    verdict: Verdict = server.run(stress(plan, note))

    def human() -> None:
        rows = [
            (name.replace("_", " "), value, "must be 0" if name in PROMISES else "")
            for name, value in verdict.as_dict().items()
            if name != "broken"
        ]
        show_table(("", "", ""), rows)
        console.print(f"BROKEN: {', '.join(verdict.broken)}" if verdict.broken else "Every promise held.", style="bold")

    show(as_json, verdict.as_dict(), human)
    if verdict.broken:
        raise SystemExit(int(Exit.FOUND))


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(stress)
