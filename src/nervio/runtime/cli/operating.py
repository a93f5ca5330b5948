"""`nervio demo`, `nervio user …`, `nervio tenant …` and `nervio alerts …`: work on a shop, through the running server where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nervio.kernel.errors import Kind, NervioError
from nervio.runtime.cli.output import Exit, JsonFlag, console, errors, show, show_box, show_table

DEMO_EMAIL = "demo@nervio.local"

users = typer.Typer(help="People who may log in.", no_args_is_help=True)
alerts = typer.Typer(help="Alerts and where they go.", no_args_is_help=True)
tenants = typer.Typer(help="Shops of this installation.", no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="The shop, by its slug; the first one when left out.")]


def demo(
    shop: Annotated[str, typer.Option(help="retail: a year of real sales · minimarket: 67,939 products.")] = "retail",
    days: Annotated[int | None, typer.Option(help="Only the first days of the year.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Load a demo shop through the real write path and check every invariant. Running it twice changes nothing."""
    report = perform_for_person("demo", {"shop": shop, "days": days}, as_json=as_json)
    sound = report["oversold"] == 0 and report["ledger_balanced"] and report["seal_verified"]

    def human() -> None:
        show_table(("", ""), [(name.replace("_", " "), value) for name, value in report.items()])
        console.print("Everything adds up." if sound else "Something does not add up: see above.")
        _show_demo_login(shop)

    show(as_json, report, human)
    if not sound:
        raise SystemExit(int(Exit.FOUND))


@users.command("create")
def create_user(
    email: str,
    name: Annotated[str, typer.Option(help="The person's name.")],
    role: Annotated[list[str], typer.Option(help="admin, deposito, negocio, ml_service, cashier or superadmin.")],
    tenant: Tenant = "",
    as_json: JsonFlag = False,
) -> None:
    """Create a user; the password is made up and shown once."""
    made = perform_for_person(
        "create-user", {"tenant": tenant, "email": email, "name": name, "roles": role}, as_json=as_json
    )
    show(as_json, made, lambda: _show_password(made))


@users.command("reset-password")
def reset_password(email: str, tenant: Tenant = "", as_json: JsonFlag = False) -> None:
    """Give a user a new password, shown once; their sessions end."""
    made = perform_for_person("reset-password", {"tenant": tenant, "email": email}, as_json=as_json)
    show(as_json, made, lambda: _show_password(made))


@users.command("list")
def list_users(tenant: Tenant = "", as_json: JsonFlag = False) -> None:
    """List the users of a shop."""
    found = perform_for_person("list-users", {"tenant": tenant}, as_json=as_json)
    rows = [(u["email"], u["name"], " ".join(u["roles"]), "" if u["active"] else "off") for u in found["users"]]
    show(as_json, found, lambda: show_table(("email", "name", "roles", ""), rows))


@tenants.command("create")
def create_tenant(
    slug: str,
    name: Annotated[str, typer.Option(help="The shop's name.")],
    admin_email: Annotated[str, typer.Option(help="Email of its first administrator.")],
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "ARS",
    as_json: JsonFlag = False,
) -> None:
    """Create a shop with its first administrator, whose password is shown once."""
    given = {"slug": slug, "name": name, "currency": currency, "admin_email": admin_email, "admin_name": admin_email}
    made = perform_for_person("create-tenant", given, as_json=as_json)
    show(as_json, made, lambda: _show_password({"email": admin_email, **made}))


@alerts.command("test")
def try_alerts(tenant: Tenant = "", as_json: JsonFlag = False) -> None:
    """Send a TestAlert to every destination of a shop and say whether it arrived."""
    report = perform_for_person("test-alert", {"tenant": tenant}, as_json=as_json)
    rows = [(one["name"], one["kind"], one["state"] or "-", one["words"]) for one in report["destinations"]]

    def human() -> None:
        show_table(("destination", "kind", "state", "words"), rows)
        console.print("It arrived everywhere." if arrived else "It did not arrive everywhere: see above.")

    arrived = bool(report["sent"]) and not report["failed"] and not report["waiting"]
    show(as_json, report, human)
    if not arrived:
        raise SystemExit(int(Exit.FOUND))


def perform_for_person(name: str, arguments: Mapping[str, Any], *, as_json: bool) -> dict[str, Any]:
    """The result of an operation, with a bar on the terminal while it works."""
    from nervio.runtime import server
    from nervio.runtime.logs import set_up_logs
    from nervio.runtime.operations import perform
    from nervio.runtime.settings import load_settings
    from nervio.runtime.wiring import build

    settings = load_settings()
    set_up_logs(settings.log)
    app = build(settings)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=as_json or not errors.is_terminal,
    ) as bar:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=of)
            bar.update(tasks[stage], completed=done, total=of)

        if not as_json:
            app.on_first_login = lambda first: _show_password({"email": first.email, "password": first.password})
        result: dict[str, Any] = server.run(perform(app, name, arguments, progress))
    if app.first_login is not None and as_json:
        result = {**result, "first_login": {"email": app.first_login.email, "password": app.first_login.password}}
    return result


def _show_demo_login(shop: str) -> None:
    """A login of the shop's own: it is a tenant beside the first, whose people cannot see into it."""
    from nervio.runtime.operations import SHOPS

    slug = SHOPS[shop].slug
    given = {"tenant": slug, "email": DEMO_EMAIL, "name": "Demo", "roles": ["admin"]}
    try:
        _show_password(perform_for_person("create-user", given, as_json=False))
    except NervioError as refusal:
        if refusal.kind is not Kind.CONFLICT:
            raise
        console.print(
            f"Log in as {DEMO_EMAIL}; for a new password: nervio user reset-password {DEMO_EMAIL} --tenant {slug}"
        )


def _show_password(made: Mapping[str, Any]) -> None:
    if made.get("password") is None:
        console.print(f"{made['email']}: done.")
        return
    show_box("Shown once", [f"Login      {made['email']}", f"Password   {made['password']}"])


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(demo)
