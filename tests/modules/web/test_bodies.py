"""What a body that does not fit is told, and how refusals are put in the words of the request."""

from typing import Annotated, Literal

import msgspec
import pytest

from nervio.kernel.errors import Kind, NervioError
from nervio.web.bodies import decode, in_terms_of


class Part(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=3, pattern="^[a-z]*$")]
    count: Annotated[int, msgspec.Meta(gt=0, lt=10)] | None = None


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    parts: Annotated[list[Part], msgspec.Meta(max_length=2)]
    kind: Literal["a", "b"] = "a"
    note: str = ""


DECODER = msgspec.json.Decoder(Whole)


@pytest.mark.parametrize(
    ("raw", "code", "field", "sentence"),
    [
        (b"{}", "missing_field", "parts", "parts is required."),
        (b'{"parts":[],"x":1}', "unknown_field", "x", "x is not a field of this request; leave it out."),
        (b'{"parts":[{}]}', "missing_field", "parts[0].name", "parts[0].name is required."),
        (b'{"parts":[{"name":1}]}', "wrong_type", "parts[0].name", "parts[0].name must be a string, not an integer."),
        (
            b'{"parts":[{"name":"a","count":1.5}]}',
            "wrong_type",
            "parts[0].count",
            "parts[0].count must be an integer or null, not a decimal number.",
        ),
        (b'{"parts":[{"name":"a","count":0}]}', "out_of_range", "parts[0].count", "parts[0].count must be at least 1."),
        (b'{"parts":[{"name":"a","count":10}]}', "out_of_range", "parts[0].count", "parts[0].count must be at most 9."),
        (
            b'{"parts":[{"name":""}]}',
            "out_of_range",
            "parts[0].name",
            "parts[0].name must have at least 1 characters or entries.",
        ),
        (b'{"parts":[{"name":"A"}]}', "invalid_value", "parts[0].name", "parts[0].name must match '^[a-z]*$'."),
        (b'{"parts":[],"kind":"c"}', "invalid_choice", "kind", "kind must be one of a, b."),
        (b"[]", "wrong_type", "body", "body must be an object, not a list."),
        (b'{"parts":[],"note":"\\u0000"}', "nul_character", "note", "note must not contain the NUL character."),
    ],
)
def test_the_first_field_that_does_not_fit_is_named_with_its_fix(
    raw: bytes, code: str, field: str, sentence: str
) -> None:
    with pytest.raises(NervioError) as refusal:
        decode(DECODER, raw, {"kind": "a, b"})
    error = refusal.value
    assert (error.kind, error.code, error.data["field"], error.message) == (Kind.INVALID, code, field, sentence)


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert decode(DECODER, b'{"parts":[],"note":"\\\\u0000"}').note == "\\u0000"


@pytest.mark.parametrize("raw", [b"", b"{", b'{"parts":[]} x', b'{"note":"\xff"}', b'{"parts":[],"note":"\\ud800"}'])
def test_what_is_no_json_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(NervioError) as refusal:
        decode(DECODER, raw)
    assert refusal.value.code == "malformed_json"


def test_a_refusal_is_put_in_the_words_of_the_request() -> None:
    error = NervioError(
        Kind.CONFLICT,
        "short",
        "lines[0].quantity is too much.",
        field="lines[0].quantity",
        shortages=[{"sku": "A", "available": 1}],
        total=3,
    )
    told = in_terms_of(error, {"quantity": "quantity_milli", "available": "available_milli", "total": "total_minor"})
    assert (told.kind, told.code, told.message) == (Kind.CONFLICT, "short", "lines[0].quantity_milli is too much.")
    assert told.data == {
        "field": "lines[0].quantity_milli",
        "shortages": [{"sku": "A", "available_milli": 1}],
        "total_minor": 3,
    }
    assert error.data["field"] == "lines[0].quantity", "a remembered refusal is shared and stays as it is"
