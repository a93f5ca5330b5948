"""Alerts as signed JSON, and as a chat's incoming webhook takes them."""

from __future__ import annotations

import json

from nervio.adapters.outbound import Lost, NotSent, Outbound, Reply
from nervio.adapters.signing import headers_for
from nervio.kernel.time import SECOND, to_iso
from nervio.ports.actions import Account
from nervio.ports.alerts import Delivery, Message, Receipt
from nervio.ports.clock import Clock

_COLOURS = {"info": "#3b82f6", "warning": "#d97706", "critical": "#dc2626"}


class WebhookAlerts:
    """Posts alerts, signed like orders to campaigns (`adapters.signing`)."""

    def __init__(self, outbound: Outbound, clock: Clock, account: Account) -> None:
        self._outbound, self._clock = outbound, clock
        self._url, self._secret = account.settings["url"], account.secrets.get("signing_secret", "")

    async def send(self, message: Message) -> Receipt:
        """One POST; the id of the delivery is its idempotency key."""
        body = json.dumps(
            {
                "id": message.id,
                "severity": message.severity,
                "code": message.code,
                "title": message.title,
                "body": message.body,
                "link": message.link,
                "shop": message.shop,
                "count": message.count,
                "at": to_iso(message.at),
            },
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()
        headers = headers_for(self._secret, self._clock.now() // SECOND, body, message.id)
        return await _post(self._outbound, self._url, body, headers)

    async def close(self) -> None:
        """Holds nothing of its own."""


class SlackAlerts:
    """Posts alerts in the shape of Slack's incoming webhooks (also taken by Mattermost, Rocket.Chat and Alertmanager)."""

    def __init__(self, outbound: Outbound, account: Account) -> None:
        self._outbound = outbound
        # Whoever knows the address may write into the channel, so it is kept as a secret.
        self._url, self._channel = account.secrets.get("url", ""), account.settings.get("channel", "")

    async def send(self, message: Message) -> Receipt:
        """One POST. `text` is what notifications show, the attachment what the channel does."""
        title, text = _escaped(message.title), _escaped(message.body)
        count = f" (×{message.count})" if message.count > 1 else ""
        payload: dict[str, object] = {
            "text": f"{title}{count}",
            "attachments": [
                {
                    "color": _COLOURS.get(message.severity, "#6b7280"),
                    "title": f"{title}{count}",
                    "title_link": message.link,
                    "text": text,
                    "footer": _escaped(message.shop),
                    "ts": message.at // SECOND,
                    "fallback": f"{title} {message.link}",
                }
            ],
        }
        if self._channel:
            payload["channel"] = self._channel
        body = json.dumps(payload, ensure_ascii=False).encode()
        return await _post(self._outbound, self._url, body, {"Content-Type": "application/json"})

    async def close(self) -> None:
        """Holds nothing of its own."""


async def _post(outbound: Outbound, url: str, body: bytes, headers: dict[str, str]) -> Receipt:
    try:
        reply = await outbound.request("POST", url, headers=headers, content=body)
    except (NotSent, Lost) as error:
        return Receipt(Delivery.FAILED, str(error))
    return _receipt(reply)


def _receipt(reply: Reply) -> Receipt:
    words = f"HTTP {reply.status}: {reply.text}"
    if 200 <= reply.status < 300:
        return Receipt(Delivery.SENT, words)
    if 300 <= reply.status < 500 and reply.status not in (408, 425, 429):
        return Receipt(Delivery.REFUSED, words)
    return Receipt(Delivery.FAILED, words, reply.retry_after())


def _escaped(text: str) -> str:
    """The three characters that mean something in Slack's text: a reason that somebody typed must not become a mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
