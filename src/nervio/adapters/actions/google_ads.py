"""Google Ads API over REST.

Shapes: "REST interface", pages Mutates, Search and Authorization of Google's developer documentation. Orders go to
`customers/{id}/campaigns:mutate` with an update mask of `status`; the status is read with `googleAds:search`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from nervio.adapters.actions.webhook import answer_of
from nervio.adapters.outbound import Lost, NotSent, Outbound, Reply
from nervio.ports.actions import Account, Answer, CampaignStatus, Order, Outcome, Reading
from nervio.ports.clock import Clock

API_URL = "https://googleads.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 (an address)
VERSION = "v26"

_STATUSES = {
    "ENABLED": CampaignStatus.RUNNING,
    "PAUSED": CampaignStatus.PAUSED,
    "REMOVED": CampaignStatus.GONE,
}
_EARLY_SECONDS = 60.0
"""A token is not used in its last minute: it may run out on the way."""


class GoogleTokens:
    """Access tokens of this process, by what they were got with. Never stored."""

    def __init__(self, outbound: Outbound, clock: Clock, token_url: str = TOKEN_URL) -> None:
        self._outbound, self._clock, self._token_url = outbound, clock, token_url
        self._known: dict[str, tuple[str, float]] = {}

    async def get(self, account: Account, *, fresh: bool = False) -> str:
        """An access token (RFC 6749, section 6). Raises NotSent with the platform's words."""
        secrets = account.secrets
        form = {
            "grant_type": "refresh_token",
            "client_id": secrets.get("client_id", ""),
            "client_secret": secrets.get("client_secret", ""),
            "refresh_token": secrets.get("refresh_token", ""),
        }
        name = hashlib.sha256(json.dumps(form, sort_keys=True).encode()).hexdigest()
        token, until = self._known.get(name, ("", 0.0))
        if token and not fresh and self._clock.monotonic() < until:
            return token
        asked = self._clock.monotonic()
        try:
            reply = await self._outbound.request("POST", self._token_url, form=form)
            said = reply.json()
        except Lost as error:
            raise NotSent(f"no access token: {error}") from None
        if reply.status != 200 or not isinstance(said, dict) or not isinstance(said.get("access_token"), str):
            why = said.get("error_description") or said.get("error") if isinstance(said, dict) else ""
            if reply.status in (400, 401):
                raise TokenRefused(f"no access token: HTTP {reply.status}: {why}")
            raise NotSent(f"no access token: HTTP {reply.status}: {why}")
        seconds = said.get("expires_in")
        lasts = float(seconds) if isinstance(seconds, int | float) else 0.0
        self._known[name] = (said["access_token"], asked + lasts - _EARLY_SECONDS)
        return str(said["access_token"])


class TokenRefused(Exception):
    """The platform does not know this client or this refresh token."""


class GoogleAdsPlatform:
    """Campaigns of one customer account."""

    def __init__(
        self,
        outbound: Outbound,
        tokens: GoogleTokens,
        account: Account,
        *,
        api_url: str = API_URL,
        version: str = VERSION,
    ) -> None:
        self._outbound, self._tokens, self._account = outbound, tokens, account
        self._customer = account.settings["customer_id"].replace("-", "")
        self._base = f"{api_url.rstrip('/')}/{version}/customers/{self._customer}"

    async def pause(self, order: Order) -> Answer:
        """Sets the campaign's status to PAUSED."""
        return await self._set_status(order, "PAUSED")

    async def resume(self, order: Order) -> Answer:
        """Sets the campaign's status to ENABLED."""
        return await self._set_status(order, "ENABLED")

    async def read_back(self, campaign: str) -> Reading:
        """Asks for the campaign's status."""
        if not campaign.isascii() or not campaign.isdigit():
            return Reading(CampaignStatus.UNKNOWN, "a campaign of Google Ads is a number")
        query = f"SELECT campaign.id, campaign.status FROM campaign WHERE campaign.id = {campaign}"  # noqa: S608 (digits)
        try:
            reply = await self._ask("googleAds:search", {"query": query})
            said = reply.json()
        except (NotSent, Lost, TokenRefused) as error:
            return Reading(CampaignStatus.UNKNOWN, str(error))
        if reply.status != 200:
            return Reading(CampaignStatus.UNKNOWN, _words(reply, said), reply.retry_after())
        results: Any = said.get("results", []) if isinstance(said, dict) else None
        if results == []:
            return Reading(CampaignStatus.UNKNOWN, "there is no such campaign in this account")
        try:
            found = results[0]["campaign"]
            status = str(found["status"]) if str(found["id"]) == campaign else ""
        except (LookupError, TypeError):
            return Reading(CampaignStatus.UNKNOWN, f"HTTP 200: {reply.text}")
        return Reading(_STATUSES.get(status, CampaignStatus.UNKNOWN), f"campaign.status {status}")

    async def close(self) -> None:
        """Holds nothing of its own."""

    async def _set_status(self, order: Order, status: str) -> Answer:
        if not order.campaign.isascii() or not order.campaign.isdigit():
            return Answer(Outcome.REFUSED, "a campaign of Google Ads is a number")
        name = f"customers/{self._customer}/campaigns/{order.campaign}"
        body = {"operations": [{"updateMask": "status", "update": {"resourceName": name, "status": status}}]}
        try:
            reply = await self._ask("campaigns:mutate", body)
            said = reply.json()
        except TokenRefused as error:
            return Answer(Outcome.REFUSED, str(error))
        except NotSent as error:
            return Answer(Outcome.NOT_SENT, str(error))
        except Lost as error:
            return Answer(Outcome.UNKNOWN, str(error))
        if reply.status != 200:
            answer = answer_of(reply)
            return Answer(answer.outcome, _words(reply, said), answer.retry_after_seconds)
        results = said.get("results") if isinstance(said, dict) else None
        if not isinstance(results, list) or {"resourceName": name} not in results:
            return Answer(Outcome.UNKNOWN, f"HTTP 200: {reply.text}")
        return Answer(Outcome.APPLIED, f"HTTP 200: {name}")

    async def _ask(self, method: str, body: dict[str, Any]) -> Reply:
        """Asks, once more with a fresh token where the old one is not taken any longer."""
        content = json.dumps(body).encode()
        url = f"{self._base}/{method}"
        token = await self._tokens.get(self._account)
        reply = await self._outbound.request("POST", url, headers=self._headers(token), content=content)
        if reply.status != 401:
            return reply
        token = await self._tokens.get(self._account, fresh=True)
        return await self._outbound.request("POST", url, headers=self._headers(token), content=content)

    def _headers(self, token: str) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "developer-token": self._account.secrets.get("developer_token", ""),
        }
        manager = self._account.settings.get("login_customer_id", "").replace("-", "")
        return {**headers, "login-customer-id": manager} if manager else headers


def _words(reply: Reply, said: Any) -> str:
    """The message of an error, which is `{"error": {"code", "message", "status"}}`."""
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        return f"HTTP {reply.status}: {error.get('status', '')} {error.get('message', '')}"
    return f"HTTP {reply.status}: {reply.text}"
