"""A stop as a person would say it aloud, and what becomes of it when somebody lets go of it or its time is over."""

from dataclasses import dataclass, field

LEVELS = ("reduce_only", "read_only", "all")
"""From least to most, as a thaw goes down."""


@dataclass(eq=False)
class ModelStop:
    """Acknowledged, and in force for at least as long as this says. All times are true seconds."""

    module: str | None
    place: str | None
    level: str
    ends_at: float | None = None
    """None: latched."""
    stage_seconds: float | None = None
    """How long each stage of its thaw lasts at least; None: it ends at once."""
    takes_two: bool = False
    thawed_at: float | None = None
    """From when on enough people have let go of it."""
    people: set[str] = field(default_factory=set)

    def let_go(self, person: str, now: float) -> None:
        """Somebody is about to let go of it, or to confirm that somebody else does."""
        self.people.add(person)
        if self.thawed_at is None and len(self.people) > self.takes_two:
            self.thawed_at = now

    def level_at(self, now: float) -> str | None:
        """The least that it forbids at that moment; None when it may be over."""
        if self.ends_at is not None and now >= self.ends_at:
            return None
        if self.thawed_at is None:
            return self.level
        if self.stage_seconds is None:
            return None
        left = LEVELS.index(self.level) - 1 - int((now - self.thawed_at) / self.stage_seconds)
        return LEVELS[left] if left >= 0 else None

    def forbids(self, now: float, modules: set[str], places: set[str] | None, *, gives_back: bool) -> bool:
        """Whether a deed that writes to these modules at these places (None: at any) may not happen at that moment."""
        level = self.level_at(now)
        if level is None or (self.module is not None and self.module not in modules):
            return False
        if self.place is not None and places is not None and self.place not in places:
            return False
        return not (gives_back and level == "reduce_only")
