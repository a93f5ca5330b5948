"""From many measurements to figures, goals and table."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.figures import spread
from bench.stock.contender import Entry
from bench.stock.load import Measured
from bench.stock.tally import CLEAN, Verdict

# What ours on PostgreSQL is to reach against each durable peer on the hot SKU.
_RATIO_GOALS: Mapping[str, str] = {
    "for_update": ">= 30",
    "conditional_update": ">= 10",
    "skip_locked": ">= 4",
    "medusa": ">= 50",
}
_HOT = ("hot_64", "hot_256")
SLOW_FLUSH_MS = 0.8
"""What a flush took on the machine where the ratios were first measured; a network volume takes as long or longer."""
SLOW_DISK = ("hot_64_slow_disk", "hot_256_slow_disk")
_LIBRARY = ("ours_sqlite", "ours_postgres")


@dataclass
class Results:
    """Everything that was measured, by contender and load, a measurement a round."""

    last_units: int
    buyers: int
    driver_us: float = 0.0
    fsync_ms: list[float] = field(default_factory=list)
    measured: dict[str, dict[str, list[Measured]]] = field(default_factory=lambda: defaultdict(dict))
    verdicts: dict[str, dict[str, Verdict]] = field(default_factory=lambda: defaultdict(dict))
    durable: dict[str, bool] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    # Sales that were answered True and, asked for again with the same key, False.
    forgotten: Counter[str] = field(default_factory=Counter)

    def add(self, contender: str, load: str, measured: Measured, verdict: Verdict) -> None:
        """Keep one measurement."""
        self.measured[contender].setdefault(load, []).append(measured)
        self.verdicts[contender][load] = self.verdicts[contender].get(load, CLEAN) + verdict

    def attempts(self, contender: str) -> int:
        """Calls that came back to this contender's callers, in all loads and rounds."""
        return sum(each.answers.attempts for runs in self.measured[contender].values() for each in runs)

    def verdict(self, contender: str) -> Verdict:
        """The sum of what was wrong in all loads and rounds."""
        return sum(self.verdicts[contender].values(), CLEAN)


def ratios(ours: Sequence[Measured], peer: Sequence[Measured]) -> list[float]:
    """Return ours over peer for each round in which both were measured and the peer sold at all."""
    return [mine.tps / theirs.tps for mine, theirs in zip(ours, peer, strict=False) if theirs.tps > 0]


def figures(results: Results, entries: Sequence[Entry]) -> dict[str, float]:
    """Return every figure: medians over the rounds, sums of what must be zero, and ratios of ours to each peer.

    A ratio is the median of the rounds' ratios, since a round's contenders shared the machine's mood.
    """
    values: dict[str, float] = {"driver_us_per_sale": results.driver_us}
    if results.fsync_ms:
        values["fsync_ms"] = spread(results.fsync_ms).median
    for entry in entries:
        for load, runs in results.measured[entry.name].items():
            at = f"{entry.name}.{load}"
            values[f"{at}.tps"] = spread([each.tps for each in runs]).median
            values[f"{at}.p50_ms"] = spread([each.p50_ms for each in runs]).median
            values[f"{at}.p99_ms"] = spread([each.p99_ms for each in runs]).median
        if results.measured[entry.name]:
            verdict = results.verdict(entry.name)
            values[f"{entry.name}.attempts"] = results.attempts(entry.name)
            values[f"{entry.name}.oversold"] = verdict.oversold
            values[f"{entry.name}.lost"] = verdict.lost
            values[f"{entry.name}.forgotten"] = results.forgotten[entry.name]
            values[f"{entry.name}.doubled"] = verdict.doubled
            values[f"{entry.name}.drift"] = verdict.drift
    ours = [entry.name for entry in entries if entry.ours and results.measured[entry.name]]
    if ours:
        values["ours.attempts"] = sum(values[f"{name}.attempts"] for name in ours)
        values["ours.oversold"] = sum(values[f"{name}.oversold"] for name in ours)
    for name in ours:
        for peer in (entry.name for entry in entries if not entry.ours):
            for load, runs in results.measured[peer].items():
                each = ratios(results.measured[name].get(load, []), runs)
                if each and load != "last_units":
                    values[f"{name}/{peer}.{load}"] = spread(each).median
    return values


def goals() -> dict[str, str]:
    """Return the goals by figure; those of figures that were not measured stay, and are not met."""
    wanted = {f"ours_postgres/{peer}.{load}": goal for peer, goal in _RATIO_GOALS.items() for load in _HOT}
    slow = {peer: goal for peer, goal in _RATIO_GOALS.items() if peer != "medusa"}
    wanted |= {f"ours_postgres/{peer}.{load}": goal for peer, goal in slow.items() for load in SLOW_DISK}
    wanted |= {f"{name}.{load}.p99_ms": "<= 20" for name in _LIBRARY for load in _HOT}
    return wanted | {"ours.oversold": "== 0", "ours.attempts": ">= 1000000"}


def notes(results: Results) -> list[str]:
    """Return what a reader must know to compare: which machine the goals are of, and what bounds whom."""
    flush = f"{spread(results.fsync_ms).median:.2f} ms" if results.fsync_ms else "unmeasured"
    why_disk = (
        f"The ratios wanted were first measured where flushing the log takes {SLOW_FLUSH_MS} ms; here it takes {flush}. A "
        "transaction a sale on one hot row waits for one flush each, so those peers are faster the faster the disk; a "
        "batch pays one flush for all who wait, and is bound by the processor. The loads named slow_disk play that disk "
        "(PostgreSQL's commit_delay) for ours and the peers alike."
    )
    why_rows = (
        "SKIP LOCKED spreads a SKU over rows and shares flushes between connections, so on any disk it is bound by the "
        "processor too, and writes two rows a sale where ours writes five: movement and journal entry, event, key with "
        "answer, level. One Python process drives either."
    )
    return [why_disk, why_rows]


def broken(results: Results, entries: Sequence[Entry]) -> list[str]:
    """Return a sentence for each promise that a contender of ours broke."""
    sentences = []
    for name in (entry.name for entry in entries if entry.ours):
        verdict, forgotten = results.verdict(name), results.forgotten[name]
        wrongs = {
            "units oversold": verdict.oversold,
            "answered sales without a movement": verdict.lost,
            "movements beyond the answered sales": verdict.doubled,
            "units by which movements and levels differ": verdict.drift,
            "sold keys answered otherwise the second time": forgotten,
        }
        sentences += [f"{name}: {count} {what}" for what, count in wrongs.items() if count]
    return sentences


def table(results: Results, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return a row for each contender and load, and one with the reason for each contender that was left out."""
    rows: list[dict[str, Any]] = []
    for entry in entries:
        for load, runs in results.measured[entry.name].items():
            tps = spread([each.tps for each in runs])
            failures = sum((each.failures for each in runs), Counter[str]())
            rows.append(
                {
                    "contender": entry.name,
                    "load": f"{results.buyers} buyers, {results.last_units} units" if load == "last_units" else load,
                    "sold/s": round(tps.median, 1),
                    "spread": f"{tps.low:,.0f}–{tps.high:,.0f}",
                    "p50 ms": round(spread([each.p50_ms for each in runs]).median, 2),
                    "p99 ms": round(spread([each.p99_ms for each in runs]).median, 2),
                    "sold": sum(sum(each.answers.sold) for each in runs),
                    "refused": sum(each.answers.refused for each in runs),
                    "failed": ", ".join(f"{count} {kind}" for kind, count in failures.items()) or "0",
                    "oversold": results.verdicts[entry.name][load].oversold,
                    "durable": results.durable[entry.name],
                }
            )
        if entry.name in results.skipped:
            rows.append({"contender": entry.name, "left out": results.skipped[entry.name]})
    return rows
