"""Parts of an answer a second, from a worker to whoever follows it in the master's process."""

from statistics import median

from bench.fleet import queues
from bench.fleet.ours import PART as TEXT
from bench.fleet.parts import Figures, Part

PARTS = 5_000
ANSWERS = 5
"""Of which the median counts: one takes less than a tenth of a second."""


async def measure(_quick: bool) -> Figures:
    """Answers over MQTT and gRPC, and in process."""
    figures: dict[str, float] = {}
    for contender, prefix in ((queues.WHOLE, ""), (queues.IN_PROCESS, "in_process_")):
        async with queues.ours(contender) as client:
            await client.ask(stream=100)
            heard = [await client.ask(stream=PARTS) for _ in range(ANSWERS)]
        figures[f"{prefix}chunks_a_second"] = PARTS / median(one["seconds"] for one in heard)
        figures[f"{prefix}chunk_cpu_us"] = 1e6 * sum(one["cpu_seconds"] for one in heard) / (PARTS * ANSWERS)
        figures[f"{prefix}chunks_first_ms"] = median(one["first_ms"] for one in heard)
        figures[f"{prefix}chunks_followed"] = min(one["followed"] for one in heard) / (PARTS * len(TEXT))
        figures[f"{prefix}chunks_spoilt"] = float(sum(not one["is_whole"] for one in heard))
    return figures


def broken(figures: Figures) -> list[str]:
    """Whether every character came, in its place."""
    spoilt = figures["chunks_spoilt"] + figures["in_process_chunks_spoilt"]
    return [f"{spoilt:.0f} answers that were followed were not what their worker made"] if spoilt else []


PART = Part(
    name="chunks",
    measure=measure,
    goals={},
    legend=f"an answer in {PARTS:,} parts of {len(TEXT)} characters, emitted as fast as the worker can and followed until the task "
    "ended. `chunks_followed`: how much of it came before the result did; `chunks_spoilt`: answers that were not what was made",
    worst=frozenset({"chunks_spoilt", "in_process_chunks_spoilt"}),
    broken=broken,
)
