"""Papers as PDF: headings, lines of text and tables on as many pages as they take, in the fonts that every reader has.

Text is WinAnsi (Windows-1252), which has all of Spanish and English; what is beyond is written with its nearest letters or as a
question mark. Nothing is embedded, so a page is a few kilobytes.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import pydyf

WIDTH, HEIGHT = 595.28, 841.89
"""A4 in points."""
MARGIN = 56.0
FOOT = 40.0
LINE = 1.45
"""Of the font's size."""
_GREY = 0.42
_RULE = 0.78
_ELLIPSIS = "…"

# Advance widths of Helvetica from the space to the tilde, in thousandths of its size (Adobe Core 14 AFM). Letters with an accent
# are as wide as without.
_WIDTHS = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556,
    556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
)  # fmt: skip
_BOLD_SHARE = 1.07
"""Helvetica-Bold is wider by less than this, in words as in figures (digits are equal)."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, its share of the paper's width, and whether it holds figures."""

    title: str
    share: float
    is_figure: bool = False


class Paper:
    """A paper that is written from its top to its end."""

    def __init__(self, title: str, language: str, author: str) -> None:
        self._pdf = pydyf.PDF()
        self._title = title
        self._fonts = [self._font("Helvetica"), self._font("Helvetica-Bold")]
        self._pages: list[pydyf.Stream] = []
        self._y = 0.0
        self._pdf.info["Title"] = pydyf.String(title)
        self._pdf.info["Author"] = pydyf.String(author)
        self._pdf.catalog["Lang"] = pydyf.String(language)
        self._pdf.catalog["ViewerPreferences"] = pydyf.Dictionary({"DisplayDocTitle": "true"})
        self._new_page()

    def heading(self, text: str, size: float = 18.0) -> None:
        """A line in bold."""
        self._space(size * LINE)
        self._write(MARGIN, text, size, bold=True, most=WIDTH - 2 * MARGIN)

    def text(self, text: str, size: float = 10.0, *, quiet: bool = False) -> None:
        """Words, broken into lines where they are longer than the paper is wide."""
        for line in _wrap(text, size, WIDTH - 2 * MARGIN):
            self._space(size * LINE)
            self._write(MARGIN, line, size, grey=_GREY if quiet else 0.0)

    def gap(self, points: float = 10.0) -> None:
        """Room between two things; none at the top of a page."""
        self._y -= points

    def table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, size: float = 9.0, last_bold: int = 0
    ) -> None:
        """A table, whose headings stand again on each page; the last `last_bold` rows are sums."""
        self._heads(columns, size)
        for n, row in enumerate(rows):
            if self._y - size * LINE * 1.2 < MARGIN + FOOT:
                self._new_page()
                self._heads(columns, size)
            self._row(columns, row, size, bold=n >= len(rows) - last_bold)

    def finish(self) -> bytes:
        """The file, with the number of each page below it. Nothing can be written after it."""
        for n, page in enumerate(self._pages, 1):
            foot = f"{n} / {len(self._pages)}"
            _show(page, WIDTH - MARGIN - _width(foot, 8), MARGIN - 16, foot, 8, grey=_GREY)
            _show(page, MARGIN, MARGIN - 16, _cut(self._title, 8, 380), 8, grey=_GREY)
        out = io.BytesIO()
        self._pdf.write(out, identifier=True)
        return out.getvalue()

    def _font(self, name: str) -> pydyf.Dictionary:
        font = pydyf.Dictionary(
            {"Type": "/Font", "Subtype": "/Type1", "BaseFont": f"/{name}", "Encoding": "/WinAnsiEncoding"}
        )
        self._pdf.add_object(font)
        return font

    def _new_page(self) -> None:
        stream = pydyf.Stream(compress=True)
        self._pdf.add_object(stream)
        regular, bold = (font.reference for font in self._fonts)
        fonts = pydyf.Dictionary({"R": regular, "B": bold})
        self._pdf.add_page(
            pydyf.Dictionary(
                {
                    "Type": "/Page",
                    "Parent": self._pdf.pages.reference,
                    "MediaBox": pydyf.Array([0, 0, WIDTH, HEIGHT]),
                    "Contents": stream.reference,
                    "Resources": pydyf.Dictionary({"Font": fonts}),
                }
            )
        )
        self._pages.append(stream)
        self._y = HEIGHT - MARGIN

    def _space(self, height: float) -> None:
        if self._y - height < MARGIN + FOOT:
            self._new_page()
        self._y -= height

    def _heads(self, columns: Sequence[Column], size: float) -> None:
        self._row(columns, [column.title for column in columns], size - 1, grey=_GREY)

    def _row(
        self, columns: Sequence[Column], cells: Sequence[str], size: float, *, bold: bool = False, grey: float = 0.0
    ) -> None:
        self._space(size * LINE * 1.2)
        whole, x = WIDTH - 2 * MARGIN, MARGIN
        for column, cell in zip(columns, cells, strict=True):
            width = whole * column.share
            text = _cut(cell, size, width - 6, bold=bold)
            left = x + width - _width(text, size, bold=bold) if column.is_figure else x
            self._write(left, text, size, bold=bold, grey=grey)
            x += width
        page = self._pages[-1]
        page.set_color_rgb(_RULE, _RULE, _RULE, stroke=True)
        page.set_line_width(0.5)
        page.move_to(MARGIN, self._y - size * 0.45)
        page.line_to(WIDTH - MARGIN, self._y - size * 0.45)
        page.stroke()

    def _write(
        self, x: float, text: str, size: float, *, bold: bool = False, grey: float = 0.0, most: float | None = None
    ) -> None:
        shown = text if most is None else _cut(text, size, most, bold=bold)
        _show(self._pages[-1], x, self._y, shown, size, bold=bold, grey=grey)


def _show(
    page: pydyf.Stream, x: float, y: float, text: str, size: float, *, bold: bool = False, grey: float = 0.0
) -> None:
    page.begin_text()
    page.set_color_rgb(grey, grey, grey)
    page.set_font_size("B" if bold else "R", size)
    page.set_text_matrix(1, 0, 0, 1, round(x, 2), round(y, 2))
    # In hexadecimal: no letter of anybody's name is a delimiter there.
    page.stream.append(f"<{_encoded(text).hex()}> Tj".encode())
    page.end_text()


def _encoded(text: str) -> bytes:
    """The text in the fonts' own encoding."""
    found = []
    for letter in text:
        try:
            found.append(letter.encode("cp1252"))
        except UnicodeEncodeError:
            plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore")
            found.append(plain or b"?")
    return b"".join(max(byte, b" ") for byte in found)


def _width(text: str, size: float, *, bold: bool = False) -> float:
    total = 0
    for letter in text:
        code = ord(unicodedata.normalize("NFD", letter)[0])
        total += _WIDTHS[code - 32] if 32 <= code < 127 else 1000 if letter == _ELLIPSIS else 556
    is_figure = not any(letter.isalpha() for letter in text)
    return total * size / 1000 * (_BOLD_SHARE if bold and not is_figure else 1.0)


def _cut(text: str, size: float, most: float, *, bold: bool = False) -> str:
    if _width(text, size, bold=bold) <= most:
        return text
    while text and _width(text + _ELLIPSIS, size, bold=bold) > most:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS


def _wrap(text: str, size: float, most: float) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}".strip()
        if line and _width(longer, size) > most:
            lines.append(line)
            line = word
        else:
            line = longer
    return [_cut(one, size, most) for one in [*lines, line]]
