"""The vital signs: sums of the metrics that the program really counts, for those who answer for all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from nervio.modules.console.rooms.vitals.figures import GROUPS, Vital, read_samples, read_vitals
from nervio.runtime.wiring import build
from tests.modules.console.serving import a_shop
from tests.runtime.program import settings_in


def test_a_figure_is_the_sum_over_all_labels() -> None:
    registry = CollectorRegistry()
    trips = Counter("nervio_rule_trips_total", "Trips.", ("rule",), registry=registry)
    trips.labels("critical_stock").inc(3)
    trips.labels("error_rate").inc()
    Gauge("nervio_events_lag_positions", "Lag.", registry=registry).set(7)
    shown = dict(read_vitals(read_samples(registry), str))
    assert shown["rules"][0] == {"name": "trips", "text": "4", "state": "warn"}
    assert shown["events"][-1] == {"name": "lag", "text": "7", "state": "ok"}


def test_a_share_of_nothing_is_not_shown_as_a_figure() -> None:
    vital = Vital("stops", ("stops",), per="critical")
    assert vital.read({}) is None
    assert vital.read({"stops": 2.0, "critical": 2.0}) == 1.0


@pytest.mark.parametrize(
    "metric", sorted({name for vitals in GROUPS.values() for v in vitals for name in (*v.metrics, v.per) if name})
)
def test_the_program_counts_what_the_page_shows(metric: str, tmp_path: Path) -> None:
    build(settings_in(tmp_path))  # every module that counts is imported by now
    known = {name for family in read_families() for name in family}
    assert metric in known


def read_families() -> list[set[str]]:
    """The names under which each metric of the process appears, those without a sample yet too."""
    from prometheus_client import REGISTRY

    return [{family.name, f"{family.name}_total"} for family in REGISTRY.collect()]


async def test_the_page_is_for_whoever_answers_for_the_installation(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        page = await shop.visitor.get("/console/safety/vitals")
        assert page.status_code == 200
        assert 'id="vitals"' in page.text
        clerk = await (await shop.as_role("cashier")).get("/console/safety/vitals")
        assert clerk.status_code == 403
