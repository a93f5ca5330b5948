"""The console's texts: Spanish first, English equally complete.

Each room has one ``<room>.<language>.json`` per language, flat, keyed ``room.what``. Keys that begin with ``js.`` are the
texts that scripts show, those that begin with ``problem.`` say what the code of a refusal means. A key with ``.one`` and ``.other`` forms is asked for by its stem and the parameter ``n``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

LANGUAGES = ("es", "en")
DEFAULT_LANGUAGE = "es"
SCRIPT_PREFIX = "js."
PROBLEM_PREFIX = "problem."


class Texts:
    """All texts of one language."""

    def __init__(self, language: str, entries: Mapping[str, str]) -> None:
        self.language = language
        self.entries = entries

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of ``key`` with ``{name}`` filled in; an unknown key is a KeyError that tests find."""
        if key not in self.entries and "n" in values:
            key = f"{key}.one" if values["n"] == 1 else f"{key}.other"
        text = self.entries[key]
        return text.format(**values) if values else text

    def knows(self, key: str) -> bool:
        """Say whether ``key`` can be asked for."""
        return key in self.entries or f"{key}.other" in self.entries

    def for_scripts(self) -> dict[str, str]:
        """Return the texts that scripts show, without their prefix."""
        return self._under(SCRIPT_PREFIX)

    def for_refusals(self) -> dict[str, str]:
        """Return the texts of refusals by their code."""
        return self._under(PROBLEM_PREFIX)

    def _under(self, prefix: str) -> dict[str, str]:
        return {key.removeprefix(prefix): text for key, text in self.entries.items() if key.startswith(prefix)}


def load_texts(folder: Path = Path(__file__).parent) -> dict[str, Texts]:
    """Read every dictionary and return texts by language; a key written twice is a ValueError."""
    loaded: dict[str, Texts] = {}
    for language in LANGUAGES:
        entries: dict[str, str] = {}
        for path in sorted(folder.glob(f"*.{language}.json")):
            room: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
            if twice := entries.keys() & room.keys():
                raise ValueError(f"{path.name} repeats {sorted(twice)}")
            entries.update(room)
        loaded[language] = Texts(language, entries)
    return loaded


def choose_language(cookie: str | None, accept_language: str | None) -> str:
    """Return the language to show: the cookie, else the first one of Accept-Language that exists, else Spanish."""
    if cookie in LANGUAGES:
        return cookie
    weighed: list[tuple[float, str]] = []
    for part in (accept_language or "").split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), tag[:2].lower()))
        except ValueError:
            continue
    return next((tag for _, tag in sorted(weighed, key=lambda w: w[0]) if tag in LANGUAGES), DEFAULT_LANGUAGE)
