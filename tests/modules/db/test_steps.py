"""Steps of jobs against a slow, obvious model: however claims come, go and come late, each step has its effect once."""

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nervio.db.queue_moves import State, Work
from nervio.db.steps import Checkpoint, Step, read_checkpoint
from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from tests.builders import NOON
from tests.modules.db.test_queue import Deed, a_work


class Claims(RuleBasedStateMachine):
    """One job, and everybody who ever had it and may not know that he has it no more."""

    def __init__(self) -> None:
        super().__init__()
        self.work: Work = a_work(new_id(), Deed("add", new_id()), NOON)
        self.now = self.work.run_at
        self.effects: list[int] = []
        self.claimants: list[tuple[int, Checkpoint]] = []

    @precondition(lambda self: self.work.state is State.WAITING)
    @rule()
    def claim(self) -> None:
        self.now = max(self.now, self.work.run_at)
        token = self.work.claim("somebody", None, self.now)
        self.claimants.append((token, read_checkpoint(self.work.checkpoint)))

    @precondition(lambda self: self.claimants)
    @rule(data=st.data(), goes_on=st.booleans(), value=st.integers(0, 3))
    def step(self, data: st.DataObject, goes_on: bool, value: int) -> None:
        """Somebody makes his next step; he may not hear that it was made, and make it again."""
        who = data.draw(st.integers(0, len(self.claimants) - 1))
        token, reached = self.claimants[who]
        after = Checkpoint(reached.n + 1, token, value)
        step = Step((self.work.tenant_id, self.work.id), token, reached.n, _text(after))
        before = (self.work.checkpoint, self.work.attempts)
        try:
            step.move(self.work)
        except NervioError:
            self.work.checkpoint, self.work.attempts = before  # what the batch does with a refused command
            assert token != self.work.token or self.work.state is not State.RUNNING or reached.n != len(self.effects)
        else:
            self.effects.append(reached.n)
        if goes_on:
            self.claimants[who] = token, after

    @precondition(lambda self: self.work.state is State.RUNNING)
    @rule(counted=st.booleans())
    def lose(self, counted: bool) -> None:
        """Its process is gone."""
        if counted:
            self.work.fail(self.work.token, "gone", self.now, again=True, after_seconds=0.0)
        else:
            self.work.park(self.work.token, self.now)

    @precondition(lambda self: self.work.state is State.FAILED)
    @rule()
    def reopen(self) -> None:
        self.work.reopen(self.now)

    @invariant()
    def each_step_once_and_in_order(self) -> None:
        assert self.effects == list(range(len(self.effects)))
        assert read_checkpoint(self.work.checkpoint).n == len(self.effects)


def _text(reached: Checkpoint) -> str:
    return msgspec.json.encode(reached).decode()


TestClaims = Claims.TestCase
