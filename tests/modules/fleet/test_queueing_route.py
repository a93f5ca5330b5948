"""POST /api/tasks is described by hand: what the description says is what is taken, and what is wrong is named."""

import msgspec
import pytest

from nervio.kernel.errors import NervioError
from nervio.modules.fleet.routes.queueing import SUBMIT_TASK, read_task
from tests.modules.served import fits

GOOD = {"kind": "chat", "payload": {"messages": [{"role": "user", "content": "¿cuánto?"}]}}


@pytest.mark.parametrize("more", [{}, {"priority": "low", "retries": 0, "size": 7, "model": "m", "cache": False}])
def test_what_the_description_allows_is_taken(more: dict[str, object]) -> None:
    body = {**GOOD, **more}
    assert fits(SUBMIT_TASK, None, body)
    task = read_task(msgspec.json.encode(body)).to_task()
    assert (task.kind, task.retries, task.cache) == ("chat", more.get("retries", 3), more.get("cache"))


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b'{"payload":{}}', "invalid_request", "kind"),
        (b'{"kind":"chat","payload":"x"}', "invalid_request", "payload"),
        (b'{"kind":"chat","payload":{},"retries":99}', "invalid_request", "retries"),
        (b'{"kind":"chat","payload":{},"size":"7"}', "invalid_request", "size"),
        (b'{"kind":"chat","payload":{},"priority":"urgent"}', "invalid_request", "priority"),
        (b'{"kind":"chat","payload":{},"colour":1}', "invalid_request", "colour"),
        (b'{"kind":"chat","payload":{"a":"\\u0000"}}', "nul_character", "payload.a"),
        (b"[]", "invalid_request", "body"),
        (b"", "malformed_json", "body"),
        (b'{"kind":"chat",', "malformed_json", "body"),
        (b'{"kind":"\xe1"}', "malformed_json", "body"),
        (b"[" * 100_000, "malformed_json", "body"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, code: str, field: str) -> None:
    with pytest.raises(NervioError) as refusal:
        read_task(body)
    assert (refusal.value.code, refusal.value.data["field"]) == (code, field)
