"""`.env.example` and `.env.production.template`, written from the tree of settings so that they cannot fall behind it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from nervio.runtime.settings import OLD_NAMES, PREFIX, Settings, variable_of

MASKED = "********"
WIDTH = 116

_PRODUCTION: Mapping[str, str] = {
    "NERVIO_ENVIRONMENT": "production",
    "NERVIO_DATABASE_URL": "postgresql://nervio@postgres:5432/nervio",
    "NERVIO_SERVER__HOST": "0.0.0.0",  # noqa: S104 (inside a container, behind the proxy)
    "NERVIO_SERVER__PUBLIC_URL": "https://shop.example",
    "NERVIO_SECRETS__POSTGRES_PASSWORD": "",
    "NERVIO_SECRETS__JWT_SECRET": "",
}
"""What a production installation sets; empty values are filled in by whoever installs it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A setting in force."""

    variable: str
    value: str
    description: str


def effective(settings: Settings) -> list[Row]:
    """Every setting with its value, secrets masked."""
    rows = []
    for path, field in _fields(Settings, ()):
        value: Any = settings
        for part in path:
            value = getattr(value, part)
        rows.append(
            Row(variable_of(path), MASKED if isinstance(value, SecretStr) else _text(value), field.description or "")
        )
    return rows


def example() -> str:
    """`.env.example`: every variable, all of them optional."""
    head = (
        "# Every setting of Nervio with its default. Copy to .env and take the # off what you change.\n"
        "# Written by `nervio settings --template example`; do not edit."
    )
    return _written(head, {})


def production() -> str:
    """`.env.production.template`: the same with what a production installation sets."""
    head = (
        "# Settings of a production installation. Copy to .env.production, fill in the empty values, keep it secret.\n"
        "# Written by `nervio settings --template production`; do not edit."
    )
    return _written(head, _PRODUCTION)


TEMPLATES: Mapping[str, Callable[[], str]] = {"example": example, "production": production}


def _written(head: str, given: Mapping[str, str]) -> str:
    lines = [head]
    group = ""
    for path, field in _fields(Settings, ()):
        if path[0] != group and len(path) > 1:
            title = Settings.model_fields[path[0]].annotation
            assert isinstance(title, type)
            lines += ["", f"# --- {path[0]}: {' '.join((title.__doc__ or '').split())}"]
            group = path[0]
        name = variable_of(path)
        lines += ["", *textwrap.wrap(field.description or "", WIDTH, initial_indent="# ", subsequent_indent="# ")]
        lines.append(
            f"{name}={given[name]}"
            if name in given
            else f"# {name}={_text(field.get_default(call_default_factory=True))}"
        )
    lines += ["", "# --- Names of earlier systems, read where the setting itself is not given", ""]
    lines += [f"# {old}= (the same as {PREFIX}{path.upper()})" for old, path in OLD_NAMES.items()]
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    # What stands alone before the groups, so that a group is one block.
    fields = list(model.model_fields.items())
    groups = [(n, f) for n, f in fields if isinstance(f.annotation, type) and issubclass(f.annotation, BaseModel)]
    names = {name for name, _ in groups}
    yield from (((*path, name), field) for name, field in fields if name not in names)
    for name, field in groups:
        assert isinstance(field.annotation, type)
        yield from _fields(field.annotation, (*path, name))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    # Of groups by name their names: what is in them may be secret.
    if isinstance(value, tuple | dict):
        return ",".join(map(str, value))
    return value.as_posix() if isinstance(value, Path) else str(value)
