"""The bill as rows of a spreadsheet and as a paper, in Spanish and English."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nervio.kernel.money import format_amount, format_micros
from nervio.kernel.time import to_datetime
from nervio.modules.fleet.contracts import Bill
from nervio.web.lists import Cell, Figure, disarmed
from nervio.web.pdf import Column, Paper

_WORDS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "title": "Trabajo de IA: uso y costo",
        "month": "Mes {month} (días de UTC)",
        "final": "Mes cerrado.",
        "open": "El mes sigue abierto: lo usado hasta el {day} a las {time} UTC.",
        "markup": "Con un recargo del {percent} % sobre el costo.",
        "no_tax": "Resumen de uso. No es un comprobante fiscal.",
        "nothing": "Este mes no se usó nada.",
        "rounding": "Los importes son exactos; solo el total se redondea, una vez.",
        "type": "tipo",
        "line": "uso",
        "total": "total",
        "kind": "Tarea",
        "currency": "Moneda",
        "tasks": "Hechas",
        "input": "Tokens leídos",
        "output": "Tokens escritos",
        "cost": "Costo",
        "charged": "Importe",
        "amount": "Total",
        "no_price": "sin precio",
    },
    "en": {
        "title": "AI work: use and cost",
        "month": "Month {month} (days of UTC)",
        "final": "The month is over.",
        "open": "The month goes on: what was used up to {day} at {time} UTC.",
        "markup": "With a mark-up of {percent}% on the cost.",
        "no_tax": "A summary of use. Not a tax invoice.",
        "nothing": "Nothing was used this month.",
        "rounding": "Amounts are exact; only the total is rounded, once.",
        "type": "type",
        "line": "use",
        "total": "total",
        "kind": "Task",
        "currency": "Currency",
        "tasks": "Done",
        "input": "Tokens read",
        "output": "Tokens written",
        "cost": "Cost",
        "charged": "Amount",
        "amount": "Total",
        "no_price": "no price",
    },
}
_KINDS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "chat": "Pregunta",
        "vision": "Mirar una imagen",
        "embed": "Preparar búsquedas",
        "ocr": "Leer un documento",
        "transcribe": "Pasar audio a texto",
    },
    "en": {
        "chat": "Question",
        "vision": "Look at a picture",
        "embed": "Prepare searches",
        "ocr": "Read a document",
        "transcribe": "Turn audio into text",
    },
}
_HEADS = ("type", "kind", "currency", "tasks", "input", "output", "cost", "charged", "amount")
LONGEST_NAME = 120
"""Characters of a tenant's name on the paper."""


def bill_csv(bill: Bill, language: str) -> Iterator[Sequence[Cell]]:
    """The heading, a row a line, a row a total. Kinds are named as the API names them."""
    words = _WORDS[language]
    yield [words[name] for name in _HEADS]
    for one in bill.lines:
        has_price = bool(one.currency)
        cost = format_micros(one.cost_micros, one.currency) if has_price else ""
        charged = format_micros(one.charged_micros, one.currency) if has_price else ""
        counts = (one.tasks, one.input_tokens, one.output_tokens)
        yield [words["line"], disarmed(one.kind), one.currency, *counts, Figure(cost), Figure(charged), ""]
    for total in bill.totals:
        exact = [format_micros(micros, total.currency) for micros in (total.cost_micros, total.charged_micros)]
        rounded = format_amount(total.amount_minor, total.currency)
        yield [words["total"], "", total.currency, "", "", "", *map(Figure, exact), Figure(rounded)]


def bill_pdf(bill: Bill, language: str) -> bytes:
    """The paper."""
    words = _WORDS[language]
    name = bill.tenant_name[:LONGEST_NAME]
    paper = Paper(f"{words['title']} · {bill.month} · {name}", language, "Nervio")
    paper.heading(words["title"])
    paper.text(name, 12)
    paper.text(words["month"].format(month=bill.month))
    made = to_datetime(bill.made_at)
    paper.text(
        words["final"] if bill.is_final else words["open"].format(day=made.date().isoformat(), time=f"{made:%H:%M}"),
        quiet=True,
    )
    if bill.markup_bp:
        paper.text(words["markup"].format(percent=_grouped(format_percent(bill.markup_bp), language)), quiet=True)
    paper.gap(8)
    if not bill.lines:
        paper.text(words["nothing"])
    else:
        _lines(paper, bill, language)
        _totals(paper, bill, language)
        paper.gap(8)
        paper.text(words["rounding"], 9, quiet=True)
    paper.text(words["no_tax"], 9, quiet=True)
    return paper.finish()


def _lines(paper: Paper, bill: Bill, language: str) -> None:
    words = _WORDS[language]
    columns = (
        Column(words["kind"], 0.27),
        Column(words["tasks"], 0.11, is_figure=True),
        Column(words["input"], 0.16, is_figure=True),
        Column(words["output"], 0.16, is_figure=True),
        Column(words["charged"], 0.30, is_figure=True),
    )
    rows = []
    for one in bill.lines:
        amount = words["no_price"]
        if one.currency:
            amount = f"{one.currency} {_grouped(format_micros(one.charged_micros, one.currency), language)}"
        counts = (one.tasks, one.input_tokens, one.output_tokens)
        rows.append(
            [
                _KINDS[language].get(one.kind, one.kind),
                *(_grouped(str(count), language) for count in counts),
                amount,
            ]
        )
    paper.table(columns, rows)


def _totals(paper: Paper, bill: Bill, language: str) -> None:
    words = _WORDS[language]
    rows = [
        [
            f"{words['amount']} {total.currency}",
            _grouped(format_micros(total.charged_micros, total.currency), language),
            _grouped(format_amount(total.amount_minor, total.currency), language),
        ]
        for total in bill.totals
    ]
    if rows:
        paper.gap(14)
        shares = (
            Column("", 0.4),
            Column(words["charged"], 0.3, is_figure=True),
            Column(words["amount"], 0.3, is_figure=True),
        )
        paper.table(shares, rows, last_bold=len(rows))


def format_percent(basis_points: int) -> str:
    """Hundredths of a per cent as a number of per cents, without zeros at its end."""
    whole, part = divmod(basis_points, 100)
    return f"{whole}.{part:02d}".rstrip("0").rstrip(".")


def _grouped(number: str, language: str) -> str:
    """A plain decimal number as people of a language write it."""
    whole, _, part = number.partition(".")
    grouped = f"{int(whole):,}"
    text = grouped + (f".{part}" if part else "")
    return text.translate(str.maketrans(",.", ".,")) if language == "es" else text
