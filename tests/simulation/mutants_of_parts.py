"""Planted races of the stop's ends, of locks, handlers and orders: each found by the part of the workload that it is in."""

from tests.simulation import truth
from tests.simulation.planted import Mutant, Patch

MUTANTS_OF_PARTS = (
    Mutant(
        "expiry_by_own_clock",
        "a stop that runs out by the clock of whoever asks: where that is fast, it is over too early",
        (
            Patch(
                "db/halt.py",
                "            for_name(database).clock(),\n        )\n        .where",
                "            bindparam('now', type_=BigInteger),\n        )\n        .where",
            ),
            Patch(
                "db/halt.py",
                "from sqlalchemy import Connection, Select, select",
                "from sqlalchemy import BigInteger, Connection, Select, bindparam, select",
            ),
        ),
        (truth.STOPPED, truth.NOT_STOPPED),
        seed=25,
    ),
    Mutant(
        "thaw_skips_a_stage",
        "what is due is asked before the fence: once anything is, everything that thaws takes a stage",
        (
            Patch(
                "modules/safety/usecases/thawing.py",
                "for halt in store.find_due(batch.connection, now):",
                "for halt in store.find_due(batch.connection, 2**53):",
            ),
        ),
        (truth.STOPPED,),
        seed=33,
    ),
    Mutant(
        "one_person_confirms_twice",
        "review of one's own change: whoever settles is compared with the last who did, not with who asked",
        (
            Patch(
                "modules/safety/usecases/settling.py",
                "    if actor_id == request.requested_by:\n",
                "    if actor_id == request.settled_by:\n",
            ),
        ),
        (truth.TWO_PEOPLE, truth.STOPPED),
        seed=11,
    ),
    Mutant(
        "lease_renewed_after_it_ran_out",
        "redis: PEXPIRE of a lock that has run out and belongs to somebody else by now",
        (
            Patch(
                "db/leases.py",
                "    if owner != ask.owner or not expires_at:\n",
                "    if not expires_at or (owner != ask.owner and ask.deed is Deed.RELEASE):\n",
            ),
        ),
        (truth.ONE_BELIEVES, truth.FENCED),
        seed=11,
    ),
    Mutant(
        "lease_counted_from_the_answer",
        "a lock is believed in from when its answer came, which may have been under way for as long as it lasts",
        (
            Patch(
                "adapters/locks/holding.py",
                "lease = Lease(name, owner, fence, seconds, asked_at, self._clock.monotonic)",
                "lease = Lease(name, owner, fence, seconds, self._clock.monotonic(), self._clock.monotonic)",
            ),
            Patch(
                "adapters/locks/holding.py",
                "            lease.renewed(asked_at)\n",
                "            lease.renewed(self._clock.monotonic())\n",
            ),
        ),
        (truth.ONE_BELIEVES,),
        seed=11,
    ),
    Mutant(
        "late_holder_writes",
        "locks without a fence: a holder that stood still writes over the work of the next",
        (
            Patch(
                "db/leases.py",
                "if newest.get(fence[0]) != fence[1]}",
                "if newest.get(fence[0], fence[1]) < fence[1]}",
            ),
        ),
        (truth.FENCED,),
        seed=6,
    ),
    Mutant(
        "marked_before_the_effect",
        "a consumer that commits its place when it has read, not when it is done: a crash loses what is between",
        (
            Patch(
                "runtime/handlers.py",
                "        if not self.delivery.is_idle:\n            return max(self.marked, self.delivery.settled)\n",
                "",
            ),
        ),
        (truth.FOLLOWED,),
        seed=9,
    ),
    Mutant(
        "leader_without_followers",
        "a leader that lost the store between taking the lead and beginning: it goes on leading, and does nothing",
        (
            Patch(
                "runtime/handlers.py",
                "            self._token = None\n            await self._stop_following()\n",
                "            self._token = token\n            await self._stop_following()\n",
            ),
        ),
        (truth.FOLLOWED,),
        seed=33,
    ),
    Mutant(
        "effect_without_receipt",
        "a consumer without an inbox: what is delivered again has its effect again",
        (
            Patch(
                "db/execution.py",
                "batch.flush(_answers(keys, outcomes), _receipts(batch, fresh, outcomes))",
                "batch.flush(_answers(keys, outcomes), [])",
            ),
        ),
        (truth.FOLLOWED,),
        seed=9,
    ),
    Mutant(
        "sent_before_it_is_written",
        "an order is written down when it was answered: whoever takes it on after a crash sends it again, blindly",
        (
            Patch(
                "modules/safety/usecases/acting.py",
                "            if order.progress.step is Step.SEND:\n",
                "            if order.progress.step is Step.SEND and order.progress.sends:\n",
            ),
        ),
        (truth.READ_FIRST,),
        seed=31,
    ),
)
