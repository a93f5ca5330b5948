"""What a worker is handed before it can begin: short tasks, so that it need not wait for the next."""

import pytest

from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import SubmitTask
from tests.builders import Store
from tests.modules.fleet.handing import Hands, a_dispatcher, a_profile, a_report, report

CHAT = SubmitTask("chat", "{}", cache=False)


async def test_what_waits_at_its_worker_for_a_slot_has_not_begun(store: Store) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(credit=2, slots=1))
        await learn(store, dispatcher, hands, 0.08)
        await fleet.submit_tasks(store.ctx, [(CHAT, None)] * 2)
        await dispatcher.run_once()
        first, _ = hands.take()
        store.clock.advance(0.06)
        (capacity,) = dispatcher.roster.capacities()
        assert capacity.slots.first() == pytest.approx(0.1), "a little of the first, and all of the other"
        await report(dispatcher, a_report(first, seconds=0.08))
        (capacity,) = dispatcher.roster.capacities()
        assert capacity.slots.first() == pytest.approx(0.08)


async def learn(store: Store, dispatcher: fleet.Dispatcher, hands: Hands, seconds: float) -> None:
    """Has a task done that takes so long."""
    await fleet.submit_task(store.ctx, CHAT)
    await dispatcher.run_once()
    (one,) = hands.take()
    await report(dispatcher, a_report(one, seconds=seconds))


@pytest.mark.parametrize(("seconds", "handed"), [(0.03, 3), (0.08, 2), (5.0, 1)])
async def test_only_short_tasks_are_handed_over_before_they_can_begin(
    store: Store, seconds: float, handed: int
) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(credit=3, slots=1))
        await learn(store, dispatcher, hands, seconds)
        await fleet.submit_tasks(store.ctx, [(CHAT, None)] * 4)
        await dispatcher.run_once()
        given = hands.take()
        assert len(given) == handed
        await report(dispatcher, a_report(given[0], seconds=seconds))
        await dispatcher.run_once()
        assert len(hands.take()) == 1
