"""How commands answer: for people on a terminal, as one JSON object with `--json`, and by exit code."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from nervio.kernel.errors import Kind, NervioError

console = Console(highlight=False)
# Not wrapped: a path that is broken in two is no use to whoever copies it, nor to a log that keeps it.
errors = Console(stderr=True, highlight=False, soft_wrap=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]


class Exit(IntEnum):
    """What a command ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PENDING = 3
    FOUND = 4
    UNREACHABLE = 5


_EXIT_OF_KIND = {Kind.INVALID: Exit.USAGE, Kind.UNAVAILABLE: Exit.UNREACHABLE}


def show(as_json: bool, data: Mapping[str, Any], human: Callable[[], object]) -> None:
    """Prints the answer in the form that was asked for."""
    if as_json:
        sys.stdout.write(json.dumps(data, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()
    else:
        human()


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


def show_box(title: str, lines: Sequence[str]) -> None:
    """A box that is not overlooked: for what is shown once."""
    console.print(Panel("\n".join(lines), title=title, expand=False, padding=(1, 3)))
    sys.stdout.flush()


def fail(message: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Ends the command with a message on standard error."""
    errors.print(message, style="bold red", markup=False)
    raise SystemExit(int(code))


@contextlib.contextmanager
def ending_well() -> Iterator[None]:
    """Turns what a command may raise into a message and an exit code; bugs keep their trace."""
    # Late, so that a command that needs none of it does not pay for it.
    from nervio.runtime.lock import DirectoryInUse
    from nervio.runtime.settings import SettingsError

    try:
        yield
    except NervioError as error:
        fail(error.message, _EXIT_OF_KIND.get(error.kind, Exit.FAILED))
    except SettingsError as error:
        fail(str(error), Exit.USAGE)
    except DirectoryInUse as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:
        fail(f"{type(error).__name__}: {error}", Exit.UNREACHABLE)
