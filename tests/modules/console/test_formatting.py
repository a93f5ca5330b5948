"""Figures as the shop writes them, by locale and currency, and never through a float."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nervio.modules.console.formatting import NBSP, Formats
from nervio.modules.console.typed import read_figure

ARGENTINA = Formats("es-AR", "ARS", "America/Argentina/Buenos_Aires", "es")
BRITAIN = Formats("en-GB", "GBP", "Europe/London", "en")


@pytest.mark.parametrize(
    ("formats", "minor", "text"),
    [
        (ARGENTINA, 123456789, f"${NBSP}1.234.567,89"),
        (ARGENTINA, -50, f"-${NBSP}0,50"),
        (BRITAIN, 123456, "£1,234.56"),
        (Formats("es-ES", "EUR", "Europe/Madrid", "es"), 123456, f"1234,56{NBSP}€"),
        (Formats("es-ES", "EUR", "Europe/Madrid", "es"), 1234567, f"12.345,67{NBSP}€"),
        (Formats("es-CL", "CLP", "America/Santiago", "es"), 1500, "$1.500"),
        (Formats("es-MX", "MXN", "America/Mexico_City", "es"), 123456, "$1,234.56"),
        (ARGENTINA, 9_007_199_254_740_993, f"${NBSP}90.071.992.547.409,93"),
    ],
)
def test_money(formats: Formats, minor: int, text: str) -> None:
    assert formats.money(minor) == text


@pytest.mark.parametrize(
    ("milli", "text"), [(1000, "1"), (350, "0,35"), (-2500, "-2,5"), (1_234_000, "1.234"), (1, "0,001")]
)
def test_quantities(milli: int, text: str) -> None:
    assert ARGENTINA.quantity(milli) == text


def test_a_change_shows_its_sign() -> None:
    assert [ARGENTINA.signed(milli) for milli in (2000, 0, -2000)] == ["+2", "0", "-2"]


def test_moments_are_those_of_the_shop() -> None:
    late = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
    assert ARGENTINA.when(late) == f"28{NBSP}feb{NBSP}2026, 22:30"
    assert BRITAIN.day(late) == f"1{NBSP}Mar{NBSP}2026"


@pytest.mark.parametrize("text", ["²", "٣", "9" * 5_000, "-" + "9" * 5_000, "--5"])
def test_what_is_no_figure_is_none_however_long(text: str) -> None:
    assert read_figure(text, 2, ",") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0_ms"), (-1, "0_ms"), (0.04, "40_ms"), (0.1, "0,1_s"), (2.34, "2,3_s"), (9.94, "9,9_s"), (9.97, "10_s"),
        (59.4, "59_s"), (59.6, "1_min"), (185, "3_min 5_s"), (3_599.9, "1_h"), (7_800, "2_h 10_min"),
        (90_000, "1_d 1_h"), (86_400_000, "1.000_d"),
    ],
)  # fmt: skip
def test_how_long_something_took_is_told_in_two_units_at_most(seconds: float, text: str) -> None:
    assert ARGENTINA.span(seconds) == text.replace("_", NBSP)
