"""Stock rules on plain values."""

from hypothesis import given
from hypothesis import strategies as st

from nervio.modules.stock.domain import (
    LevelState,
    LotState,
    crossed_down,
    earlier,
    first_expired_first_out,
    fit_to_sell,
    holds_to_break,
)

TODAY = "2026-03-01"


def picks(lots: list[LotState], quantity: int, today: str = TODAY) -> list[tuple[str, int]] | None:
    found = first_expired_first_out(lots, quantity, today)
    return None if found is None else [(lot.lot, share) for lot, share in found]


def test_the_first_lot_to_expire_is_picked_first() -> None:
    lots = [LotState("late", "2026-09-01", 5), LotState("soon", "2026-03-02", 5)]
    assert picks(lots, 7) == [("soon", 5), ("late", 2)]


def test_an_undated_lot_is_picked_last() -> None:
    lots = [LotState("undated", None, 5), LotState("dated", "2030-01-01", 5)]
    assert picks(lots, 6) == [("dated", 5), ("undated", 1)]


def test_lots_that_expire_together_are_picked_by_their_code() -> None:
    lots = [LotState("B", "2026-05-01", 5), LotState("A", "2026-05-01", 5)]
    assert picks(lots, 1) == [("A", 1)]


def test_a_lot_may_be_sold_on_its_last_day() -> None:
    assert picks([LotState("today", TODAY, 5)], 5) == [("today", 5)]


def test_an_expired_lot_is_never_picked() -> None:
    lots = [LotState("yesterday", "2026-02-28", 5), LotState("good", "2026-04-01", 2)]
    assert picks(lots, 2) == [("good", 2)]
    assert picks(lots, 3) is None


def test_an_empty_lot_is_passed_over() -> None:
    assert picks([LotState("empty", "2026-03-02", 0), LotState("full", None, 1)], 1) == [("full", 1)]


dates = st.none() | st.sampled_from(["2026-02-01", "2026-02-28", TODAY, "2026-03-02", "2027-01-01"])
lot_lists = st.lists(st.builds(LotState, st.sampled_from("ABCDEFGH"), dates, st.integers(0, 50)), max_size=8)


@given(lot_lists, st.integers(1, 200))
def test_picks_add_up_to_the_demand_and_to_no_more_than_a_lot_holds(lots: list[LotState], quantity: int) -> None:
    found = first_expired_first_out(lots, quantity, TODAY)
    if found is None:
        assert fit_to_sell(lots, TODAY) < quantity
        return
    assert sum(share for _, share in found) == quantity
    assert all(0 < share <= lot.on_hand and not lot.is_expired(TODAY) for lot, share in found)
    order = [lot.expires_on or "9999" for lot, _ in found]
    assert order == sorted(order)


def test_available_is_what_nobody_was_promised() -> None:
    level = LevelState(10, 4, allow_negative=False)
    assert level.available == 6
    assert level.can_give(6)
    assert not level.can_give(7)


def test_a_location_that_may_go_negative_gives_what_it_has_not() -> None:
    assert LevelState(0, 0, allow_negative=True).can_give(5)


def test_a_level_becomes_critical_when_it_falls_to_the_mark_and_only_then() -> None:
    assert crossed_down(6, 5, 5)
    assert crossed_down(9, 2, 5)
    assert not crossed_down(5, 4, 5)
    assert not crossed_down(4, 6, 5)
    assert not crossed_down(6, 5, None)


def test_a_short_count_breaks_the_newest_holds_and_no_more_than_it_must() -> None:
    newest_first = [("c", 3), ("b", 3), ("a", 3)]
    assert holds_to_break(9, 9, newest_first) == []
    assert holds_to_break(9, 8, newest_first) == ["c"]
    assert holds_to_break(9, 3, newest_first) == ["c", "b"]
    assert holds_to_break(9, 0, newest_first) == ["c", "b", "a"]
    assert holds_to_break(9, -4, newest_first) == ["c", "b", "a"]


@given(st.lists(st.integers(1, 20), max_size=8), st.integers(-5, 100))
def test_what_is_promised_after_a_count_is_covered_by_what_was_counted(held: list[int], on_hand: int) -> None:
    holds = [(str(n), units) for n, units in enumerate(held)]
    broken = holds_to_break(sum(held), on_hand, holds)
    kept = sum(units for name, units in holds if name not in broken)
    assert kept <= max(on_hand, 0)
    assert broken == [name for name, _ in holds[: len(broken)]]
    if broken:
        assert kept + held[len(broken) - 1] > max(on_hand, 0), "one hold fewer would not have done"


def test_of_two_expiry_dates_the_earlier_one_counts() -> None:
    assert earlier("2026-05-01", "2026-04-01") == "2026-04-01"
    assert earlier(None, "2026-04-01") == "2026-04-01"
    assert earlier("2026-04-01", None) == "2026-04-01"
    assert earlier(None, None) is None
