"""The file format of the demo data."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervio.runtime.demo.columns import pack, unpack

numbers = st.lists(st.integers(-(2**30), 2**30) | st.integers(0, 300))
lines = st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\n")))


@given(plain=numbers, stepped=numbers, texts=lines)
def test_what_was_packed_is_unpacked(plain: list[int], stepped: list[int], texts: list[str]) -> None:
    columns = unpack(pack({"plain": plain, "stepped": stepped}, {"texts": texts}, differences=["stepped"]))
    assert columns.numbers("plain") == plain
    assert columns.numbers("stepped") == stepped
    assert columns.texts("texts") == texts


def test_the_same_columns_give_the_same_bytes() -> None:
    assert pack({"a": [1, 2, 3]}, {"b": ["x"]}) == pack({"a": [1, 2, 3]}, {"b": ["x"]})


def test_a_text_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="'b' holds a line break"):
        pack({}, {"b": ["one\ntwo"]})


def test_a_number_beyond_32_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bits"):
        pack({"a": [0, 2**32]}, {})


def test_a_damaged_file_is_found() -> None:
    packed = bytearray(pack({"a": list(range(1000))}, {}))
    packed[-6] ^= 1  # in the checksum of gzip
    with pytest.raises(gzip.BadGzipFile):
        unpack(bytes(packed))


def test_a_short_file_is_found() -> None:
    whole = gzip.decompress(pack({"a": [1, 2, 3]}, {}))
    with pytest.raises(ValueError, match="promises 3 bytes of columns, the file holds 2"):
        unpack(gzip.compress(whole[:-1]))


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="another format"):
        unpack(gzip.compress(b'{"format":"another format","columns":[]}\n'))
