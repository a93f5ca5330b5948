"""What a seed decided: every fault, blow, deed and switch has a name, so that a story can be told again with some of them only."""

from collections import Counter
from collections.abc import Iterable
from itertools import groupby

Name = tuple[str, int]


class Decisions:
    """Names what happens, in order, and lets only some of it happen where told to. `only` None: everything."""

    def __init__(self, only: frozenset[Name] | None = None) -> None:
        self.only = only
        self.taken: list[Name] = []
        self._asked: Counter[str] = Counter()

    def happens(self, kind: str) -> bool:
        """Whether what the seed wants to happen now does."""
        self._asked[kind] += 1
        return self.takes(kind, self._asked[kind])

    def takes(self, kind: str, number: int) -> bool:
        """The same, of something that has a number by itself."""
        if self.only is not None and (kind, number) not in self.only:
            return False
        self.taken.append((kind, number))
        return True


def spell(names: Iterable[Name]) -> str:
    """Decisions as a word of a command line: `deed=1,4-6;switch=17`."""
    parts = []
    for kind, group in groupby(sorted(names), lambda name: name[0]):
        runs: list[list[int]] = []
        for _, number in group:
            if runs and runs[-1][1] == number - 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        parts.append(f"{kind}={','.join(str(a) if a == b else f'{a}-{b}' for a, b in runs)}")
    return ";".join(parts)


def unspell(word: str) -> frozenset[Name]:
    """The decisions that a word names. Raises ValueError where it is none."""
    found = set()
    for part in filter(None, word.split(";")):
        kind, _, numbers = part.partition("=")
        for run in numbers.split(","):
            first, _, last = run.partition("-")
            found |= {(kind, number) for number in range(int(first), int(last or first) + 1)}
    return frozenset(found)
