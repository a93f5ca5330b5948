"""Charts: shapes that tell the truth, words for those who do not see them, nothing that the policy would drop."""

from __future__ import annotations

import re

import pytest

from nervio.modules.console.charts import HEIGHT, Point, Wording, bar_chart, line_chart, nice_ceiling, sparkline

WORDING = Wording("Sales", "From 8 to 10", "Hour", "Sold", "Before", "Show as table")


@pytest.mark.parametrize(
    ("value", "ceiling"), [(0, 4), (3, 4), (7, 8), (10, 10), (11, 20), (26_200, 30_000), (99, 100), (101, 200)]
)
def test_the_axis_ends_on_a_round_figure(value: int, ceiling: int) -> None:
    assert nice_ceiling(value) == ceiling


def test_bars_stand_in_proportion() -> None:
    svg = bar_chart([Point("8", 5), Point("9", 10), Point("10", 0)], WORDING, str)
    tall = [float(height) for height in re.findall(r'class="chart-bar"[^>]*height="([\d.]+)"', svg)]
    assert tall == [HEIGHT / 2, HEIGHT, 0.0]


@pytest.mark.parametrize("draw", [bar_chart, line_chart])
def test_a_chart_speaks_and_keeps_to_the_policy(draw: object) -> None:
    assert callable(draw)
    html = draw([Point("<8>", 5, 4), Point("9", 10, None)], WORDING, lambda value: f"${value}")
    assert "<title>Sales</title>" in html
    assert "<desc>From 8 to 10</desc>" in html
    assert '<td class="num">$10</td>' in html
    assert "<8>" not in html
    assert "style=" not in html


def test_an_empty_day_is_still_a_chart() -> None:
    assert "<svg" in bar_chart([], WORDING, str)
    assert "<svg" in line_chart([Point("8", 0)], WORDING, str)
    assert 'aria-label="nothing"' in sparkline([], "nothing")


def test_a_sparkline_spans_its_height() -> None:
    path = re.findall(r' d="([^"]+)"', sparkline([1, 5, 3], "x"))[0]
    assert [float(y) for y in re.findall(r" ([\d.]+)", path)] == [26.0, 2.0, 14.0]
