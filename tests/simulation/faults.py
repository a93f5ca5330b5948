"""What may go wrong, how often, and the seed's say in it. Every name here is in docs/simulation.md."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from tests.simulation.decisions import Decisions

RATES = {
    # at a statement
    "lost_before_statement": 0.002,
    "lost_after_statement": 0.002,
    "serialization_failure": 0.004,
    "slow_statement": 0.01,
    # at COMMIT
    "lost_before_commit": 0.01,
    "lost_after_commit": 0.01,
    "commit_arrives_late": 0.01,
    "slow_commit": 0.03,
    # at the bus
    "publish_refused": 0.02,
    "publish_unacknowledged": 0.02,
    "delivered_twice": 0.05,
    "delivery_dropped": 0.05,
    "delivery_late": 0.1,
    # between a customer and a process
    "request_lost": 0.02,
    "answer_lost": 0.03,
    "caller_gives_up": 0.02,
    # under a named lock
    "holder_stalls": 0.15,
    # in a handler of events
    "handler_fails": 0.05,
    "handler_fails_afterwards": 0.05,
    # at a platform outside
    "sender_dies": 0.1,
    "order_not_sent": 0.05,
    "order_slow": 0.2,
    "order_refused": 0.02,
    "order_ignored": 0.05,
    "order_late": 0.05,
    "order_unanswered": 0.05,
    "reading_lost": 0.1,
}
"""How often each fault happens where it may, in a run of ordinary bad luck."""


@dataclass
class Faults:
    """The bad luck of one run. `weight` is drawn from the seed: some runs are calm, so that a race is not hidden behind
    lost connections, others are not."""

    random: Random
    weight: float = 1.0
    decisions: Decisions = field(default_factory=Decisions)
    happened: Counter[str] = field(default_factory=Counter)

    def draw(self) -> None:
        """The luck that the seed gives."""
        self.weight = self.random.choice((0.0, 0.0, 0.3, 1.0, 2.0))

    def strikes(self, name: str) -> bool:
        """Whether the fault happens now."""
        if self.random.random() >= RATES[name] * self.weight or not self.decisions.happens(name):
            return False
        self.happened[name] += 1
        return True

    def heal(self) -> None:
        """No further faults: what is promised must now come true."""
        self.weight = 0.0
