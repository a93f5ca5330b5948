"""Bodies of the hot routes: decoded strictly, and refused by the path of the field that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from nervio.kernel.errors import NervioError, invalid
from nervio.kernel.time import Instant, parse_iso

T = TypeVar("T")

_WORDS = {
    "int": "an integer",
    "float": "a decimal number",
    "str": "a string",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_AT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_TYPES = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`")
_BOUND = re.compile(r"Expected `\w+`(?P<what> of length| matching regex)? (?P<bound>.*)", re.DOTALL)
_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def decode(decoder: msgspec.json.Decoder[T], raw: bytes, choices: Mapping[str, str] | None = None) -> T:
    """The body as `decoder` types it. Raises `invalid` with the path of the first field that does not fit.

    `choices`: what a field of that name may be, for the message; the decoder itself does not tell.
    """
    try:
        body = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _explained(str(error), choices or {}) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid("malformed_json", f"The body must be one JSON object in UTF-8: {error}.", field="body") from None
    # JSON writes the NUL character in this one way only; PostgreSQL cannot store it.
    if b"\\u0000" in raw:
        refuse_nul(msgspec.to_builtins(body))
    return body


def refuse_nul(value: Any) -> None:
    """Raises `invalid` where a text in decoded JSON, a name of a field too, holds the NUL character."""
    for path in _paths_of_nul(value, ""):
        raise invalid("nul_character", f"{path} must not contain the NUL character.", field=path)


def instant_of(text: str | None, field: str) -> Instant | None:
    """The instant of an RFC 3339 time that may be left out."""
    return None if text is None else parse_iso(text, field)


def in_terms_of(error: NervioError, names: Mapping[str, str]) -> NervioError:
    """The same refusal in the words of the request: use cases name their own fields, callers sent others.

    `names`: a field as a use case says it → as requests and answers say it; in the path, the sentence and the data.
    """
    data = {names.get(name, name): _renamed(value, names) for name, value in error.data.items()}
    message = error.message
    path = error.data.get("field")
    if isinstance(path, str):
        start, dot, last = path.rpartition(".")
        data["field"] = start + dot + names.get(last, last)
        message = message.replace(path, data["field"])
    return NervioError(error.kind, error.code, message, **data)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(part, names) for part in value]
    if isinstance(value, dict):
        return {names.get(name, name): _renamed(part, names) for name, part in value.items()}
    return value


def _explained(text: str, choices: Mapping[str, str]) -> NervioError:
    parts = _AT.fullmatch(text)
    assert parts is not None
    what, where = parts["what"], parts["where"] or ""
    if named := _NAMED.fullmatch(what):
        path = f"{where}.{named['name']}" if where else named["name"]
        if named["what"].startswith("missing"):
            return invalid("missing_field", f"{path} is required.", field=path)
        return invalid("unknown_field", f"{path} is not a field of this request; leave it out.", field=path)
    path = where or "body"
    if types := _TYPES.fullmatch(what):
        wanted = " or ".join(_WORDS.get(word, word) for word in types["wanted"].split(" | "))
        got = _WORDS.get(types["got"], types["got"])
        return invalid("wrong_type", f"{path} must be {wanted}, not {got}.", field=path)
    if bound := _BOUND.fullmatch(what):
        code = "invalid_value" if (bound["what"] or "").endswith("regex") else "out_of_range"
        return invalid(code, f"{path} {_bounded(bound['what'], bound['bound'])}.", field=path)
    if what.startswith("Invalid enum value"):
        allowed = choices.get(path.rpartition(".")[2])
        return invalid(
            "invalid_choice", f"{path} must be one of {allowed}." if allowed else f"{path}: {what}.", field=path
        )
    return invalid("invalid_value", f"{path}: {what}.", field=path)


def _bounded(what: str | None, bound: str) -> str:
    sign, _, number = bound.partition(" ")
    if what is None:
        return f"must be {_SIGNS.get(sign, sign)} {number}"
    if what.endswith("regex"):
        return f"must match {bound}"
    return f"must have {_SIGNS.get(sign, sign)} {number} characters or entries"


def _paths_of_nul(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, str) and "\x00" in value:
        yield path
    elif isinstance(value, dict):
        for name, part in value.items():
            if "\x00" in str(name):
                yield path or "body"
            yield from _paths_of_nul(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for n, part in enumerate(value):
            yield from _paths_of_nul(part, f"{path}[{n}]")
