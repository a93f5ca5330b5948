"""The file of saved heads: one signed head a line, outside the database, so that a lost tail of the journal shows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from nervio.kernel.errors import invalid
from nervio.modules.ledger.contracts import SealedHead
from nervio.modules.ledger.domain import head_line, parse_head
from nervio.modules.ledger.store.chain import BlockRow

_TAIL_BYTES = 4096
"""More than the longest line: the last head is found without reading the file."""


class HeadsFile:
    """Appended to by the sealer and by nobody else. A last line that a crash left half-written is no head yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> SealedHead | None:
        """The head saved last; None in a file that is empty or not there."""
        return self._last_whole_line()[0]

    def append(self, heads: Sequence[SealedHead]) -> None:
        """Adds heads; they are on disk when this returns. What a crash left half-written at the end is cut off first."""
        if not heads:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        with self.path.open("ab") as file:
            file.truncate(self._last_whole_line()[1])
            file.write(b"".join(map(head_line, heads)))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_directory(self.path.parent)

    def _last_whole_line(self) -> tuple[SealedHead | None, int]:
        """The last line that is a head, and where it ends."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = file.seek(max(0, size - _TAIL_BYTES))
                tail = file.read()
        except FileNotFoundError:
            return None, 0
        while (end := tail.rfind(b"\n")) >= 0:
            begin = tail.rfind(b"\n", 0, end) + 1
            try:
                return parse_head(tail[begin:end]), start + end + 1
            except ValueError:
                tail = tail[:begin]
        return None, start


def read_heads(path: Path) -> Iterator[SealedHead]:
    """Every head that the file holds at the moment of the call, in the order in which they were saved; none where there is
    no file.

    Call it before the database is read: a head is saved after its block was committed, so what is in the file by then is
    in the database too. One that a sealer adds meanwhile would stand for a block that the reader cannot see.

    Raises `invalid`, when it comes to it, at a line that is not a head, unless it is the last and half-written.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    return _heads_within(path, size)


def _heads_within(path: Path, size: int) -> Iterator[SealedHead]:
    if not size:
        return
    with path.open("rb") as file:
        read = 0
        for number, line in enumerate(file, 1):
            read += len(line)
            if read > size or not line.endswith(b"\n"):
                return
            try:
                head = parse_head(line)
            except ValueError as error:
                raise invalid(
                    "heads_unreadable",
                    f"Line {number} of {path.name} is no sealed head: {error}.",
                    field=f"line {number}",
                ) from error
            yield head


def head_of(block: BlockRow) -> SealedHead:
    """What is saved of a block outside the database."""
    return SealedHead(
        block.height,
        block.to_position,
        block.hash.hex(),
        block.sealed_at,
        block.public_key.hex(),
        block.signature.hex(),
    )


def _sync_directory(directory: Path) -> None:
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:  # Windows cannot open a directory; its file systems keep names in their own log
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
