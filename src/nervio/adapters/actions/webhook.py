"""A platform of somebody's own making: signed orders to one address, the campaign's state read from another.

The shapes are in `docs/external-actions.md`, with a worked example of the signature.
"""

from __future__ import annotations

import json
from urllib.parse import quote, urlsplit

from nervio.adapters.outbound import Lost, NotSent, Outbound, Reply
from nervio.adapters.signing import headers_for
from nervio.kernel.time import SECOND
from nervio.ports.actions import Account, Answer, CampaignStatus, Order, Outcome, Reading
from nervio.ports.clock import Clock

_STATUSES = {
    "paused": CampaignStatus.PAUSED,
    "running": CampaignStatus.RUNNING,
    "gone": CampaignStatus.GONE,
}


class WebhookPlatform:
    """Posts orders to `url`; asks `status_url` (or `url` itself) with GET and `?campaign=`."""

    def __init__(self, outbound: Outbound, clock: Clock, account: Account) -> None:
        self._outbound, self._clock = outbound, clock
        self._url = account.settings["url"]
        self._status_url = account.settings.get("status_url", "") or self._url
        self._secret = account.secrets.get("signing_secret", "")

    async def pause(self, order: Order) -> Answer:
        """Posts `{"action": "pause", …}`."""
        return await self._order("pause", order)

    async def resume(self, order: Order) -> Answer:
        """Posts `{"action": "resume", …}`."""
        return await self._order("resume", order)

    async def read_back(self, campaign: str) -> Reading:
        """Asks for `{"campaign", "status"}`; the signature is that of an empty body."""
        separator = "&" if urlsplit(self._status_url).query else "?"
        url = f"{self._status_url}{separator}campaign={quote(campaign, safe='')}"
        try:
            reply = await self._outbound.request("GET", url, headers=self._headers(b"", f"read:{campaign}"))
            if reply.status == 404:
                return Reading(CampaignStatus.UNKNOWN, f"HTTP 404: {reply.text}")
            if reply.status != 200:
                return Reading(CampaignStatus.UNKNOWN, f"HTTP {reply.status}: {reply.text}", reply.retry_after())
            said = reply.json()
        except (NotSent, Lost) as error:
            return Reading(CampaignStatus.UNKNOWN, str(error))
        status = said.get("status") if isinstance(said, dict) and said.get("campaign") == campaign else None
        return Reading(_STATUSES.get(str(status), CampaignStatus.UNKNOWN), f"HTTP 200: {reply.text}")

    async def close(self) -> None:
        """Holds nothing of its own."""

    async def _order(self, action: str, order: Order) -> Answer:
        body = json.dumps(
            {"action": action, "campaign": order.campaign, "key": order.key, "reason": order.reason},
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()
        try:
            reply = await self._outbound.request(
                "POST", self._url, headers=self._headers(body, order.key), content=body
            )
        except NotSent as error:
            return Answer(Outcome.NOT_SENT, str(error))
        except Lost as error:
            return Answer(Outcome.UNKNOWN, str(error))
        return answer_of(reply)

    def _headers(self, body: bytes, key: str) -> dict[str, str]:
        return headers_for(self._secret, self._clock.now() // SECOND, body, key)


def answer_of(reply: Reply) -> Answer:
    """What a status means where nothing else is agreed. 2xx: taken. 429: turned away before it was looked at.
    Other 4xx: no. A redirect is no answer, and is not followed. 5xx: nobody knows."""
    words = f"HTTP {reply.status}: {reply.text}"
    if 200 <= reply.status < 300:
        return Answer(Outcome.APPLIED, words)
    if reply.status == 429:
        return Answer(Outcome.NOT_SENT, words, reply.retry_after())
    if reply.status == 408:
        return Answer(Outcome.UNKNOWN, words)
    if 300 <= reply.status < 500:
        return Answer(Outcome.REFUSED, words)
    return Answer(Outcome.UNKNOWN, words, reply.retry_after())
