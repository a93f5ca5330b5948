"""The load: closed-loop callers on one event loop, the same few instructions around each sale for every contender."""

import asyncio
import gc
import random
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from math import inf
from time import perf_counter

from bench.figures import percentile, zipf_weights
from bench.stock.tally import Answers

Sell = Callable[[int, str], Awaitable[bool]]

# A caller that is still waiting this long after the end means that the contender hangs.
_PATIENCE_SECONDS = 90.0
# Warm-up goes on until every caller was answered once, but no longer than this many times its length.
_LONGEST_WARM_UP = 4
_PICKS = 1 << 16


class HungError(Exception):
    """Callers were still without an answer long after the load ended."""


@dataclass(frozen=True)
class Mix:
    """Which SKUs are asked for: one (`skus=1`), or many by Zipf's law with exponent 1.0."""

    name: str
    skus: int

    def weights(self) -> list[float]:
        """Return the share of the demand that falls on each SKU."""
        return zipf_weights(self.skus, 1.0)

    def stock(self, total: int) -> list[int]:
        """Return units per SKU: `total` by share of demand, rounded up, so that no SKU runs dry long before the rest."""
        return [int(total * weight) + 1 for weight in self.weights()]

    def picks(self, seed: int) -> Iterator[int]:
        """Return an endless run of SKU indices, drawn beforehand so that drawing costs nothing while measuring."""
        if self.skus == 1:
            return cycle([0])
        drawn = random.Random(seed).choices(range(self.skus), weights=self.weights(), k=_PICKS)
        return cycle(array("l", drawn))


HOT = Mix("hot", skus=1)
ZIPF = Mix("zipf", skus=1000)


def keys(source: random.Random) -> Iterator[str]:
    """Return endless idempotency keys shaped as UUIDv7 and growing, as a till's keys do; unique by a random middle."""
    head = f"01930a3c-{source.getrandbits(16):04x}-7{source.getrandbits(12):03x}-8{source.getrandbits(12):03x}"
    return (f"{head}-{number:012x}" for number in count())


@dataclass(frozen=True)
class Measured:
    """What a load gave. `tps` counts sales answered True inside the measured window; times are of calls that ended in
    it or after it (so that a slow contender's slow calls are not cut off), in milliseconds."""

    answers: Answers
    tps: float
    p50_ms: float
    p99_ms: float
    seconds: float
    sold_keys: Sequence[tuple[int, str]]
    failures: Counter[str]


class _Log:
    """What the callers write down. Plain attributes, since this is the cost that every contender carries."""

    def __init__(self, skus: int) -> None:
        self.sold = [0] * skus
        self.refused = 0
        self.in_window = 0
        self.opens = inf
        self.closes = inf
        self.warm_callers = 0
        self.latencies = array("d")
        self.failures: Counter[str] = Counter()
        self.sold_keys: list[tuple[int, str]] = []

    def failed(self, error: Exception) -> None:
        self.failures[type(error).__name__] += 1

    def answers(self) -> Answers:
        return Answers(sold=tuple(self.sold), refused=self.refused, failed=self.failures.total())


async def _caller(sell: Sell, picks: Iterator[int], names: Iterator[str], log: _Log) -> None:
    """Sell again and again until the window closes; the sale that is under way then is still waited for."""
    clock, warm = perf_counter, False
    while (began := clock()) < log.closes:
        sku = next(picks)
        try:
            sold = await sell(sku, next(names))
        except Exception as error:  # noqa: BLE001 - a peer may fail in any way; it is counted and shown
            log.failed(error)
            await asyncio.sleep(0)  # a contender that fails at once must not keep the others from running
            continue
        ended = clock()
        if sold:
            log.sold[sku] += 1
            if log.opens <= ended < log.closes:
                log.in_window += 1
        else:
            log.refused += 1
        if ended >= log.opens:
            log.latencies.append(ended - began)
        elif not warm:
            warm = True
            log.warm_callers += 1


async def _window(log: _Log, callers: int, warm_seconds: float, seconds: float) -> None:
    """Open the window when connections and statements are there for every caller, and close it."""
    began, longest = perf_counter(), _LONGEST_WARM_UP * warm_seconds
    await asyncio.sleep(warm_seconds)
    while log.warm_callers < callers and perf_counter() - began < longest:  # noqa: ASYNC110 - an event would cost the measured callers
        await asyncio.sleep(warm_seconds / 10)
    log.opens = perf_counter()
    log.closes = log.opens + seconds


async def _gather(calls: Sequence[Awaitable[None]], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds + _PATIENCE_SECONDS):
            await asyncio.gather(*calls)
    except TimeoutError as error:
        raise HungError(f"callers still waited {_PATIENCE_SECONDS:.0f} s after the load ended") from error


def _measured(log: _Log, tps: float, seconds: float) -> Measured:
    times = log.latencies or array("d", [0.0])
    return Measured(
        answers=log.answers(),
        tps=tps,
        p50_ms=percentile(times, 50) * 1000,
        p99_ms=percentile(times, 99) * 1000,
        seconds=seconds,
        sold_keys=tuple(log.sold_keys),
        failures=log.failures,
    )


async def steady(sell: Sell, mix: Mix, *, callers: int, warm_seconds: float, seconds: float, seed: int) -> Measured:
    """Keep `callers` selling for warm-up and window, each its next sale as soon as the last is answered."""
    log, picks, names = _Log(mix.skus), mix.picks(seed), keys(random.Random())
    gc.collect()
    window = _window(log, callers, warm_seconds, seconds)
    await _gather([window, *(_caller(sell, picks, names, log) for _ in range(callers))], warm_seconds + seconds)
    return _measured(log, log.in_window / seconds, seconds)


async def rush(sell: Sell, mix: Mix, *, attempts: int, callers: int, seed: int) -> Measured:
    """Make a fixed number of attempts, shared by `callers` (as many callers as attempts: everybody at once)."""
    log, picks, names = _Log(mix.skus), mix.picks(seed), keys(random.Random())
    left = iter(range(attempts))

    async def buyer() -> None:
        for _ in left:
            sku, key, began = next(picks), next(names), perf_counter()
            try:
                sold = await sell(sku, key)
            except Exception as error:  # noqa: BLE001 - as above
                log.failed(error)
                await asyncio.sleep(0)
                continue
            log.latencies.append(perf_counter() - began)
            if sold:
                log.sold[sku] += 1
                log.sold_keys.append((sku, key))
            else:
                log.refused += 1

    gc.collect()
    began = perf_counter()
    await _gather([buyer() for _ in range(callers)], _PATIENCE_SECONDS)
    seconds = perf_counter() - began
    return _measured(log, sum(log.sold) / seconds, seconds)
