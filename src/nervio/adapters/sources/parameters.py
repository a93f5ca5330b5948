"""Parameters written `:nervio_name`, as each driver wants them. No text of a query has that anywhere else: it is refused where a query
is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PARAMETER = re.compile(r":(nervio_\w+)")


def numbered(sql: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """With `$1`, `$2`, … and the values in that order (asyncpg)."""
    places: dict[str, int] = {}
    written = _PARAMETER.sub(lambda found: f"${places.setdefault(found[1], len(places) + 1)}", sql)
    return written, [values[name] for name in places]


def formatted(sql: str) -> str:
    """With `%(name)s`, and every percent sign of the query doubled (PyMySQL)."""
    return _PARAMETER.sub(lambda found: f"%({found[1]})s", sql.replace("%", "%%"))
