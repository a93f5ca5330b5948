"""Cursors, pages and the cells of CSV."""

import base64

import pytest

from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from nervio.web.lists import Figure, disarmed, page_of, position_of
from nervio.web.pages import encode_cursor


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "\n1", "  =1", "＝1", "＋1", "－1", "＠1", "=cmd|'/C calc'!A0"]
)
def test_text_that_a_spreadsheet_would_run_isdisarmed(text: str) -> None:
    assert disarmed(text) == "'" + text


@pytest.mark.parametrize("cell", ["Yerba", "", "1+1", "a=b", 'say "hi"', -5, 0, None, Figure("-5.25")])
def test_other_cells_stay_as_they_are(cell: str | int | None) -> None:
    assert disarmed(cell) == cell


def test_a_page_that_is_the_last_has_no_cursor() -> None:
    for found, items, more in (([], [], False), ([1, 2], [1, 2], False), ([1, 2, 3], [1, 2], True)):
        page = page_of(found, 2, lambda row: row, lambda row: (row,))
        assert page.items == items
        assert (page.next_cursor is not None) == more
        if page.next_cursor is not None:
            assert position_of(page.next_cursor, "int") == (2,)


def test_the_longest_page_may_have_a_next_one() -> None:
    page = page_of(range(500), 500, lambda row: row, lambda row: (row,))
    assert len(page.items) == 500 and position_of(page.next_cursor, "int") == (499,)


def test_a_cursor_comes_back_as_it_went() -> None:
    position = ("Ñandú = ü", new_id(), 7, True)
    assert position_of(encode_cursor(*position), "text", "id", "int", "bool") == position
    assert position_of(None, "text") is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "a",
        "!!!",
        "e30",
        encode_cursor(),
        encode_cursor("a", "b"),
        encode_cursor("not an id"),
        encode_cursor(1),
        encode_cursor(None),
        encode_cursor("\x00"),
        base64.urlsafe_b64encode(b"[" * 1_500).decode(),
    ],
)
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(NervioError) as refusal:
        position_of(cursor, "id")
    assert refusal.value.data["field"] == "cursor"


@pytest.mark.parametrize("text", ["\x00", "yerba\ud800", "\udfff"])
def test_a_text_no_column_holds_is_refused(text: str) -> None:
    with pytest.raises(NervioError):
        position_of(encode_cursor(text), "text")


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, True, 1.5])
def test_a_number_no_column_holds_is_refused(number: float) -> None:
    with pytest.raises(NervioError):
        position_of(encode_cursor(number), "int")
