"""The signature as it is documented, and what a receiver refuses."""

import re

import pytest

from nervio.adapters.signing import WINDOW_SECONDS, is_genuine, signature_of
from tests.architecture.tree import ROOT

GUIDE = ROOT / "docs" / "external-actions.md"


def worked_example() -> tuple[str, int, bytes, str]:
    """(secret, timestamp, body, signature) as the guide has them."""
    rows = dict(re.findall(r"^\| (\S+|`\S+`) \| `(.*)` \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE))
    return (
        rows["secret"],
        int(rows["`X-Nervio-Timestamp`"]),
        rows["body"].encode(),
        rows["`X-Nervio-Signature`"],
    )


def test_the_worked_example_of_the_guide_is_what_we_send() -> None:
    secret, timestamp, body, signature = worked_example()
    assert signature_of(secret, timestamp, body) == signature


@pytest.mark.parametrize(
    ("secret", "late", "body", "is_good"),
    [
        ("s", 0, b"x", True),
        ("s", WINDOW_SECONDS, b"x", True),
        ("s", WINDOW_SECONDS + 1, b"x", False),
        ("s", -WINDOW_SECONDS - 1, b"x", False),
        ("other", 0, b"x", False),
        ("s", 0, b"y", False),
    ],
)
def test_what_a_receiver_refuses(secret: str, late: int, body: bytes, is_good: bool) -> None:
    now = 1_772_366_400
    assert is_genuine(secret, str(now), signature_of("s", now, b"x"), body, now + late) is is_good
    assert not is_genuine(secret, "\u0663", "v1=", body, now)
