"""The backup file: a ZIP of one text file a table, a few small files, and a manifest with a checksum for each.

The rows are JSON arrays, one a line, the same whichever database they came from: a shop can move from SQLite to PostgreSQL,
and a person with nothing but an archive tool can still read them in twenty years. Written and read as a stream.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from nervio.db.writes import Row
from nervio.kernel.errors import Kind, NervioError

SUFFIX = ".nervio"
FORMAT = 1
ROWS_A_CHUNK = 5000
MANIFEST = "manifest.json"

_READ_BYTES = 1 << 20
_COMPRESSION_LEVEL = (
    1  # the journal shrinks to a quarter at once; more effort would make a backup the machine's main work
)

# What a column's values are in the file. Bytes are base64; a database's own booleans and ids read the same everywhere.
_KINDS: dict[str, Any] = {
    "text": str | None,
    "int": int | None,
    "number": float | None,
    "bool": bool | None,
    "bytes": bytes | None,
}

_SIGNS_OF_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    msgspec.MsgspecError,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,
    OverflowError,
    OSError,
    struct.error,
)
"""What a ZIP file that was cut, overwritten or never was one makes the readers raise."""


class TableEntry(msgspec.Struct, frozen=True):
    """A table in the archive; `columns` are (name, kind) pairs."""

    columns: tuple[tuple[str, str], ...]
    rows: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What an archive holds and what it was made of. Written last, so an archive without it is not one."""

    format: int
    nervio: str
    revision: str
    created_at: str
    source: str
    keys_included: bool
    tables: dict[str, TableEntry]
    files: dict[str, str]
    """Name and SHA-256 of everything that is not a table."""

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables.values())


class ArchiveWriter:
    """Writes an archive piece by piece. The file is complete only after `finish`."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("xb")
        os.chmod(path, 0o600)  # noqa: PTH101  # it holds a shop's whole life
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION_LEVEL)
        self._encoder = msgspec.json.Encoder()
        self._tables: dict[str, TableEntry] = {}
        self._files: dict[str, str] = {}

    def add_table(self, name: str, columns: Sequence[tuple[str, str]], chunks: Iterable[Sequence[Row]]) -> None:
        """Adds a table's rows as they come."""
        digest, count = hashlib.sha256(), 0
        with self._zip.open(_member(name), "w", force_zip64=True) as member:
            for rows in chunks:
                text = self._encoder.encode_lines(rows)
                digest.update(text)
                member.write(text)
                count += len(rows)
        self._tables[name] = TableEntry(tuple(columns), count, digest.hexdigest())

    def add_file(self, name: str, content: bytes) -> None:
        """Adds a small file."""
        self._zip.writestr(name, content)
        self._files[name] = hashlib.sha256(content).hexdigest()

    def finish(self, *, nervio: str, revision: str, created_at: str, source: str, keys_included: bool) -> Manifest:
        """Writes the manifest and makes the file durable."""
        manifest = Manifest(
            format=FORMAT,
            nervio=nervio,
            revision=revision,
            created_at=created_at,
            source=source,
            keys_included=keys_included,
            tables=self._tables,
            files=self._files,
        )
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return manifest

    def abandon(self) -> None:
        """Lets go of an archive that will not be finished."""
        with suppress(OSError):  # the disk that is full is why
            self._file.close()
        self._zip.fp = None  # or it would write its directory to the closed file when it is collected


class ArchiveReader:
    """Reads an archive; whatever is wrong with it is a NervioError `backup_damaged` that says what."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._damage():
            self._zip = zipfile.ZipFile(path)
            try:
                self.manifest = msgspec.json.decode(self._zip.read(MANIFEST), type=Manifest)
            except BaseException:
                self._zip.close()
                raise
        if self.manifest.format > FORMAT:
            self._zip.close()
            raise NervioError(
                Kind.CONFLICT,
                "backup_newer",
                f"{path.name} is in backup format {self.manifest.format}; this Nervio reads up to {FORMAT}. Use a newer Nervio.",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._zip.close()

    def check(self) -> None:
        """Reads everything and compares checksums and counts with the manifest."""
        for name, entry in self.manifest.tables.items():
            with self._damage():
                count = sum(block.count(b"\n") for block in self._blocks(_member(name), entry.sha256))
            if count != entry.rows:
                raise self._damaged(f"{name} has {count} rows, {entry.rows} were written")
        for name in self.manifest.files:
            self.read_file(name)

    def read_rows(self, name: str) -> Iterator[list[Row]]:
        """A table's rows in chunks; the checksum is judged when the last one has been read."""
        entry = self.manifest.tables[name]
        with self._damage():
            decoder = msgspec.json.Decoder(tuple[tuple(_KINDS[kind] for _, kind in entry.columns)])  # type: ignore[misc]
            rest = b""
            for block in self._blocks(_member(name), entry.sha256):
                whole, newline, tail = block.rpartition(b"\n")
                if newline:
                    yield decoder.decode_lines(rest + whole)
                    rest = tail
                else:
                    rest += tail
            if rest:
                yield decoder.decode_lines(rest)

    def read_file(self, name: str) -> bytes:
        """A small file, checked."""
        with self._damage():
            content = self._zip.read(name)
            self._compare(name, hashlib.sha256(content).hexdigest(), self.manifest.files[name])
        return content

    def _blocks(self, member: str, sha256: str) -> Iterator[bytes]:
        digest = hashlib.sha256()
        with self._zip.open(member) as raw, io.BufferedReader(raw, _READ_BYTES) as stream:  # type: ignore[type-var]
            while block := stream.read(_READ_BYTES):
                digest.update(block)
                yield block
        self._compare(member, digest.hexdigest(), sha256)

    def _compare(self, name: str, found: str, written: str) -> None:
        if found != written:
            raise self._damaged(f"{name} does not match its checksum")

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NervioError(
                Kind.NOT_FOUND, "backup_not_found", f"There is no file {self.path}.", path=str(self.path)
            ) from None
        except _SIGNS_OF_DAMAGE as error:
            raise self._damaged(str(error) or type(error).__name__) from error

    def _damaged(self, detail: str) -> NervioError:
        return NervioError(
            Kind.INVALID,
            "backup_damaged",
            f"{self.path.name} is no complete backup: {detail}. Use another one; nothing was changed.",
            path=str(self.path),
            detail=detail,
        )


def _member(table: str) -> str:
    return f"tables/{table}.jsonl"
