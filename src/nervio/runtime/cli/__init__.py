"""The command line: one noun-verb scheme, `--json` everywhere, exit codes that mean something.

Owns how a person at a terminal asks and is answered. Promises that `stop` works with the server down or hung, and that a
password is printed once and nowhere else. Never holds a rule: every command calls what the HTTP routes call.
"""

from __future__ import annotations

import sys

import typer

from nervio.runtime.cli import checking, events, keeping, ledger, operating, serving, showing, stopping, stressing
from nervio.runtime.cli.output import ending_well

EXIT_CODES = """
Exit codes: 0 done · 1 refused or failed (the message says why) · 2 wrong usage or settings · 3 stop not acknowledged ·
4 a check found something wrong · 5 the database or the server cannot be reached
"""

app = typer.Typer(
    name="nervio",
    help="Nervio: exact stock, accounted money, and a stop that means stop." + EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for part in (serving, operating, stopping, keeping, showing, stressing, checking):
    part.add_to(app)
app.add_typer(ledger.app, name="ledger")
app.add_typer(events.app, name="events")
app.add_typer(operating.users, name="user")
app.add_typer(operating.tenants, name="tenant")
app.add_typer(operating.alerts, name="alerts")


def main() -> None:
    """Entry point of the `nervio` command."""
    with ending_well():
        app(sys.argv[1:], standalone_mode=True)
