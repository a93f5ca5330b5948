"""Charts as SVG made by the server, readable by eyes, screen readers and phones alike.

The drawing stretches with its box, so it holds no text: labels are HTML around it and keep their size on a phone. Nothing
uses a ``style`` attribute, which the content security policy would drop. A table with the same figures follows each chart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH = 720
HEIGHT = 200
_SVG = Markup(
    '<svg viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" class="chart-plot" aria-label="{label}">'
)


@dataclass(frozen=True)
class Point:
    """One value with its label on the axis. ``before`` is the value it is compared with, if any."""

    label: str
    value: int
    before: int | None = None


@dataclass(frozen=True)
class Wording:
    """The texts of a chart, already in the reader's language."""

    title: str
    description: str
    label_heading: str
    value_heading: str
    before_heading: str
    show_table: str


Write = Callable[[int], str]


def nice_ceiling(value: int) -> int:
    """Return the smallest of 1, 2, 2.5, 3, 4, 5, 6, 8 or 10 times a power of ten that is not below ``value`` (4 at least)."""
    if value <= 4:
        return 4
    power = 1
    while power * 10 < value:
        power *= 10
    return next(step * power // 10 for step in (10, 20, 25, 30, 40, 50, 60, 80, 100) if step * power >= value * 10)


def bar_chart(points: Sequence[Point], wording: Wording, write: Write, short: Write | None = None) -> Markup:
    """Return a bar chart; a point with ``before`` shows it as a mark behind its bar.

    ``write`` formats the figures of the table and the tips, ``short`` those of the axis.
    """
    ceiling = nice_ceiling(max((max(p.value, p.before or 0) for p in points), default=0))
    slot = WIDTH / max(len(points), 1)
    bars = [_bar(point, index * slot, slot, ceiling, write) for index, point in enumerate(points)]
    return _figure(points, wording, write, short or write, ceiling, Markup("").join(bars), "chart-bars")


def line_chart(points: Sequence[Point], wording: Wording, write: Write, short: Write | None = None) -> Markup:
    """Return a line chart of ``value``, with ``before`` as a second, quieter line."""
    ceiling = nice_ceiling(max((max(p.value, p.before or 0) for p in points), default=0))
    step = WIDTH / max(len(points) - 1, 1)
    now = [(i * step, _height(p.value, ceiling)) for i, p in enumerate(points)]
    before = [(i * step, _height(p.before, ceiling)) for i, p in enumerate(points) if p.before is not None]
    drawing = Markup("")
    if before:
        drawing += Markup('<path class="chart-before" d="{}"/>').format(_path(before))
    if now:
        area = f"{_path(now)}L{now[-1][0]:.1f} {HEIGHT}L0 {HEIGHT}Z"
        drawing += Markup('<path class="chart-area" d="{}"/><path class="chart-line" d="{}"/>').format(area, _path(now))
        # A line of no length with round caps stays a round dot however the drawing is stretched.
        drawing += Markup('<path class="chart-dot" d="M{x} {y}h0.01"/>').format(
            x=f"{now[-1][0]:.1f}", y=f"{now[-1][1]:.1f}"
        )
    return _figure(points, wording, write, short or write, ceiling, drawing, "chart-lines")


def sparkline(values: Sequence[int], label: str) -> Markup:
    """Return a small line without axes; ``label`` must say in words what it shows."""
    low, high = min(values, default=0), max(values, default=0)
    span = max(high - low, 1)
    step = 96 / max(len(values) - 1, 1)
    path = _path([(2 + i * step, 26 - 24 * (value - low) / span) for i, value in enumerate(values)])
    return Markup(
        '<svg viewBox="0 0 100 28" preserveAspectRatio="none" role="img" class="sparkline" aria-label="{label}">'
        '<path class="chart-line" d="{path}"/></svg>'
    ).format(label=label, path=path)


def _height(value: int, ceiling: int) -> float:
    return HEIGHT - HEIGHT * value / ceiling


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if index else 'M'}{x:.1f} {y:.1f}" for index, (x, y) in enumerate(places))


def _bar(point: Point, left: float, slot: float, ceiling: int, write: Write) -> Markup:
    width, top = slot * 0.62, _height(point.value, ceiling)
    before = Markup("")
    if point.before is not None:
        before = Markup('<path class="chart-before" d="M{x} {y}h{w}"/>').format(
            x=f"{left + slot * 0.08:.1f}", y=f"{_height(point.before, ceiling):.1f}", w=f"{slot * 0.84:.1f}"
        )
    return Markup(
        '<g><title>{tip}</title><rect class="chart-hit" x="{left}" y="0" width="{slot}" height="{height}"/>'
        '<rect class="chart-bar" x="{x}" y="{top}" width="{width}" height="{tall}"/>{before}</g>'
    ).format(
        tip=f"{point.label}: {write(point.value)}",
        left=f"{left:.1f}",
        slot=f"{slot:.1f}",
        height=HEIGHT,
        x=f"{left + slot * 0.19:.1f}",
        top=f"{top:.1f}",
        width=f"{width:.1f}",
        tall=f"{HEIGHT - top:.1f}",
        before=before,
    )


def _figure(
    points: Sequence[Point], wording: Wording, write: Write, short: Write, ceiling: int, drawing: Markup, kind: str
) -> Markup:
    lines = Markup("").join(
        Markup('<path class="chart-grid" d="M0 {y}H{w}"/>').format(y=f"{HEIGHT * i / 4:.1f}", w=WIDTH) for i in range(5)
    )
    heights = Markup("").join(Markup("<span>{}</span>").format(short(ceiling * i // 4)) for i in range(4, -1, -1))
    labels = Markup("").join(Markup("<span>{}</span>").format(point.label) for point in points)
    return Markup(
        '<figure class="chart {kind}"><div class="chart-frame">'
        '<div class="chart-y" aria-hidden="true">{heights}</div>'
        "{svg}<title>{title}</title><desc>{description}</desc>{lines}{drawing}</svg>"
        '<div class="chart-x" aria-hidden="true">{labels}</div></div>{table}</figure>'
    ).format(
        kind=kind,
        heights=heights,
        svg=_SVG.format(w=WIDTH, h=HEIGHT, label=f"{wording.title}. {wording.description}"),
        title=wording.title,
        description=wording.description,
        lines=lines,
        drawing=drawing,
        labels=labels,
        table=_table(points, wording, write),
    )


def _table(points: Sequence[Point], wording: Wording, write: Write) -> Markup:
    compared = any(point.before is not None for point in points)
    heading = Markup('<th scope="col" class="num">{}</th>')
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th><td class="num">{}</td>{}</tr>').format(
            point.label,
            write(point.value),
            Markup('<td class="num">{}</td>').format("" if point.before is None else write(point.before))
            if compared
            else "",
        )
        for point in points
    )
    return Markup(
        '<details class="chart-table"><summary>{show}</summary><table class="table"><caption class="unseen">{title}'
        '</caption><thead><tr><th scope="col">{label}</th>{value}{before}</tr></thead><tbody>{rows}</tbody></table></details>'
    ).format(
        show=wording.show_table,
        title=wording.title,
        label=wording.label_heading,
        value=heading.format(wording.value_heading),
        before=heading.format(wording.before_heading) if compared else "",
        rows=rows,
    )
