"""`nervio up` and `nervio serve`: the server."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from nervio.modules.identity.contracts import FirstLogin
from nervio.runtime.cli.output import console, show_box

Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)]
Host = Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 for every network of this machine.")]


def up(port: Port = None, host: Host = None) -> None:
    """Start everything in one process: the console, the API, and the work behind them."""
    from nervio.runtime.roles import ROLES

    _serve(list(ROLES), [], port, host)


def serve(
    roles: Annotated[str, typer.Option(help="Roles of this process, separated by commas.")] = "web",
    only: Annotated[str, typer.Option(help="Serve these modules only, separated by commas (stock,sales).")] = "",
    port: Port = None,
    host: Host = None,
) -> None:
    """Start some roles, or a web process for some modules. More than one process needs PostgreSQL."""
    _serve(_split(roles), _split(only), port, host)


def _serve(roles: list[str], only: list[str], port: int | None, host: str | None) -> None:
    from nervio.runtime import server
    from nervio.runtime.logs import set_up_logs
    from nervio.runtime.settings import load_settings
    from nervio.runtime.wiring import build

    changed: dict[str, Any] = {}
    if port is not None:
        changed["port"] = port
    if host is not None:
        changed["host"] = host
    settings = load_settings(server=changed) if changed else load_settings()
    set_up_logs(settings.log)
    app = build(settings)
    app.on_first_login = _show_first_login

    def ready(url: str) -> None:
        console.print(f"Nervio answers at {url} (API: {url}/docs). Ctrl-C ends it.")
        if app.first_login is not None:
            console.print("To try a shop with a year of real sales:  nervio demo")
        elif app.unused_login is not None:
            console.print(
                "Nobody has logged in yet. If the first password was lost / si se perdió la contraseña inicial:"
            )
            console.print(f"  nervio user reset-password {app.unused_login}")
        sys.stdout.flush()

    server.run(server.serve(app, roles, only, ready))


def _show_first_login(first: FirstLogin) -> None:
    show_box(
        "Nervio",
        [
            f"Login      {first.email}",
            f"Password   {first.password}",
            "",
            "The password is shown this once: write it down and change it after the first login.",
            "Esta contraseña se muestra una sola vez: anotala y cambiala después de entrar.",
            "",
            f"Lost it? / ¿La perdiste?  nervio user reset-password {first.email}",
        ],
    )


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(up)
    app.command()(serve)
