"""One row for every table, with values that satisfy its checks and point at each other's keys."""

from typing import Any

from sqlalchemy import Boolean, Integer, LargeBinary, Table

ID = "01900000-0000-7000-8000-000000000001"

VALUES: dict[str, dict[str, Any]] = {
    "ad_actions": {"kind": "pause", "state": "intent"},
    "drills": {"outcome": "passed"},
    "fleet_workers": {"status": "idle"},
    "halts": {"level": "all"},
    "journal_postings": {"debit": "cash", "credit": "sales", "amount": 5},
    "payments": {"amount": 5},
    "safety_policies": {"default_level": "all"},
    "queue_items": {"state": "running"},
    "rule_states": {"phase": "tripped"},
    "stock_hold_lines": {"quantity": 5},
    "stock_holds": {"state": "active"},
    "ticket_lines": {"quantity": 5},
    "thaw_requests": {"kind": "thaw"},
    "tickets": {"kind": "sale", "net": 4, "tax": 1, "total": 5, "original_id": None},
}
"""What a check asks for; all other columns get a value of their type. A new table with a check gets a line here."""


def sample_of(table: Table) -> dict[str, Any]:
    """A row for a table as it is in the database, at whatever revision."""
    given = VALUES.get(str(table.name), {})
    return {column.name: given.get(column.name, _value(column.name, column.type)) for column in table.columns}


def _value(name: str, type_: Any) -> Any:
    if name == "id" or name.endswith("_id"):
        return ID
    if isinstance(type_, Boolean):
        return True
    if isinstance(type_, Integer):
        return 1
    if isinstance(type_, LargeBinary):
        return b"\x00\xff"
    return f'"{name}" \N{SNOWMAN} {{"n": 1}}'
