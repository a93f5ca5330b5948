"""One plausible context per page, so that tests (and people) can look at every page without a server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from nervio.modules.console.charts import Point, Wording, bar_chart, sparkline
from nervio.modules.console.contracts import SavedView
from nervio.modules.console.formatting import Formats
from nervio.modules.console.i18n import Texts
from nervio.modules.console.rooms.imports.comparing import Candidate, Change, Status
from nervio.modules.console.rooms.vitals.figures import GROUPS, read_vitals
from nervio.modules.console.shell import ROOMS, Halt, Person, Shell
from nervio.modules.console.tables import Choice, Column, Filter, Table
from tests.modules.console import fleet_samples, job_samples, outside_samples, safety_samples
from tests.modules.console.event_samples import safety_events

NOW = datetime(2026, 3, 12, 20, 41, tzinfo=UTC)
ENTRY = "0195a8c2-7f1e-7c3a-9d52-4f0e6b1a2c3d"
PERMISSIONS = frozenset(room.permission for room in ROOMS) | {
    "catalog.write",
    "events.read",
    "events.replay",
    "fleet.submit",
    "fleet.limit",
    "jobs.read",
    "jobs.move",
    "safety.read",
    "safety.stop_installation",
    "safety.rules.read",
    "safety.rules.write",
}
ORDER = Filter("order", "list.newest_first", (Choice("oldest", "Más antiguos primero"),), "list.order")
PLACES = [("loc-1", "Salón"), ("loc-2", "Depósito"), ("loc-3", "Heladera 2")]
GOODS = [
    ("7790895000997", "Gaseosa Cola 2,25 L", "Bebidas", 345000, 42000, 12000),
    ("7790070410120", "Yerba mate suave 1 kg", "Almacén", 489900, 3000, 6000),
    ("7793100111563", "Leche entera sachet 1 L", "Lácteos", 142500, 18000, 10000),
    ("7791813421887", "Galletitas de agua pack × 3", "Almacén", 231000, 0, 5000),
    ("2000010003502", "Queso cremoso por kilo", "Lácteos", 879000, 4350, 2000),
    ("7790040133372", "Alfajor triple chocolate", "Golosinas", 98000, 86000, 24000),
    ("7790742363008", "Dulce de leche clásico 400 g", "Lácteos", 265000, 2000, 4000),
    ("7791290793774", "Detergente limón 750 ml", "Limpieza", 187300, 27000, 6000),
    ("7790387013627", "Arroz largo fino 1 kg", "Almacén", 156000, 31000, 8000),
    ("7790580138950", "Puré de tomate 520 g", "Almacén", 89900, 54000, 12000),
    ("7790150495537", "Té en saquitos × 50", "Almacén", 174000, 1000, 3000),
    ("7798062541129", "Pan de molde integral grande con semillas", "Panadería", 312000, 9000, 4000),
]


def shell(language: str = "es", *, theme: str = "auto", path: str = "/console", halted: bool = False) -> Shell:
    """Return the frame of a signed-in administrator."""
    return Shell(
        path=path,
        tenant_id="0195a8c2-0000-7000-8000-000000000001",
        shop_name="Almacén La Esquina",
        formats=Formats("es-AR", "ARS", "America/Argentina/Buenos_Aires", language),
        theme=theme,
        person=Person("Marina Duarte", "admin", PERMISSIONS),
        halt=_halt() if halted else None,
        csrf="sample",
        location_id="loc-1",
        location_name="Salón",
        locations=tuple(PLACES),
    )


def page_shell(page: str, language: str = "es", theme: str = "auto") -> Shell:
    """Return the frame in which ``page`` is usually seen."""
    frame = shell(language, theme=theme, path=PATHS[page], halted=page == "stopped")
    if page in {"login", "error", "offline"}:
        return Shell(frame.path, "", "Nervio", frame.formats, theme, csrf="sample")
    return frame


def context(page: str, t: Texts) -> dict[str, Any]:
    """Return the context of ``page``."""
    return CONTEXTS[page](t)


def _halt() -> Halt:
    return Halt("Toda la tienda", "all", "Precios mal cargados en góndola 4", "Marina Duarte", NOW)


def _table(path: str, *columns: Column, **state: Any) -> Table:
    name, views = path.rpartition("/")[2], (SavedView("Para pedir el lunes", "q=yerba"), SavedView("Todo", ""))
    return Table(
        path=path, columns=columns, name=name, views=views, shown=12, total=4070, previous_cursor="c0", next_cursor="c2",
        **state,
    )  # fmt: skip


def _rows() -> list[dict[str, Any]]:
    return [
        {
            "sku": f"A-{1040 + i}", "name": name, "barcode": code, "category": category, "price_minor": price,
            "unit_price_minor": price, "available_milli": left, "on_hand_milli": left + (2000 if i % 3 == 0 else 0),
            "reserved_milli": 2000 if i % 3 == 0 else 0, "critical_milli": critical, "critical": left <= critical,
            "location": PLACES[i % 3][1], "active": i != 9,
        }
        for i, (code, name, category, price, left, critical) in enumerate(GOODS)
    ]  # fmt: skip


def _login(t: Texts) -> dict[str, Any]:
    return {"error": t("login.wrong"), "username": "marina", "next": "/console"}


def _setup(_t: Texts) -> dict[str, Any]:
    demo = {"state": "ready", "done": 25900, "total": 25900}
    login = {"email": "demo@nervio.local", "password": "7k2mq-x9p4d-tw3vh-8r5ae"}
    return {"demo": demo, "counts": {"tickets": 25900, "products": 4070}, "login": login, "is_new": True}


def chart(t: Texts) -> Any:
    """Return a day of sales by hour."""
    formats = Formats("es-AR", "ARS", "America/Argentina/Buenos_Aires", t.language)
    sold = [0, 41, 88, 132, 176, 240, 161, 74, 69, 118, 205, 262, 198, 0]
    before = [12, 38, 95, 120, 190, 214, 150, 80, 90, 101, 180, 240, 220, 90]
    points = [Point(f"{8 + i}", v * 100_000, b * 100_000) for i, (v, b) in enumerate(zip(sold, before, strict=True))]
    described = t("dashboard.chart_description", first="8", last="21", most=formats.money(26_200_000), at="19")
    wording = Wording(
        t("dashboard.by_hour"), described, t("dashboard.hour"), t("dashboard.sales"), t("dashboard.chart_before"),
        t("dashboard.show_table"),
    )  # fmt: skip
    return bar_chart(points, wording, formats.money, lambda minor: formats.number(minor // 100_000) + " k")


def _dashboard(t: Texts) -> dict[str, Any]:
    tickets = [
        {"number": f"B-{20418 - i}", "at": NOW - timedelta(minutes=7 * i), "lines": 1 + i * 3 % 7, "document_id": ENTRY,
         "total_minor": -231000 if i == 3 else 431900 + 187350 * (i * 5 % 6), "kind": "return" if i == 3 else "sale"}
        for i in range(6)
    ]  # fmt: skip
    critical = [row for row in _rows() if row["critical"]]
    stats = {"sales_minor": 176_432_050, "tickets": 187, "average_minor": 943_487, "change_percent": 8, "day": NOW}
    light = {"state": "warn", "critical": len(critical)}
    return {"stats": stats, "light": light, "chart": chart(t), "critical": critical, "tickets": tickets}


def _sell(_t: Texts) -> dict[str, Any]:
    return {"kinds": ["cash", "card", "transfer", "wallet"], "favourites": _rows()}


def _products(t: Texts) -> dict[str, Any]:
    edit = {"sku": "A-1041", "name": "Yerba mate suave 1 kg", "barcodes": "7790070410120", "category": "Almacén", "new_sku": "",
            "price": "4.899,00", "cost": "3.200,00", "critical": "seis", "tax": "21", "by_lot": False, "active": True, "errors": {"critical": t("js.count_bad")}}  # fmt: skip
    table = _table(
        "/console/products", Column("name", "col.name", sortable=True, fixed=True), Column("sku", "col.sku", sortable=True, phone=False),
        Column("category", "col.category", phone=False), Column("price", "col.price", numeric=True, sortable=True),
        Column("available", "col.available", numeric=True), sort="name",
    )  # fmt: skip
    return {"table": table, "rows": _rows(), "edit": edit, "categories": ["Almacén"]}


def _stock(t: Texts) -> dict[str, Any]:
    levels = tuple(Choice(v, t(f"stock.level_{v}")) for v in ("critical",))
    table = _table(
        "/console/stock", Column("name", "col.product", sortable=True, fixed=True), Column("location", "col.location", phone=False),
        Column("on_hand", "col.on_hand", numeric=True), Column("reserved", "col.reserved", numeric=True, phone=False),
        Column("available", "col.available", numeric=True), Column("critical", "col.critical", numeric=True, phone=False),
        sort="available", chosen={"location": "loc-1"},
        filters=(Filter("location", "stock.any_location", tuple(Choice(*p) for p in PLACES)),
                 Filter("level", "stock.any_level", levels)),
    )  # fmt: skip
    return {"table": table, "rows": _rows()}


def _stock_product(t: Texts) -> dict[str, Any]:
    kinds = ["sale", "sale", "count", "transfer_in", "sale", "receipt", "adjustment"]
    changes = [-2000, -1000, -1000, 6000, -3000, 24000, -1000]
    balance, movements = 18000, []
    for i, (kind, change) in enumerate(zip(kinds, changes, strict=True)):
        at = NOW - timedelta(hours=5 * i)
        movements.append(
            {"entry_id": ENTRY, "recorded_at": at + timedelta(hours=i // 5), "effective_at": at, "kind": kind,
             "location": PLACES[i % 2][1], "quantity_milli": change, "balance_milli": balance, "actor": "Joaquín",
             "lot": "L240311" if kind == "receipt" else "", "note": "Sachet roto" if kind == "adjustment" else ""}
        )  # fmt: skip
        balance -= change
    levels = [
        {"location_id": i, "location": name, "on_hand_milli": 18000 - 9000 * n, "reserved_milli": 2000 if n == 0 else 0,
         "available_milli": max(0, 16000 - 8000 * n)}
        for n, (i, name) in enumerate(PLACES)
    ]  # fmt: skip
    lots = [
        {"code": f"L2403{n}", "location": "Heladera 2", "expires_on": NOW + timedelta(days=d), "quantity_milli": 6000,
         "state": state}
        for n, d, state in ((11, -1, "expired"), (12, 2, "soon"), (13, 12, "ok"))
    ]  # fmt: skip
    hold = {"reference": "Pedido web 3312", "location": "Salón", "quantity_milli": 2000, "expires_at": NOW}
    values = [30, 28, 25, 24, 20, 17, 15, 39, 36, 33, 31, 28, 26, 22, 20, 18]
    return {
        "product": {"sku": "A-1042", "name": "Leche entera sachet 1 L", "barcode": GOODS[2][0], "price_minor": 142500},
        "levels": levels, "movements": movements, "lots": lots, "holds": [hold], "action": "", "errors": {},
        "locations": PLACES, "spark": sparkline(values, t("stock.spark", low=15, high=39)), "next_cursor": "m2",
    }  # fmt: skip


def _receipts(_t: Texts) -> dict[str, Any]:
    names = ["Distribuidora del Sur", "Lácteos Serenos", "Mayorista Centro", "Molinos Unidos"]
    rows = [
        {"entry_id": ENTRY, "number": f"R-{812 - i}", "supplier": names[i % 4], "location": "Depósito", "lines": 4 + i * 3,
         "at": NOW - timedelta(days=i), "actor": "Joaquín"}
        for i in range(7)
    ]  # fmt: skip
    table = _table(
        "/console/receipts", Column("number", "col.number"), Column("supplier", "col.supplier", phone=False),
        Column("location", "col.location", phone=False), Column("lines", "col.lines", numeric=True),
        Column("at", "col.at"), filters=(ORDER,), chosen={"order": "oldest"},
    )  # fmt: skip
    return {"table": table, "rows": rows}


def _receipt_new(t: Texts) -> dict[str, Any]:
    lines = [
        {"sku": row["sku"], "name": row["name"], "quantity": "24", "lot": "L240318",
         "expires": "2026-03-25", "errors": {"quantity": t("js.count_bad")} if i == 1 else {}}
        for i, row in enumerate(_rows()[:3])
    ]  # fmt: skip
    return {"locations": PLACES, "supplier": "Lácteos Serenos", "document": "0001-00012345", "lines": lines,
            "error": "", "key": "k1"}  # fmt: skip


def _journal(t: Texts) -> dict[str, Any]:
    kinds = ["sale", "sale", "return", "receipt", "sale", "count", "transfer", "sale", "adjustment", "sale"]
    rows = [
        {"id": ENTRY, "position": 482_913 - i, "at": NOW - timedelta(minutes=4 * i), "kind": kind, "actor": "Caja 1",
         "reference": f"B-{20418 - i}", "amount_minor": None if kind in {"count", "transfer"} else 431900 + i * 87_300,
         "quantity_milli": -1000, "sealed": i > 1}
        for i, kind in enumerate(kinds)
    ]  # fmt: skip
    table = _table(
        "/console/journal", Column("position", "col.position", phone=False), Column("at", "col.at"),
        Column("kind", "col.kind"), Column("reference", "col.reference", phone=False),
        Column("amount", "col.amount", numeric=True), Column("sealed", "col.sealed", phone=False),
        filters=(Filter("kind", "journal.any_kind", tuple(Choice(k, t(f"kind.{k}")) for k in ("sale", "return"))),
                 Filter("account", "journal.any_account", tuple(Choice(a, t(f"account.{a}")) for a in ("cash", "receivable"))),
                 ORDER),
    )  # fmt: skip
    return {
        "table": table,
        "rows": rows,
        "seal": {"position": 482_911, "at": NOW, "head": "9f2c61d04be7a8135c"},
    }


def _journal_entry(_t: Texts) -> dict[str, Any]:
    entry = {"id": ENTRY, "position": 482_913, "kind": "sale", "reference": "B-20418", "recorded_at": NOW,
             "effective_at": NOW, "actor": "Caja 1", "reason": "", "document_id": ENTRY, "sealed": True}  # fmt: skip
    money = [
        {"account": "assets:cash:salon", "name": "Caja, Salón", "debit_minor": 726900, "credit_minor": None},
        {"account": "income:sales", "name": "Ventas", "debit_minor": None, "credit_minor": 600744},
        {"account": "liabilities:vat", "name": "IVA débito fiscal", "debit_minor": None, "credit_minor": 126156},
    ]
    goods = [{"sku": r["sku"], "product": r["name"], "place": "Salón", "quantity_milli": -1000} for r in _rows()[:3]]
    return {"entry": entry, "money": money, "goods": goods, "previous_id": ENTRY}  # fmt: skip


def _journal_balances(_t: Texts) -> dict[str, Any]:
    groups = [
        {"title": title, "rows": [{"account": f"{title}:{n}", "name": name, "balance_minor": 91_238_400 + n * 11_000_000}
                                  for n, name in enumerate(names)], "total_minor": 312_440_900}
        for title, names in (("assets", ("Caja", "Tarjetas a cobrar", "Mercadería")), ("liabilities", ("IVA", "Proveedores")),
                             ("income", ("Ventas", "Recargos")), ("expenses", ("Costo de ventas", "Mermas")))
    ]  # fmt: skip
    return {"groups": groups, "as_of": NOW, "balanced": True}


def _users(_t: Texts) -> dict[str, Any]:
    people = [("Marina Duarte", "admin", True), ("Joaquín Ledesma", "deposito", True), ("Rocío Paz", "cashier", True),
              ("Tomás Ibarra", "cashier", False)]  # fmt: skip
    users = [
        {"id": f"u{i}", "name": name, "email": f"{name.split()[0].lower()}@laesquina.example", "role": role, "active": on,
         "last_seen": NOW - timedelta(hours=i * 9) if on else None, "is_me": i == 0}
        for i, (name, role, on) in enumerate(people)
    ]  # fmt: skip
    keys = [{"id": "k1", "name": "Tienda web", "prefix": "nv_4f2a", "role": "negocio", "created_at": NOW},
            {"id": "k2", "name": "Balanza", "prefix": "nv_91bc", "role": "deposito", "created_at": NOW}]  # fmt: skip
    return {"users": users, "keys": keys, "roles": ["admin", "deposito", "negocio", "cashier"], "errors": {}, "open": "",
            "new_key": "nv_4f2a91bc_sample_shown_once", "new_password": None}  # fmt: skip


def _import(t: Texts) -> dict[str, Any]:
    return {"error": t("imports.file_open_quote", row=214), "text": "", "most_bytes": 7_340_032, "most_megabytes": 7}


def _import_preview(t: Texts) -> dict[str, Any]:
    price = Change("col.price", "$ 3.450,00", "$ 3.690,00")
    rows = [
        Candidate(2, "A-1040", "Gaseosa Cola 2,25 L", Status.CHANGED, changes=(price, Change("col.category", "", "Bebidas"))),
        Candidate(3, "A-1041", "Yerba mate suave 1 kg", Status.UNCHANGED),
        Candidate(4, "B-77", "Fideos tirabuzón 500 g", Status.NEW, changes=(Change("col.price", "", "$ 1.250,00"),)),
        Candidate(5, "A-1040", "Gaseosa Cola", Status.REFUSED, t("imports.sku_again", row=2)),
        Candidate(6, "", "", Status.REFUSED, t("imports.too_few_cells")),
    ]  # fmt: skip
    counts = {"new": 1204, "changed": 310, "unchanged": 88_000, "refused": 2}
    return {
        "draft_id": ENTRY, "counts": counts, "total": 89_516, "statuses": list(counts), "status": "", "ignored": ["Costo", "Proveedor"],
        "fields": ["SKU", "nombre", "precio"], "rows": rows, "page": 2, "pages": 896, "savable": 1514,
        "saved": {"created": 200, "updated": 12, "late": 1, "stopped": 1},
    }  # fmt: skip


def _password(t: Texts) -> dict[str, Any]:
    errors = {"again": t("password.differs"), "general": t("login.throttled", seconds=40)}
    return {"email": "marina@laesquina.example", "errors": errors, "done": True}


def _stopped(_t: Texts) -> dict[str, Any]:
    row = {
        "id": "h1",
        "scope": "Toda la tienda",
        "level": "all",
        "reason": _halt().reason,
        "by": "Marina Duarte",
        "since": NOW,
        "may_resume": True,
    }
    return {"halts": [row], "error": ""}  # fmt: skip


def _trips() -> list[dict[str, Any]]:
    low = "Quedan 3 de Yerba mate suave 1 kg en Salón; el nivel crítico es 12 (25 %, la regla salta en 100 %)."
    row = {"rule": "critical_stock", "sentence": low, "is_shadow": False, "action": "pause_campaigns", "reach": "campaigns",
           "outcome": "paused", "at": NOW, "cleared_at": None, "cleared_by": ""}  # fmt: skip
    more = "En Salón se devolvió 24 % de lo vendido; lo habitual es 3 % (21 % de más en 48 tickets, la regla salta en 15 %)."
    shadow = {**row, "rule": "refunds", "sentence": more, "is_shadow": True, "action": "freeze", "outcome": "shadow"}
    return [row, {**row, "outcome": ""}, {**shadow, "cleared_at": NOW, "cleared_by": "Marina Duarte"}]


def _rules(_t: Texts) -> dict[str, Any]:
    lit = {"name": "critical_stock", "mode": "on", "action": "pause_campaigns", "tripped": 2, "of_late": 31, "in_shadow": 0,
           "trips_at": "100 %", "clears_at": "120 %", "danger": "low", "last": _trips()[0]["sentence"], "last_at": NOW,
           "path": "/console/safety/rules/critical_stock"}  # fmt: skip
    quiet = {**lit, "tripped": 0, "last": "", "mode": "shadow", "of_late": 4, "in_shadow": 4, "danger": "high"}
    others = ("refunds", "negative_margin", "running_out", "error_rate")
    rules = [lit, *({**quiet, "name": name} for name in others)]
    rules.append({**quiet, "name": "discounts", "mode": "off", "of_late": 0, "in_shadow": 0})
    return {"rules": rules, "trips": _trips(), "older": "/console/safety/rules?before=x", "tripped": 2}


def _rule(t: Texts) -> dict[str, Any]:
    def number(name: str, label: str, value: str, unit: str, error: str = "") -> dict[str, Any]:
        return {"name": name, "label": label, "value": value, "unit": unit, "least": "0 %", "most": "100 %", "choices": [],
                "error": error}  # fmt: skip

    def choice(name: str, value: str, *choices: str) -> dict[str, Any]:
        return {**number(name, name, value, ""), "choices": list(choices)}

    fields = [
        choice("mode", "on", "off", "shadow", "on"),
        number("trip_excess_bp", "trip_high", "15", "bp"),
        number("clear_excess_bp", "clear_high", "20", "bp", t("problem.rule_clear_not_below")),
        number("window_minutes", "window", "120", "minutes"),
        number("min_samples", "min_samples", "10", "count"),
        choice("action", "freeze", "alert", "freeze"),
        choice("freeze_reach", "location", "module", "location"),
        choice("freeze_level", "reduce_only", "reduce_only", "read_only", "all"),
    ]
    return {"name": "refunds", "fields": fields, "general": "", "may_write": True, "changed_by": "Marina Duarte",
            "changed_at": NOW, "largest": "location", "trips": _trips()[2:], "older": ""}  # fmt: skip


def _vitals(t: Texts) -> dict[str, Any]:
    formats = Formats("es-AR", "ARS", "America/Argentina/Buenos_Aires", t.language)
    counted = {name: 1234.0 for vitals in GROUPS.values() for vital in vitals for name in vital.metrics}
    return {"groups": read_vitals(counted, formats.number), "since": NOW}


def _error(_t: Texts) -> dict[str, Any]:
    return {"status": 404, "kind": "not_found", "detail": "", "request_id": "0195a8c2-7f1e"}


CONTEXTS: dict[str, Callable[[Texts], dict[str, Any]]] = {
    "login": _login, "setup": _setup, "dashboard": _dashboard, "sell": _sell, "products": _products, "stock": _stock,
    "stock_product": _stock_product, "receipts": _receipts, "receipt_new": _receipt_new, "journal": _journal,
    "journal_entry": _journal_entry, "journal_balances": _journal_balances, "users": _users, "import": _import, "import_preview": _import_preview, "password": _password, "stopped": _stopped, "rules": _rules, "vitals": _vitals, "rule": _rule, **safety_samples.CONTEXTS,
    "safety_events": lambda t: safety_events(t, NOW),
    "error": _error, "actions": outside_samples.actions, "offline": lambda _t: {}, **fleet_samples.CONTEXTS, **job_samples.CONTEXTS,
}  # fmt: skip

PATHS = {
    "login": "/console/login", "setup": "/console/setup", "dashboard": "/console", "sell": "/console/sell",
    "products": "/console/products", "stock": "/console/stock", "stock_product": "/console/stock/A-1042",
    "receipts": "/console/receipts", "receipt_new": "/console/receipts/new", "journal": "/console/journal",
    "journal_entry": f"/console/journal/{ENTRY}", "journal_balances": "/console/journal/balances",
    "users": "/console/users", "password": "/console/password",
    "import": "/console/import", "import_preview": f"/console/import/{ENTRY}", "stopped": "/console/stopped",
    "rules": "/console/safety/rules", "rule": "/console/safety/rules/refunds", "actions": "/console/safety/actions", "vitals": "/console/safety/vitals", "error": "/console/nowhere", "offline": "/console/offline", **safety_samples.PATHS,
    "safety_events": "/console/safety/events", **fleet_samples.PATHS, **job_samples.PATHS,
}  # fmt: skip
