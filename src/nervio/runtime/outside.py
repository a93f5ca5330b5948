"""What reaches out of the house: platforms of campaigns and ways for alerts, by the name of their kind."""

from __future__ import annotations

from nervio.adapters.actions.google_ads import GoogleAdsPlatform, GoogleTokens
from nervio.adapters.actions.meta_ads import MetaAdsPlatform
from nervio.adapters.actions.webhook import WebhookPlatform
from nervio.adapters.alerts.email import EmailAlerts, MailRoom
from nervio.adapters.alerts.webhook import SlackAlerts, WebhookAlerts
from nervio.adapters.outbound import Guard, Outbound
from nervio.modules.safety.contracts.actions import Platform
from nervio.modules.safety.contracts.alerts import DestinationKind
from nervio.modules.safety.settings import ActionSettings
from nervio.ports.actions import Account, CampaignPlatform
from nervio.ports.alerts import AlertChannel
from nervio.ports.clock import Clock


class Outside:
    """Makes the adapters. Connects to nothing by itself."""

    def __init__(self, settings: ActionSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._guard = Guard(allow_private=settings.allow_private_addresses)
        seconds = settings.answer_seconds
        self._outbound = Outbound(self._guard, answer_seconds=seconds, whole_seconds=1.2 * seconds)
        self._mail = MailRoom()
        self._tokens = GoogleTokens(self._outbound, clock, settings.google_token_url)

    def platform(self, kind: str, account: Account) -> CampaignPlatform:
        """The adapter of a platform for an account."""
        settings = self._settings
        match Platform(kind):
            case Platform.WEBHOOK:
                return WebhookPlatform(self._outbound, self._clock, account)
            case Platform.GOOGLE_ADS:
                return GoogleAdsPlatform(
                    self._outbound,
                    self._tokens,
                    account,
                    api_url=settings.google_ads_url,
                    version=settings.google_ads_version,
                )
            case Platform.META_ADS:
                return MetaAdsPlatform(
                    self._outbound, account, api_url=settings.meta_ads_url, version=settings.meta_ads_version
                )

    def channel(self, kind: str, account: Account) -> AlertChannel:
        """The adapter of a kind of destination."""
        match DestinationKind(kind):
            case DestinationKind.WEBHOOK:
                return WebhookAlerts(self._outbound, self._clock, account)
            case DestinationKind.SLACK:
                return SlackAlerts(self._outbound, account)
            case DestinationKind.EMAIL:
                return EmailAlerts(self._guard, self._mail, account)

    async def close(self) -> None:
        """Lets go of connections."""
        self._mail.close()
        await self._outbound.close()
