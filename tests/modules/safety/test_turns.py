"""Turns among shops: everybody's comes, whatever one of them has to do."""

import random

from nervio.modules.safety.domain.turns import Turns


def test_a_shop_alone_leaves_a_place_for_whoever_comes() -> None:
    turns = Turns(8)
    assert turns.room("a", 1) == 7
    turns.take("a", 7)
    assert turns.room("a", 1) == 0
    assert turns.room("b", 2) == 1
    assert turns.order(["a", "b"]) == ["b", "a"]


def test_a_single_place_goes_round() -> None:
    turns = Turns(1)
    served = []
    for _ in range(6):
        shop = turns.order(["a", "b", "c"])[0]
        assert turns.room(shop, 3) == 1
        turns.take(shop, 1)
        served.append(shop)
        turns.give_back(shop)
    assert "".join(served) == "abcabc"


def test_whoever_waits_is_served_within_a_round_whatever_the_others_hold() -> None:
    dice = random.Random(3)
    for parallel in (1, 2, 4, 8):
        turns, held = Turns(parallel), list[str]()
        waited = dict.fromkeys("abcdef", 0)
        for _ in range(3_000):
            # Somebody's slow server answers in the end: one place is given back a step.
            if held:
                turns.give_back(held.pop(dice.randrange(len(held))))
            shops = list(waited)
            for shop in turns.order(shops):
                room = turns.room(shop, len(shops))
                if room:
                    turns.take(shop, room)
                    held += [shop] * room
                    waited[shop] = 0
                elif shop not in held:
                    waited[shop] += 1
            assert len(held) <= parallel
            assert max(waited.values()) <= 6
