"""Whose turn it is among shops that share a few places: nobody's slow servers keep another's orders waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


class Turns:
    """Hands out places, at most `parallel` at once. A shop alone never has the last one: another that comes need not wait."""

    def __init__(self, parallel: int) -> None:
        self._parallel = parallel
        self._held: Counter[str] = Counter()
        self._last = ""

    def order(self, shops: Sequence[str]) -> list[str]:
        """The shops in the order of their turns: whoever comes after the one that was served last begins."""
        ordered = sorted(shops)
        behind = [shop for shop in ordered if shop > self._last]
        return behind + [shop for shop in ordered if shop <= self._last]

    def room(self, shop: str, shops: int) -> int:
        """How many places a shop may take now, where so many have something to do."""
        most = max(1, min(self._parallel - 1, self._parallel // max(1, shops)))
        free = self._parallel - self._held.total()
        return max(0, min(free, most - self._held[shop]))

    def take(self, shop: str, places: int) -> None:
        """The shop has taken places; it was its turn."""
        self._held[shop] += places
        self._last = shop

    def give_back(self, shop: str) -> None:
        """One place is free again."""
        self._held[shop] -= 1
        if not self._held[shop]:
            del self._held[shop]
