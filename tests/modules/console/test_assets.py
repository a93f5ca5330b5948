"""Static files: one fingerprint that follows their content, and nothing served under a wrong one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nervio.modules.console.assets import STATIC_ROOT, Assets

TEXTS = {"es": {"close": "Cerrar"}, "en": {"close": "Close"}}


def _tree(folder: Path, body: str = "a") -> Path:
    (folder / "js").mkdir(parents=True)
    (folder / "js" / "app.js").write_text(body, encoding="utf-8")
    (folder / "js" / "sw.js").write_text("worker", encoding="utf-8")
    return folder


def test_a_change_of_any_file_or_text_changes_every_address(tmp_path: Path) -> None:
    first = Assets(TEXTS, _tree(tmp_path / "1"))
    same = Assets(TEXTS, _tree(tmp_path / "2"))
    other_file = Assets(TEXTS, _tree(tmp_path / "3", "b"))
    other_text = Assets({**TEXTS, "en": {"close": "Shut"}}, _tree(tmp_path / "4"))
    assert first.fingerprint == same.fingerprint
    assert len({first.fingerprint, other_file.fingerprint, other_text.fingerprint}) == 3


def test_a_file_is_found_under_its_own_fingerprint_only(tmp_path: Path) -> None:
    assets = Assets(TEXTS, _tree(tmp_path / "1"))
    found = assets.find(assets.fingerprint, "js/app.js")
    assert found is not None
    assert found.body == b"a"
    assert assets.find("0" * 16, "js/app.js") is None
    assert assets.find(assets.fingerprint, "../assets.py") is None
    with pytest.raises(KeyError, match="nowhere"):
        assets.url("nowhere.css")


def test_the_worker_keeps_every_file_but_itself() -> None:
    assets = Assets(TEXTS)
    kept = assets.find(assets.fingerprint, "precache.json")
    assert kept is not None
    names = {address.split("/", 3)[3] for address in json.loads(kept.body)}
    assert names == assets.names() - {"precache.json", "js/sw.js"}


def test_modules_import_only_files_that_exist_beside_them() -> None:
    for script in sorted((STATIC_ROOT / "js").glob("*.js")):
        for name in re.findall(r'(?:from|import) "(.*?)"', script.read_text(encoding="utf-8")):
            assert name.startswith("./"), f"{script.name} imports {name}"
            assert (script.parent / name).exists(), f"{script.name} imports {name}"


def test_sheets_and_scripts_reach_for_nothing_outside() -> None:
    for path in sorted(STATIC_ROOT.rglob("*")):
        if path.suffix in {".css", ".js"}:
            assert (
                re.findall(
                    r"https?://(?!www\.w3\.org/2000/svg)|data:[a-z]+/|\beval\(|new Function|@import|innerHTML",
                    path.read_text("utf-8"),
                )
                == []
            )


def test_the_dark_sheet_overrides_colours_that_exist() -> None:
    light = set(re.findall(r"(--[\w-]+):", (STATIC_ROOT / "css" / "tokens.css").read_text("utf-8")))
    dark = set(re.findall(r"(--[\w-]+):", (STATIC_ROOT / "css" / "dark.css").read_text("utf-8")))
    used = {
        name
        for path in (STATIC_ROOT / "css").glob("*.css")
        for name in re.findall(r"var\((--[\w-]+)", path.read_text("utf-8"))
    }
    assert dark <= light
    assert used <= light


def test_every_icon_that_is_used_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="(\w+)"', (STATIC_ROOT / "icons.svg").read_text("utf-8")))
    scripts = "".join(path.read_text("utf-8") for path in (STATIC_ROOT / "js").glob("*.js"))
    pages = "".join(path.read_text("utf-8") for path in (STATIC_ROOT.parent / "templates").rglob("*.html"))
    used = set(re.findall(r'\bicon\("(\w+)"', scripts + pages)) | set(re.findall(r'\bempty\("(\w+)"', pages))
    assert used - drawn == set()
