"""`nervio settings` and `nervio version`."""

from __future__ import annotations

from typing import Annotated

import typer

from nervio import __version__
from nervio.runtime.cli.output import JsonFlag, console, show, show_table


def settings(
    template: Annotated[
        str | None, typer.Option(help="Print a file of variables instead: example or production.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show every setting in force, secrets masked."""
    from nervio.runtime.env_files import TEMPLATES, effective
    from nervio.runtime.settings import SettingsError, load_settings

    if template is not None:
        if template not in TEMPLATES:
            raise SettingsError(f"--template must be one of {', '.join(TEMPLATES)}.")
        typer.echo(TEMPLATES[template](), nl=False)
        return
    rows = effective(load_settings())
    show(
        as_json,
        {row.variable: row.value for row in rows},
        lambda: show_table(("variable", "value", "what it is"), [(r.variable, r.value, r.description) for r in rows]),
    )


def version(as_json: JsonFlag = False) -> None:
    """Show the version."""
    show(as_json, {"version": __version__}, lambda: console.print(__version__))


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("settings")(settings)
    app.command()(version)
