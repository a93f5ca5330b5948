"""Meta Marketing API (Graph API).

Shapes: "Ad Campaign Management" and "Securing Graph API Requests" of Meta's developer documentation. Orders are a POST to the
campaign with `status`; its state is read with GET and `fields=status,effective_status`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from nervio.adapters.actions.webhook import answer_of
from nervio.adapters.outbound import Lost, NotSent, Outbound, Reply
from nervio.ports.actions import Account, Answer, CampaignStatus, Order, Outcome, Reading

API_URL = "https://graph.facebook.com"
VERSION = "v25.0"

# Too many calls: of the application, the user, the ad account, or one use case of a business. Sent with HTTP 400.
_THROTTLED = frozenset({4, 17, 32, 613, *range(80_000, 80_015)})
_TRANSIENT = frozenset({1, 2})
"""An unknown error and a service that is temporarily away: whether the order was applied, reading back tells."""

_STATUSES = {
    "ACTIVE": CampaignStatus.RUNNING,
    "PAUSED": CampaignStatus.PAUSED,
    "DELETED": CampaignStatus.GONE,
    "ARCHIVED": CampaignStatus.GONE,
}


class MetaAdsPlatform:
    """Campaigns that an access token reaches."""

    def __init__(self, outbound: Outbound, account: Account, *, api_url: str = API_URL, version: str = VERSION) -> None:
        self._outbound = outbound
        self._base = f"{api_url.rstrip('/')}/{version}"
        self._token = account.secrets.get("access_token", "")
        self._app_secret = account.secrets.get("app_secret", "")

    async def pause(self, order: Order) -> Answer:
        """Sets the campaign's status to PAUSED."""
        return await self._set_status(order, "PAUSED")

    async def resume(self, order: Order) -> Answer:
        """Sets the campaign's status to ACTIVE."""
        return await self._set_status(order, "ACTIVE")

    async def read_back(self, campaign: str) -> Reading:
        """What somebody set (`status`) and what the platform does (`effective_status`): only both together are a pause."""
        if not campaign.isascii() or not campaign.isdigit():
            return Reading(CampaignStatus.UNKNOWN, "a campaign of Meta is a number")
        params = {"fields": "status,effective_status", **self._credentials()}
        try:
            reply = await self._outbound.request("GET", f"{self._base}/{campaign}", params=params)
            said = reply.json()
        except (NotSent, Lost) as error:
            return Reading(CampaignStatus.UNKNOWN, str(error))
        if reply.status != 200 or not isinstance(said, dict) or "error" in said:
            return Reading(CampaignStatus.UNKNOWN, _words(reply, said), _retry_after(reply))
        if str(said.get("id", campaign)) != campaign:
            return Reading(CampaignStatus.UNKNOWN, "the answer is about another campaign")
        status, effective = str(said.get("status", "")), str(said.get("effective_status", ""))
        words = f"status {status}, effective_status {effective}"
        if status == "PAUSED" and effective not in ("PAUSED", "", "IN_PROCESS"):
            found = _STATUSES.get(effective, CampaignStatus.UNKNOWN)
        elif effective == "IN_PROCESS":
            found = CampaignStatus.UNKNOWN  # the platform is still at it
        else:
            found = _STATUSES.get(status, CampaignStatus.UNKNOWN)
        return Reading(found, words)

    async def close(self) -> None:
        """Holds nothing of its own."""

    async def _set_status(self, order: Order, status: str) -> Answer:
        if not order.campaign.isascii() or not order.campaign.isdigit():
            return Answer(Outcome.REFUSED, "a campaign of Meta is a number")
        form = {"status": status, **self._credentials()}
        try:
            reply = await self._outbound.request("POST", f"{self._base}/{order.campaign}", form=form)
            said = reply.json()
        except NotSent as error:
            return Answer(Outcome.NOT_SENT, str(error))
        except Lost as error:
            return Answer(Outcome.UNKNOWN, str(error))
        words = _words(reply, said)
        problem = said.get("error") if isinstance(said, dict) else None
        if isinstance(problem, dict):
            if problem.get("code") in _THROTTLED:
                return Answer(Outcome.NOT_SENT, words, _retry_after(reply))
            if problem.get("code") in _TRANSIENT:
                return Answer(Outcome.UNKNOWN, words, _retry_after(reply))
        if reply.status != 200:
            answer = answer_of(reply)
            return Answer(answer.outcome, words, answer.retry_after_seconds)
        if isinstance(said, dict) and said.get("success") is True:
            return Answer(Outcome.APPLIED, words)
        return Answer(Outcome.UNKNOWN, words)

    def _credentials(self) -> dict[str, str]:
        """The token, and the proof that whoever uses it has the application's secret too."""
        proof = hmac.new(self._app_secret.encode(), self._token.encode(), hashlib.sha256).hexdigest()
        return {"access_token": self._token, "appsecret_proof": proof}


def _words(reply: Reply, said: Any) -> str:
    """The message of an error, which is `{"error": {"message", "type", "code", "error_subcode"}}`."""
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        return f"HTTP {reply.status}: ({error.get('code')}) {error.get('message', '')}"
    return f"HTTP {reply.status}: {reply.text}"


def _retry_after(reply: Reply) -> float | None:
    """`Retry-After`, or the minutes in `X-Business-Use-Case-Usage` until the platform listens again."""
    asked = reply.retry_after()
    if asked is not None:
        return asked
    try:
        usage = json.loads(reply.headers.get("x-business-use-case-usage", ""))
        minutes = [use.get("estimated_time_to_regain_access", 0) for uses in usage.values() for use in uses]
        return max(float(minute) for minute in minutes) * 60 or None
    except (ValueError, TypeError, AttributeError):
        return None
