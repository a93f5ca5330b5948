"""What a planted race is: patches that plant it, where it is known from, and the promises that it breaks."""

from dataclasses import dataclass
from pathlib import Path


class DoesNotApply(Exception):
    """The text that a patch replaces is not there, or more than once."""


@dataclass(frozen=True)
class Patch:
    """`old` becomes `new` in a file of the package."""

    file: str
    old: str
    new: str

    def apply(self, package: Path) -> None:
        """Changes the file of a copy of the package. Raises DoesNotApply."""
        path = package / self.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.count(self.old) != 1:
            raise DoesNotApply(f"{self.file} has {text.count(self.old)} times:\n{self.old}")
        path.unlink()  # a copy may be a link to the product's own file
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Mutant:
    """A planted race. `schema`: what it takes away from the empty database. `breaks`: promises by which it may be found.
    `seed`: where to begin to look, when there is no time to begin at the first."""

    name: str
    known_from: str
    patches: tuple[Patch, ...]
    breaks: tuple[str, ...]
    schema: tuple[str, ...] = ()
    seed: int = 1
