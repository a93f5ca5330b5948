"""The obvious model of a stop: for how long it forbids what, whoever lets go of it and however."""

from tests.simulation.model_stop import ModelStop


def levels(stop: ModelStop, *seconds: float) -> list[str | None]:
    return [stop.level_at(at) for at in seconds]


def test_a_latched_stop_stays_until_somebody_lets_go() -> None:
    stop = ModelStop("stock", None, "all")
    assert levels(stop, 0.0, 1e6) == ["all", "all"]
    stop.let_go("ann", 5.0)
    assert levels(stop, 5.0, 9.0) == [None, None]


def test_one_for_a_time_is_over_when_the_time_is() -> None:
    assert levels(ModelStop(None, None, "all", ends_at=3.0), 2.999, 3.0) == ["all", None]


def test_a_thaw_in_stages_takes_none_before_its_time() -> None:
    stop = ModelStop(None, None, "all", stage_seconds=1.0)
    stop.let_go("ann", 10.0)
    assert levels(stop, 10.0, 10.9, 11.0, 11.9, 12.0) == ["read_only", "read_only", "reduce_only", "reduce_only", None]


def test_what_takes_two_waits_for_the_second_and_not_for_the_same_one_again() -> None:
    stop = ModelStop(None, None, "all", takes_two=True)
    stop.let_go("ann", 1.0)
    stop.let_go("ann", 2.0)
    assert levels(stop, 3.0) == ["all"]
    stop.let_go("bob", 4.0)
    assert levels(stop, 4.0) == [None]


def test_it_forbids_what_it_covers() -> None:
    stop = ModelStop("stock", "MAIN", "reduce_only")
    assert stop.forbids(0.0, {"stock"}, {"MAIN", "DEPOSIT"}, gives_back=False)
    assert stop.forbids(0.0, {"stock"}, None, gives_back=False), "what names no place may touch any"
    assert not stop.forbids(0.0, {"stock"}, {"MAIN"}, gives_back=True)
    assert not stop.forbids(0.0, {"sales"}, {"MAIN"}, gives_back=False)
    assert not stop.forbids(0.0, {"stock"}, {"DEPOSIT"}, gives_back=False)
