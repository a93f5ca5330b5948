"""What people and workers put into tasks, in words that fit a page."""

from __future__ import annotations

from typing import Any

import pytest

from nervio.modules.console.rooms.tasks import reading


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_question_is_told_by_its_last_message() -> None:
    payload = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How\nmany?"}]}
    assert reading.about(payload) == "How many?"
    assert [(said.role, said.words.text) for said in reading.conversation(payload)] == [
        ("system", "Be brief."), ("user", "How\nmany?"),
    ]  # fmt: skip


@pytest.mark.parametrize("payload", [None, [], 7, {"messages": "no"}, {"messages": [1]}, {"other": 1}])
def test_what_is_no_conversation_is_told_by_its_beginning(payload: Any) -> None:
    assert reading.conversation(payload) == []
    assert reading.about(payload)


def test_messages_of_parts_and_without_a_role_are_shown_too() -> None:
    parts = [{"type": "text", "text": "What is this?"}]
    (said,) = reading.conversation({"messages": [{"content": parts}]})
    assert said.role == ""
    assert "What is this?" in said.words.text


def test_a_text_is_cut_where_the_page_ends_and_says_so() -> None:
    assert not reading.cut("x" * reading.LONGEST_TEXT).is_cut
    assert reading.cut("x" * (reading.LONGEST_TEXT + 1)).is_cut
    assert len(reading.line("word " * 100)) <= reading.LONGEST_LINE + 1


def test_a_large_value_is_written_only_as_far_as_it_is_shown() -> None:
    shown = reading.pretty({"rows": list(range(3_000_000))})
    assert shown.is_cut
    assert len(shown.text) <= reading.LONGEST_TEXT + 1


@pytest.mark.parametrize("depth", [100, 900, 5_000])
def test_a_value_of_any_depth_has_its_words(depth: int) -> None:
    value = nested(depth)
    assert reading.pretty(value).text.startswith("[")
    assert reading.about(value).startswith("[")


def test_what_no_page_can_be_written_with_is_replaced() -> None:
    for text in (reading.cut("a\ud800\x00b").text, reading.pretty(["a\ud800\x00b"]).text, reading.about("a\ud800")):
        text.encode()
        assert "\x00" not in text


def test_an_answer_is_a_text_or_has_one() -> None:
    assert reading.answer("yes") == reading.Shown("yes", False)
    assert reading.answer({"text": "yes"}) == reading.Shown("yes", False)
    others: list[Any] = [None, 1, [], {"text": 1}, {}]
    assert [reading.answer(other) for other in others] == [None] * 5
    assert not reading.is_more("yes") and not reading.is_more({"text": "yes"})
    assert reading.is_more({"text": "yes", "finish": "length"})


def test_counts_of_what_was_used_stay_numbers() -> None:
    told = {"input_tokens": 12, "cached": True, "model": "m", "detail": {"a": 1}}
    assert reading.usage(told) == [("input_tokens", 12), ("cached", "true"), ("model", "m"), ("detail", '{ "a": 1 }')]
    assert reading.usage([1]) == []
