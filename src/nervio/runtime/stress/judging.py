"""What the API says afterwards, against what the buyers were told: pure arithmetic on both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nervio.kernel.quantity import UNIT
from nervio.kernel.time import parse_iso
from nervio.runtime.stress.buyers import Seen

NOT_SALES = frozenset({"receipt"})


@dataclass(frozen=True, slots=True)
class StopTimes:
    """The stop in the middle: on the loop's clock when it was acknowledged and when its end was asked for; on the server's
    when it began and ended, as the list of stops has it."""

    acknowledged_at: float
    thaw_asked_at: float
    began: str
    ended: str
    freeze_milliseconds: float
    thaw_seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The table of the stress test. The promises are the figures that must be 0."""

    units: int
    sold: int
    refused: int
    held: int
    released: int
    cut: int
    repeated: int
    halted: int
    oversold: int
    lost: int
    doubled: int
    other_answers: int
    commits_after_stop: int
    unexpected: int
    sold_after_thaw: int
    p50_ms: float
    p99_ms: float
    freeze_ms: float
    thaw_seconds: float

    @property
    def broken(self) -> list[str]:
        """The promises that did not hold."""
        return [name for name in PROMISES if getattr(self, name)]

    def as_dict(self) -> dict[str, Any]:
        """Everything, for `--json`."""
        return {**asdict(self), "broken": self.broken}


PROMISES = ("oversold", "lost", "doubled", "other_answers", "commits_after_stop", "unexpected")


def judge(
    units: int, seen: Seen, entries: Sequence[Mapping[str, Any]], level: Mapping[str, Any], stop: StopTimes
) -> Verdict:
    """Compares. `entries` are all of the product's in the journal, before the test takes out what is left."""
    booked: dict[str, int] = {}
    for entry in entries:
        if entry["kind"] in NOT_SALES:
            continue
        moved = sum(posting["amount"] for posting in entry["postings"] if posting["unit"] == "milli") // UNIT
        booked[entry["document_id"]] = booked.get(entry["document_id"], 0) + moved
    began, ended = parse_iso(stop.began, "began"), parse_iso(stop.ended, "ended")
    in_between = [e for e in entries if began < parse_iso(e["recorded_at"], "recorded_at") < ended]
    told_in_between = [1 for sent, read in seen.answered if stop.acknowledged_at < sent and read < stop.thaw_asked_at]
    lost = sum(max(0, n - booked.get(document, 0)) for document, n in seen.sold.items())
    doubled = sum(max(0, n - seen.sold.get(document, 0)) for document, n in booked.items())
    sold, on_hand = sum(booked.values()), level["on_hand_milli"] // UNIT
    return Verdict(
        units=units,
        sold=sold,
        refused=seen.counts["refused"],
        held=seen.counts["held"],
        released=seen.counts["released"],
        cut=seen.counts["cut"] + seen.counts["dropped"],
        repeated=seen.counts["repeated"],
        halted=seen.counts["halted"],
        # Both ways: more sold than there was, or a level that does not come out.
        oversold=max(0, sold - units, -on_hand, abs(units - sold - on_hand)),
        lost=lost,
        doubled=doubled,
        other_answers=seen.other_answers,
        commits_after_stop=max(len(in_between), len(told_in_between)),
        unexpected=sum(seen.unexpected.values()),
        sold_after_thaw=sum(1 for sent, _ in seen.answered if sent > stop.thaw_asked_at),
        p50_ms=percentile(seen.milliseconds, 50),
        p99_ms=percentile(seen.milliseconds, 99),
        freeze_ms=round(stop.freeze_milliseconds, 1),
        thaw_seconds=round(stop.thaw_seconds, 2),
    )


def percentile(values: Sequence[float], rank: float) -> float:
    """The nearest-rank percentile, to a tenth; 0 of nothing."""
    if not values:
        return 0.0
    return round(sorted(values)[math.ceil(rank / 100 * len(values)) - 1], 1)
