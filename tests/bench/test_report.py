"""Goals, the JSON object and the page: what scripts and readers rely on."""

import json

import pytest

from bench.document import rewritten, section
from bench.report import Report, as_json, cell, goals_of, met

REPORT = Report(
    bench="stock",
    figures={"ratio": 35.1, "p99_ms": 25.0},
    goals={"ratio": ">= 30", "p99_ms": "<= 20", "absent": "== 0"},
    table=[{"contender": "a", "sold/s": 12.5}, {"contender": "b", "left out": "npm | node"}],
    machine={"cores": "2"},
    legend={"a": "the first"},
)


@pytest.mark.parametrize(
    ("goal", "value", "expected"),
    [
        (">= 30", 30.0, True),
        (">= 30", 29.99, False),
        ("<= 20", 20.0, True),
        ("<= 20", 20.01, False),
        ("== 0", 0, True),
        ("== 0", 1, False),
        ("> 0.9", 0.9, False),
        ("< 5", 4, True),
    ],
)
def test_a_goal_is_met_at_its_bound_and_not_beyond(goal: str, value: float, expected: bool) -> None:
    assert met(goal, value) is expected


@pytest.mark.parametrize("goal", [">= 30", "<= 20", "== 0"])
def test_what_was_not_measured_meets_no_goal(goal: str) -> None:
    assert met(goal, None) is False


@pytest.mark.parametrize("goal", ["30", "=> 30", ">=30", ">= thirty", ">= "])
def test_a_goal_that_cannot_be_read_is_an_error_even_without_a_value(goal: str) -> None:
    with pytest.raises(ValueError, match=r"goal|float"):
        met(goal, None)


def test_goals_carry_the_value_of_their_figure() -> None:
    assert goals_of(REPORT) == {
        "ratio": {"goal": ">= 30", "value": 35.1, "met": True},
        "p99_ms": {"goal": "<= 20", "value": 25.0, "met": False},
        "absent": {"goal": "== 0", "value": None, "met": False},
    }


def test_the_json_object_has_exactly_the_agreed_keys() -> None:
    read = json.loads(as_json(REPORT))
    assert set(read) == {"bench", "figures", "goals", "table"}
    assert read["figures"] == {"ratio": 35.1, "p99_ms": 25.0}


def test_a_figure_that_is_no_number_is_refused_instead_of_printing_bad_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        as_json(Report(bench="stock", figures={"ratio": float("nan")}, goals={}, table=[]))


def test_a_part_of_the_page_has_date_command_machine_rows_and_goals() -> None:
    part = section(REPORT, date="2026-01-31", command="python -m bench all")
    assert part.startswith("## stock\n")
    assert "Measured on 2026-01-31 with `python -m bench all`." in part
    assert "- cores: 2" in part
    assert "- a: the first" in part
    assert "| contender | sold/s | left out |" in part
    assert "| b |  | npm \\| node |" in part
    assert "| absent | == 0 | not measured | no |" in part


def test_a_bench_that_was_run_alone_replaces_its_own_part_of_the_page() -> None:
    order = ["events", "stock", "till"]
    page = rewritten("", order, {"till": "## till\n\nold till\n", "stock": "## stock\n\nold stock\n"})
    page = rewritten(page, order, {"stock": "## stock\n\nnew stock\n"})
    page = rewritten(page, order, {"events": "## events\n\nnew events\n"})
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## events", "## stock", "## till"]
    assert "new stock" in page
    assert "old stock" not in page
    assert "old till" in page
    assert page == rewritten(page, order, {})
    assert "till" not in rewritten(page, ["events", "stock"], {}), "of a bench that is no more nothing stays"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (0, "0"), (12345, "12,345"), (12345.6, "12,346"), (0.1234, "0.123"), (14.96, "15")],
)
def test_cells_are_short(value: object, text: str) -> None:
    assert cell(value) == text
