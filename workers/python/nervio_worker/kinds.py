"""Kinds of a module that the command loads: it makes the worker, so they are gathered here first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nervio_worker.desk import Kind

F = TypeVar("F", bound=Callable[..., Any])

_kinds: list[Kind] = []


def kind(name: str, *, batch: int = 1) -> Callable[[F], F]:
    """The function does tasks of that kind, see `Worker.kind`."""

    def add(do: F) -> F:
        _kinds.append(Kind(name, do, batch))
        return do

    return add


def list_kinds() -> list[Kind]:
    """Those that were gathered."""
    return list(_kinds)
