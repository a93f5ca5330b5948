"""The machine behind every rule, against a slow and obvious oracle: every verdict is told from the whole series anew."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervio.kernel.errors import NervioError
from nervio.kernel.time import SECOND
from nervio.modules.safety.contracts.rules import Action, Conduct, Mode, Phase, Reach, Refunds
from nervio.modules.safety.domain.rule_kinds import KINDS, changed_settings, decode_settings, encode_settings
from nervio.modules.safety.domain.rules import (
    QUIET,
    Danger,
    Deed,
    Limits,
    State,
    bounds_of,
    check_settings,
    limits_of,
    plan,
    reach_of,
    step,
)

Observation = tuple[int, int, int]
"""(time, value, samples)"""


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    """Valid limits, small enough that a short series meets all of them."""
    danger = draw(st.sampled_from(Danger))
    trip = draw(st.integers(-5, 5))
    gap = draw(st.integers(1, 6))
    return Limits(
        trip=trip,
        clear=trip - gap if danger is Danger.HIGH else trip + gap,
        danger=danger,
        min_samples=draw(st.integers(1, 4)),
        hold=draw(st.integers(0, 6)),
        cooldown=draw(st.integers(0, 8)),
        gap=draw(st.integers(1, 5)),
    )


series = st.lists(st.tuples(st.integers(0, 4), st.integers(-14, 14), st.integers(0, 6)), min_size=1, max_size=40).map(
    lambda steps: [(sum(s[0] for s in steps[: n + 1]), s[1], s[2]) for n, s in enumerate(steps)]
)
"""Observations in order of time; several may come at one moment."""


def phases(rule: Limits, observed: list[Observation]) -> list[State]:
    """The state after each observation."""
    state, found = QUIET, []
    for at, value, samples in observed:
        state = step(state, rule, at, value, samples)
        found.append(state)
    return found


def bad(rule: Limits, one: Observation) -> bool:
    """A cause to trip, said again in plain words."""
    _, value, samples = one
    over = value >= rule.trip if rule.danger is Danger.HIGH else value <= rule.trip
    return over and samples >= rule.min_samples


def calm(rule: Limits, one: Observation) -> bool:
    """A cause to clear, said again in plain words."""
    _, value, samples = one
    under = value <= rule.clear if rule.danger is Danger.HIGH else value >= rule.clear
    return samples == 0 or (under and samples >= rule.min_samples)


def oracle(rule: Limits, observed: list[Observation]) -> list[tuple[int, int]]:
    """(index of the trip, index of its clear or -1) of every trip, found by looking back over the whole series each time."""
    trips: list[tuple[int, int]] = []
    for n, (at, _, _) in enumerate(observed):
        if trips and trips[-1][1] == -1:
            if calm(rule, observed[n]):
                trips[-1] = (trips[-1][0], n)
            continue
        free_from = 0
        if trips:
            cleared = trips[-1][1]
            if at - observed[cleared][0] < rule.cooldown:
                continue
            # The first observation after the cool-down is the first that counts.
            free_from = next(
                k for k in range(cleared + 1, n + 1) if observed[k][0] - observed[cleared][0] >= rule.cooldown
            )
        # The longest stretch that ends here, is bad throughout and was watched without a gap.
        first = n + 1
        while first > free_from and bad(rule, observed[first - 1]):
            if first <= n and observed[first][0] - observed[first - 1][0] > rule.gap:
                break
            first -= 1
        if first <= n and at - observed[first][0] >= rule.hold:
            trips.append((n, -1))
    return trips


@given(limits(), series)
def test_it_trips_and_clears_exactly_when_the_whole_series_says_so(rule: Limits, observed: list[Observation]) -> None:
    states = phases(rule, observed)
    is_tripped = [state.phase is Phase.TRIPPED for state in states]
    wanted = [False] * len(observed)
    for start, end in oracle(rule, observed):
        stop = len(observed) if end == -1 else end
        wanted[start:stop] = [True] * (stop - start)
    assert is_tripped == wanted


@given(limits(), series)
def test_it_does_not_flap(rule: Limits, observed: list[Observation]) -> None:
    states = phases(rule, observed)
    cleared_at: int | None = None
    tripped = False
    for before, after, (at, *_) in zip([QUIET, *states], states, observed, strict=False):
        if after.phase is Phase.TRIPPED and before.phase is not Phase.TRIPPED:
            assert not tripped, "two trips without a clear between"
            assert cleared_at is None or at - cleared_at >= rule.cooldown, "tripped within the cool-down"
            tripped = True
        if before.phase is Phase.TRIPPED and after.phase is not Phase.TRIPPED:
            assert after.phase is Phase.COOLING
            tripped, cleared_at = False, at


@given(limits(), series, st.data())
def test_a_value_that_dances_between_the_thresholds_changes_nothing(
    rule: Limits, observed: list[Observation], data: st.DataObject
) -> None:
    between = range(min(rule.trip, rule.clear) + 1, max(rule.trip, rule.clear))
    if not between:
        return
    state = phases(rule, observed)[-1]
    at = observed[-1][0]
    for _ in range(5):
        at += data.draw(st.integers(0, 5))
        moved = step(state, rule, at, data.draw(st.sampled_from(between)), data.draw(st.integers(1, 6)))
        is_over = state.phase is Phase.COOLING and at - state.since >= rule.cooldown
        assert moved.phase is (Phase.QUIET if state.phase is Phase.PENDING or is_over else state.phase)
        state = moved


@given(limits(), series)
def test_there_is_no_trip_without_its_cause(rule: Limits, observed: list[Observation]) -> None:
    states = phases(rule, observed)
    for n, state in enumerate(states):
        if state.phase is not Phase.TRIPPED or (n and states[n - 1].phase is Phase.TRIPPED):
            continue
        assert bad(rule, observed[n])
        held = [one for one in observed[: n + 1] if one[0] >= observed[n][0] - rule.hold]
        start = next(k for k in range(n, -1, -1) if observed[n][0] - observed[k][0] >= rule.hold)
        assert all(bad(rule, one) for one in observed[start : n + 1]), held


@given(limits(), series, st.integers(0, 3), st.integers(0, 8))
def test_every_planted_cause_trips(rule: Limits, observed: list[Observation], deeper: int, rest: int) -> None:
    """Whatever happened before, a cause that lasts past the cool-down and the wait, watched without a gap, trips."""
    state = phases(rule, observed)[-1]
    worst = rule.trip + deeper if rule.danger is Danger.HIGH else rule.trip - deeper
    at = observed[-1][0] + rest
    end = at + rule.cooldown + rule.hold + 1
    while at <= end:
        state = step(state, rule, at, worst, rule.min_samples)
        at += 1
    assert state.phase is Phase.TRIPPED


@given(limits(), series)
def test_the_same_series_gives_the_same_states_and_an_interruption_changes_none(
    rule: Limits, observed: list[Observation]
) -> None:
    """A state that was stored and read again goes on as if nothing had been; only a wait begins anew."""
    states = phases(rule, observed)
    assert states == phases(rule, observed)
    for n in range(len(observed) - 1):
        kept = states[n] if states[n].phase in (Phase.TRIPPED, Phase.COOLING) else QUIET
        if states[n].phase is Phase.PENDING:
            continue
        assert step(kept, rule, *observed[n + 1]).phase is step(states[n], rule, *observed[n + 1]).phase


# -- settings and what they may do -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Settings of one of the rules, valid or not, and a subject."""

    name: str
    settings: Conduct
    product_id: str | None
    location_id: str | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    name = draw(st.sampled_from(sorted(KINDS)))
    numbers: dict[str, Any] = {
        field: draw(st.integers(bound.least - 1, bound.most + 1))
        for field, bound in bounds_of(KINDS[name].settings).items()
        if draw(st.booleans())
    }
    settings = replace(
        KINDS[name].settings(),
        mode=draw(st.sampled_from(Mode)),
        action=draw(st.sampled_from(Action)),
        freeze_reach=draw(st.sampled_from(Reach)),
        **numbers,
    )
    return Case(name, settings, draw(st.none() | st.just("p")), draw(st.none() | st.just("l")))


@given(cases())
def test_no_rule_ever_stops_more_than_its_largest_reach(case: Case) -> None:
    """Even with settings that would be refused: they may have been written by an older release, or by hand."""
    kind = KINDS[case.name]
    deed = plan(kind, case.settings, case.product_id, case.location_id)
    assert deed.reach.size <= kind.largest.size
    assert deed.reach.size <= reach_of(case.settings).size
    assert deed.reach is not Reach.CAMPAIGNS or case.product_id is not None
    assert deed.reach is not Reach.LOCATION or case.location_id is not None


@given(cases())
def test_a_shadow_never_acts(case: Case) -> None:
    deed = plan(KINDS[case.name], case.settings, case.product_id, case.location_id)
    assert deed.acts == (case.settings.mode is Mode.ON)


@given(cases())
def test_settings_that_are_accepted_leave_a_gap_on_the_right_side(case: Case) -> None:
    kind = KINDS[case.name]
    try:
        check_settings(kind, case.settings)
    except NervioError as refusal:
        named = refusal.data["field"]
    else:
        named = None
    if named is not None:
        assert hasattr(case.settings, named)
        return
    rule = limits_of(kind, case.settings, 1.0)
    assert not (rule.is_bad(rule.clear, 10**9) or rule.is_calm(rule.trip, 10**9))
    assert rule.cooldown == case.settings.cooldown_seconds * SECOND
    # What was accepted is what comes back from the store.
    assert decode_settings(kind, encode_settings(case.settings)) == case.settings


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_rule_starts_with_settings_that_are_valid_and_in_shadow_but_for_critical_stock(name: str) -> None:
    kind = KINDS[name]
    settings = check_settings(kind, kind.settings())
    assert settings.mode is (Mode.ON if name == "critical_stock" else Mode.SHADOW)
    assert settings.action in (Action.ALERT, Action.PAUSE_CAMPAIGNS)


@pytest.mark.parametrize(
    ("rule", "given_settings", "field", "code"),
    [
        ("critical_stock", {"clear_percent": 100}, "clear_percent", "rule_clear_not_above"),
        ("refunds", {"clear_excess_bp": 1_500}, "clear_excess_bp", "rule_clear_not_below"),
        ("refunds", {"window_minutes": 0}, "window_minutes", "rule_out_of_bounds"),
        ("refunds", {"window_minutes": "an hour"}, "window_minutes", "rule_not_a_number"),
        ("refunds", {"window_minutes": True}, "window_minutes", "rule_not_a_number"),
        ("refunds", {"mode": "loud"}, "mode", "rule_setting_invalid"),
        ("refunds", {"colour": "red"}, "colour", "rule_setting_unknown"),
        ("refunds", {"action": "pause_campaigns"}, "action", "rule_has_no_product"),
        ("refunds", {"action": "freeze", "freeze_reach": "tenant"}, "freeze_reach", "rule_reach_too_large"),
        ("negative_margin", {"action": "freeze", "freeze_reach": "location"}, "freeze_reach", "rule_has_no_location"),
        ("refunds", {"freeze_module": "identity"}, "freeze_module", "rule_module_unknown"),
        ("refunds", {"freeze_level": "some"}, "freeze_level", "invalid_level"),
        ("refunds", {"freeze_reach": "campaigns"}, "freeze_reach", "rule_reach_not_frozen"),
    ],
)
def test_settings_that_mean_nothing_are_refused_at_their_field(
    rule: str, given_settings: dict[str, object], field: str, code: str
) -> None:
    kind = KINDS[rule]
    with pytest.raises(NervioError) as refused:
        changed_settings(kind, kind.settings(), given_settings)
    assert (refused.value.code, refused.value.data["field"]) == (code, field)


def test_settings_that_no_longer_fit_fall_back_to_the_defaults_and_new_ones_are_filled_in() -> None:
    kind = KINDS["refunds"]
    assert decode_settings(kind, "{broken") == kind.settings()
    assert decode_settings(kind, '{"trip_excess_bp": 1, "clear_excess_bp": 7}') == kind.settings()
    kept = decode_settings(kind, '{"trip_excess_bp": 2000, "gone_since": 1}')
    assert kept == Refunds(trip_excess_bp=2000)


def test_an_action_that_lacks_its_object_becomes_an_alert_and_nothing_larger() -> None:
    kind = KINDS["critical_stock"]
    settings = replace(kind.settings(), action=Action.FREEZE, freeze_reach=Reach.LOCATION)
    assert plan(kind, settings, "p", "l") == Deed(Action.FREEZE, Reach.LOCATION, acts=True)
    assert plan(kind, settings, "p", None) == Deed(Action.ALERT, Reach.NOTHING, acts=True)
