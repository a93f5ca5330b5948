"""The file of saved heads, which must outlive every crash of the process that writes it."""

from dataclasses import replace
from pathlib import Path

import pytest

from nervio.kernel.errors import NervioError
from nervio.modules.ledger.contracts import SealedHead
from nervio.modules.ledger.domain import head_line
from nervio.modules.ledger.usecases.heads import HeadsFile, read_heads

HEAD = SealedHead(1, 10, "ab" * 32, 1_772_366_400_000_000, "cd" * 32, "ef" * 64)
HEADS = [replace(HEAD, height=height, to_position=10 * height) for height in range(1, 31)]


def test_heads_come_back_in_order(tmp_path: Path) -> None:
    file = HeadsFile(tmp_path / "seals" / "heads.jsonl")
    assert file.last() is None
    file.append(HEADS[:20])
    file.append([])
    file.append(HEADS[20:])
    assert list(read_heads(file.path)) == HEADS
    assert file.last() == HEADS[-1]


def test_a_head_saved_after_the_call_is_not_seen(tmp_path: Path) -> None:
    """An audit reads a snapshot of the database; a block that the sealer adds meanwhile is not in it."""
    file = HeadsFile(tmp_path / "heads.jsonl")
    before_any = read_heads(file.path)
    file.append(HEADS[:2])
    before_more = read_heads(file.path)
    file.append(HEADS[2:])
    assert (list(before_any), list(before_more)) == ([], HEADS[:2])


def test_no_file_is_no_heads(tmp_path: Path) -> None:
    assert list(read_heads(tmp_path / "heads.jsonl")) == []


@pytest.mark.parametrize("left", [1, 50, len(head_line(HEADS[19])) - 1])
def test_a_half_written_last_line_is_no_head_and_is_written_again(tmp_path: Path, left: int) -> None:
    file = HeadsFile(tmp_path / "heads.jsonl")
    file.append(HEADS[:19])
    with file.path.open("ab") as torn:
        torn.write(head_line(HEADS[19])[:left])
    assert list(read_heads(file.path)) == HEADS[:19]
    assert file.last() == HEADS[18]
    file.append(HEADS[19:])
    assert list(read_heads(file.path)) == HEADS


def test_a_page_of_zeros_at_the_end_is_cut_off(tmp_path: Path) -> None:
    """What some file systems leave of a write that a power cut interrupted."""
    file = HeadsFile(tmp_path / "heads.jsonl")
    file.append(HEADS[:5])
    with file.path.open("ab") as torn:
        torn.write(b"\0" * 512)
    assert file.last() == HEADS[4]
    file.append(HEADS[5:])
    assert list(read_heads(file.path)) == HEADS


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", head_line(replace(HEAD, hash="ab")), b'{"height":"1"}\n'])
def test_a_line_that_is_no_head_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "heads.jsonl"
    path.write_bytes(head_line(HEADS[0]) + line + head_line(HEADS[1]))
    with pytest.raises(NervioError, match=r"Line 2 of heads\.jsonl"):
        list(read_heads(path))
