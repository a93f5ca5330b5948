"""Static files under a fingerprint, so that a browser may keep them for ever and still never runs old code.

One fingerprint covers the whole tree: ES modules import each other relatively, so a prefix shared by all of them needs no
import map and no rewriting. The cost accepted is that a release invalidates every file at once (about 60 KB).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONTENT_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
STATIC_ROOT = Path(__file__).parent / "static"
IMMUTABLE = "public, max-age=31536000, immutable"
WORKER = "js/sw.js"


@dataclass(frozen=True)
class Asset:
    """One static file held in memory: its bytes and the headers it is served with."""

    body: bytes
    content_type: str


class Assets:
    """The console's static files, read once at start.

    Files that exist only as a function of others (texts for scripts, the list the service worker keeps) are made here
    and live in the same tree, so that they carry the same fingerprint.
    """

    def __init__(
        self,
        script_texts: Mapping[str, Mapping[str, str]],
        root: Path = STATIC_ROOT,
        *,
        refusals: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        files = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
        self._assets = {
            name: Asset(path.read_bytes(), CONTENT_TYPES[path.suffix])
            for name, path in files.items()
            if path.suffix in CONTENT_TYPES
        }
        # Refusals apart: a script loads them when it has one to explain.
        for folder, languages in (("texts", script_texts), ("refusals", refusals or {})):
            for language, texts in languages.items():
                module = f"export default {json.dumps(dict(texts), ensure_ascii=False, sort_keys=True)};\n"
                self._assets[f"{folder}/{language}.js"] = Asset(module.encode(), CONTENT_TYPES[".js"])
        self.fingerprint = self._digest()
        kept = [self.url(name) for name in sorted(self._assets) if name != WORKER]
        self._assets["precache.json"] = Asset(json.dumps(kept).encode(), CONTENT_TYPES[".json"])

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for name in sorted(self._assets):
            digest.update(f"{name}\0{len(self._assets[name].body)}\0".encode())
            digest.update(self._assets[name].body)
        return digest.hexdigest()[:16]

    def url(self, name: str) -> str:
        """Return the address of a file of the tree; a name that does not exist is a KeyError, not a broken page."""
        if name not in self._assets:
            raise KeyError(f"no static file named {name!r}")
        return f"/static/{self.fingerprint}/{name}"

    def find(self, fingerprint: str, name: str) -> Asset | None:
        """Return the file for a request path, or None for an unknown name or a fingerprint of another release."""
        return self._assets.get(name) if fingerprint == self.fingerprint else None

    def worker(self) -> Asset:
        """Return the service worker, which is served at ``/console/sw.js`` with ``Service-Worker-Allowed: /console``, since its path bounds its scope."""
        return self._assets[WORKER]

    def names(self) -> frozenset[str]:
        """Return every name that ``url`` accepts."""
        return frozenset(self._assets)
