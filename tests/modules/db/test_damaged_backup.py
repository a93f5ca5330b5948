"""A backup that is not whole is refused before anything is touched, wherever the damage is."""

import random
import zipfile
from pathlib import Path

import pytest

from nervio.db.archive import ArchiveReader
from nervio.db.backup import restore_backup
from nervio.kernel.errors import Kind, NervioError
from nervio.runtime.manifests import MANIFESTS
from tests.builders import create_sqlite_file
from tests.modules.db.test_backup import fill_with_samples, rewritten, save

assert MANIFESTS, "importing the manifests makes every module's tables known"


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    await create_sqlite_file(tmp_path / "shop.db")
    await fill_with_samples(f"sqlite:///{tmp_path / 'shop.db'}")
    return (await save(f"sqlite:///{tmp_path / 'shop.db'}", tmp_path)).path


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def refuse(path: Path) -> NervioError:
    target = path.with_name("restored.db")
    with pytest.raises(NervioError) as refusal:
        await restore_backup(f"sqlite:///{target}", path)
    assert not target.exists()
    assert not list(path.parent.glob("*restor*"))
    return refusal.value


async def test_a_truncated_backup_is_refused_at_every_length(backup: Path) -> None:
    whole = read(backup)
    for length in {0, 1, 100, len(whole) // 4, len(whole) // 2, len(whole) - 100, len(whole) - 1}:
        write(backup, whole[:length])
        error = await refuse(backup)
        assert (error.kind, error.code) == (Kind.INVALID, "backup_damaged"), length


def test_a_flipped_byte_is_found_wherever_it_changes_what_is_read(backup: Path) -> None:
    """Some bytes of a ZIP mean nothing to a reader (a time stamp, say); what is read is the same then."""
    whole = backup.read_bytes()
    with ArchiveReader(backup) as archive:
        expected = contents(archive)
    dice = random.Random(20)
    harmless = 0
    for _ in range(600):
        place = dice.randrange(len(whole))
        backup.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :])
        read_now = contents_or_refusal(backup)
        if not isinstance(read_now, NervioError):
            assert read_now == expected, f"byte {place} changed what is read, and nobody noticed"
            harmless += 1
        else:
            assert read_now.code in {"backup_damaged", "backup_newer"}, f"byte {place}: {read_now!r}"
    assert harmless < 300


def contents_or_refusal(backup: Path) -> dict[str, list[object]] | NervioError:
    try:
        with ArchiveReader(backup) as archive:
            archive.check()
            return contents(archive)
    except NervioError as refusal:
        return refusal


def contents(archive: ArchiveReader) -> dict[str, list[object]]:
    return {name: [row for rows in archive.read_rows(name) for row in rows] for name in archive.manifest.tables}


async def test_a_file_that_never_was_a_backup_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "backup_20260301_120000.nervio"
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert (await refuse(path)).code == "backup_damaged"
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("holiday.jpg", b"beach")
    assert (await refuse(path)).code == "backup_damaged"


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = await refuse(tmp_path / "backup_20260301_120000.nervio")
    assert (error.kind, error.code) == (Kind.NOT_FOUND, "backup_not_found")


async def test_a_swapped_table_is_found_although_the_archive_is_well_formed(backup: Path) -> None:
    copy = backup.with_name("swapped.nervio")
    with zipfile.ZipFile(backup) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(
                name, content.replace(b'"products"', b'"Products"') if "manifest" in name else content + b"[]\n"
            )
    assert "checksum" in (await refuse(copy)).message


async def test_a_backup_of_a_later_format_is_refused(backup: Path) -> None:
    copy = rewritten(backup, format=99)
    assert (await refuse(copy)).code == "backup_newer"
