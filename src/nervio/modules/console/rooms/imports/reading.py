"""A file of somebody's spreadsheet as rows: its encoding, its separator, its columns, and why it cannot be read."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST_ROWS = 100_000
SEPARATORS = (";", ",", "\t")
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

HEADINGS = {
    "sku": "sku|codigo|cod|code|codigo interno|codigo de producto|codigo producto|referencia|ref|item code|product code",
    "name": "nombre|name|descripcion|description|producto|product|articulo|titulo|title|detalle|item",
    "price": "precio de venta|precio venta|pvp|sale price|selling price|precio|price|precio unitario|unit price|importe",
    "category": "categoria|category|rubro|familia|departamento|seccion|grupo|department|group",
    "barcodes": "codigo de barras|codigos de barras|codigo barras|cod barras|barras|barcode|barcodes|bar code|ean|ean13"
    "|ean 13|gtin|upc",
    "tax": "iva|impuesto|alicuota|tasa|tax|vat|tax rate|vat rate",
    "tax_bp": "tax rate bp",
    "currency": "moneda|divisa|currency",
    "tracked": "controla stock|lleva stock|tracked",
    "by_lot": "por lote|lleva lotes|by lot",
    "active": "activo|activa|se vende|active|enabled",
}
"""What a column may be called, without accents, signs and capitals; of two columns for one field the name further left
here wins. Those of our own file are among them."""

_FIELD_OF = {heading: field for field, headings in HEADINGS.items() for heading in headings.split("|")}
_RANK = {heading: rank for headings in HEADINGS.values() for rank, heading in enumerate(headings.split("|"))}


class UnreadableFile(Exception):
    """The file as a whole is no list of products; `reason` is the end of a text's key, `values` fill its gaps."""

    def __init__(self, reason: str, **values: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.values = values


@dataclass(frozen=True, slots=True)
class Row:
    """A row by its number in the spreadsheet; `cells` by field. `fault` says what is wrong with its form, or nothing."""

    number: int
    cells: dict[str, str]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What was read: the fields found, the headings that mean nothing to us, and the rows."""

    fields: tuple[str, ...]
    ignored: tuple[str, ...]
    rows: tuple[Row, ...]


def decode(raw: bytes) -> str:
    """The text of a file in UTF-8, UTF-16 or, where it is neither, as Windows and Latin-1 wrote it."""
    if not raw.strip(b"\x00\t\r\n \xff\xfe\xef\xbb\xbf"):
        raise UnreadableFile("empty")
    if raw.startswith(_SPREADSHEETS):
        raise UnreadableFile("spreadsheet")
    text = _decoded(raw)
    if any(unicodedata.category(c) == "Cc" and c not in "\t\r\n" for c in set(text)):
        raise UnreadableFile("no_text")
    return text


def _decoded(raw: bytes) -> str:
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return _strictly(raw[len(mark) :], encoding)
    # Without a mark, text of Latin letters in UTF-16 has a zero in every other byte.
    sample = raw[:2000]
    if sample.count(0) > len(sample) // 3:
        return _strictly(raw, "utf-16-be" if sample[0] == 0 else "utf-16-le")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        # A file in Latin-1 may end in «é», which looks like the beginning of a letter in UTF-8. It is one where UTF-8 was
        # read before it, or where the byte is one that no Spanish text in Latin-1 has.
        was_utf8 = not raw[: error.start].isascii() or raw[error.start] in {0xC2, 0xC3}
        if error.reason == "unexpected end of data" and was_utf8:
            raise UnreadableFile("cut") from None
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _strictly(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        cut = error.reason in {"truncated data", "unexpected end of data"}
        raise UnreadableFile("cut" if cut else "no_text") from None


def read_sheet(text: str) -> Sheet:
    """The rows of a text. Raises UnreadableFile where it holds no header we know, or its quotes do not close."""
    if not text.strip():
        raise UnreadableFile("empty")
    records = _records(text)
    headings: list[str] = []
    start = 0
    for start, headings in records:  # noqa: B007 (the loop goes on below from where this one stops)
        if any(cell.strip() for cell in headings):
            break
    while headings and not headings[-1].strip():
        headings.pop()
    fields = _fields_of(headings)
    rows = []
    for number, cells in records:
        if any(cell.strip() for cell in cells):
            rows.append(_row(number, cells, fields))
        if len(rows) > MOST_ROWS:
            raise UnreadableFile("too_many_rows", most=MOST_ROWS)
    if not rows:
        raise UnreadableFile("no_rows", row=start)
    known = tuple(field for field in fields if field)
    ignored = tuple(heading.strip() for heading, field in zip(headings, fields, strict=True) if not field)
    return Sheet(known, ignored, tuple(rows))


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            ended = "unexpected end of data" in str(error) or "field limit" in str(error)
            raise UnreadableFile("open_quote" if ended else "quotes", row=number) from None
        yield number, cells


def _separator(text: str) -> str:
    first = next(line for line in text.splitlines() if line.strip())
    bare = re.sub(r'"[^"]*"', "", first)
    return max(SEPARATORS, key=bare.count)


def _fields_of(headings: Sequence[str]) -> list[str]:
    """The field of each column; empty for one that means nothing to us."""
    best: dict[str, int] = {}
    plain = [_plain(heading) for heading in headings]
    for at, heading in enumerate(plain):
        field = _FIELD_OF.get(heading)
        if field is None:
            continue
        if field in best and plain[best[field]] == heading:
            raise UnreadableFile("same_column", found=_quoted([headings[at]]))
        if field not in best or _RANK[heading] < _RANK[plain[best[field]]]:
            best[field] = at
    if not best:
        raise UnreadableFile("no_header", found=_quoted(headings))
    if "sku" not in best:
        raise UnreadableFile("no_sku", found=_quoted(headings))
    return [next((field for field, place in best.items() if place == at), "") for at in range(len(headings))]


def _row(number: int, cells: list[str], fields: Sequence[str]) -> Row:
    while len(cells) > len(fields) and not cells[-1].strip():
        cells.pop()
    named = {field: _typed(cell) for field, cell in zip(fields, cells, strict=False) if field}
    if len(cells) == len(fields):
        return Row(number, named)
    return Row(number, named, "too_few_cells" if len(cells) < len(fields) else "too_many_cells")


def _typed(cell: str) -> str:
    """A cell as it was typed: our own files put an apostrophe before what a spreadsheet would run as a formula."""
    text = cell.strip()
    return text[1:] if text[:1] == "'" and text[1:].lstrip()[:1] in {*"=+-@", "＝", "＋", "－", "＠"} else text


def _plain(heading: str) -> str:
    decomposed = unicodedata.normalize("NFKD", heading.lower())
    letters = "".join(c if c.isalnum() else " " for c in decomposed if not unicodedata.combining(c))
    return " ".join(letters.split())


def _quoted(headings: Sequence[str]) -> str:
    shown = [f"«{heading.strip()[:40]}»" for heading in headings[:8]]
    return ", ".join(shown) + ("…" if len(headings) > len(shown) else "")
