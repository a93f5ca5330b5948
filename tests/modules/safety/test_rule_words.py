"""What a rule says when it trips: in both languages, with the figures, as people write them."""

import pytest

from nervio.modules.safety.domain.rule_kinds import KINDS
from nervio.modules.safety.domain.rule_words import LANGUAGES, format_figure, sentence

FIGURES: dict[str, int | str] = {
    "available_milli": 2_500,
    "critical_milli": 5_000,
    "product": "Yerba 1 kg",
    "location": "Centro",
    "window_days": 14,
    "sold_milli": 30_000,
    "net_minor": 123_456,
    "cost_minor": 150_000,
    "samples_count": 12,
    "now_bp": 1_234,
    "usual_bp": 300,
    "given_minor": 5_000,
    "list_minor": 20_000,
    "first": "Yerba 1 kg",
    "waiting_count": 3,
    "errors_count": 4,
}


@pytest.mark.parametrize("rule", sorted(KINDS))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_rule_says_why_with_every_figure(rule: str, language: str) -> None:
    said = sentence(rule, language, KINDS[rule].unit, "ARS", 7, 5, FIGURES)
    assert "—" not in said
    assert "{" not in said
    assert said.endswith(".")


def test_the_two_languages_say_different_things() -> None:
    for rule, kind in KINDS.items():
        spanish, english = (sentence(rule, one, kind.unit, "ARS", 7, 5, FIGURES) for one in LANGUAGES)
        assert spanish != english


def test_a_sentence_in_full() -> None:
    said = sentence("critical_stock", "es", "percent", "ARS", 50, 100, FIGURES)
    assert said == (
        "Quedan 2,5 de Yerba 1 kg en Centro; el nivel crítico es 5 (50 %, la regla salta en 100 %)."
    )  # fmt: skip
    assert sentence("negative_margin", "en", "bp", "ARS", -2_150, -1, FIGURES) == (
        "Yerba 1 kg was sold at a margin of -21.5 %: ARS 1234.56 without tax, and it costs ARS 1500.00 (the worst of 12 lines; "
        "the rule trips at -0.01 %)."
    )


def test_a_language_that_is_not_spoken_is_answered_in_spanish_and_a_missing_figure_shows() -> None:
    assert sentence("ads_without_stock", "pt", "minor", "CLP", 1_500, 1, {}) == (
        "Las campañas de — gastan CLP 1500 por día y no hay stock (la regla salta en CLP 1)."
    )


@pytest.mark.parametrize(
    ("value", "unit", "language", "text"),
    [
        (1, "days", "es", "1 día"),
        (2, "days", "en", "2 days"),
        (1_234_567, "minor", "es", "ARS 12.345,67"),
        (1_234_567, "minor", "en", "ARS 12,345.67"),
        (1_250, "bp", "es", "12,5 %"),
        (90, "seconds", "en", "90 s"),
        (-1, "bp", "en", "-0.01 %"),
    ],
)
def test_figures_are_written_as_people_write_them(value: int, unit: str, language: str, text: str) -> None:
    assert format_figure(value, unit, "ARS", language) == text
