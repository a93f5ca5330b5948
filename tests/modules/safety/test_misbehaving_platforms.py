"""Orders to platforms that misbehave: confirmed only when the campaign truly stands still, escalated in time, no effect twice.

The worker, the adapters and the sockets are the real ones; the clock is stepped, so that an hour of trying takes a moment.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from nervio.kernel.time import SECOND
from nervio.modules.safety.api import actions, alerts
from nervio.modules.safety.contracts.actions import MANUAL, ActionRecord, ActionState, Campaign, SaveCampaign
from nervio.modules.safety.settings import ActionSettings
from nervio.modules.safety.usecases.sending import ActionWorker
from nervio.runtime.outside import Outside
from tests.builders import Store, a_store
from tests.modules.safety.campaigns import SIGNING_SECRET, VAULT, the_action
from tests.platform_peer import META_APP_SECRET, META_TOKEN, PlatformPeer, a_platform

pytestmark = pytest.mark.sockets

CAMPAIGN = "5551234"
PLATFORMS = ("webhook", "google_ads", "meta_ads")
DEADLINE = actions.DEADLINE_SECONDS


@dataclass(frozen=True, slots=True)
class Scene:
    """A store, a peer, a worker between them, and a campaign that runs."""

    store: Store
    peer: PlatformPeer
    worker: ActionWorker
    campaign: Campaign

    async def pause(self) -> ActionRecord:
        """Books a pause."""
        (action,) = await actions.pause_campaigns(self.store.ctx, products=None, reason="no stock", cause="r", key=None)
        return action

    async def resume(self) -> ActionRecord:
        """Books a resume."""
        (action,) = await actions.resume_campaigns(self.store.ctx, products=None, reason="back", cause=MANUAL, key=None)
        return action

    async def drive(self, action: ActionRecord, seconds: int = 900, step: int = 1) -> ActionRecord:
        """Lets the worker work, some seconds at a time, until the order is settled or the time is over."""
        now = action
        for _ in range(0, seconds, step):
            await self.worker.run(self.store.ctx)
            await self.worker.settle()
            now = await the_action(self.store, action.id)
            if now.settled_at is not None:
                return now
            self.store.clock.advance(step)
        return now


def fields_of(platform: str, url: str) -> dict[str, str]:
    """What a connection of a platform is told."""
    return {
        "webhook": {"url": f"{url}/hook", "signing_secret": SIGNING_SECRET},
        "google_ads": {
            "customer_id": "123-456-7890",
            "login_customer_id": "999-888-7777",
            "developer_token": "dev",
            "client_id": "id",
            "client_secret": "secret",
            "refresh_token": "refresh",
        },
        "meta_ads": {"access_token": META_TOKEN, "app_secret": META_APP_SECRET},
    }[platform]


@asynccontextmanager
async def a_scene(store: Store, platform: str = "webhook") -> AsyncIterator[Scene]:
    """Everything, ready to be told what to do."""
    async with a_platform() as peer:
        peer.now = lambda: store.clock.now() // SECOND
        settings = ActionSettings.model_validate(
            {
                "allow_private_addresses": True,
                "answer_seconds": 0.3,
                "google_ads_url": f"{peer.url}/google",
                "google_token_url": f"{peer.url}/token",
                "meta_ads_url": f"{peer.url}/meta",
            }
        )
        outside = Outside(settings, store.clock)
        worker = ActionWorker(outside.platform, VAULT, lambda _tenant, _module: None, "worker", draw=lambda: 0.5)
        connection = await actions.save_connection(store.ctx, VAULT, platform, platform, fields_of(platform, peer.url))
        campaign = await actions.save_campaign(
            store.ctx, SaveCampaign(None, connection.id, CAMPAIGN, "Soap", 240_000, "ARS", ())
        )
        try:
            yield Scene(store, peer, worker, campaign)
        finally:
            await worker.close()
            await outside.close()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_platform_that_behaves(here: Store, platform: str) -> None:
    async with a_scene(here, platform) as scene:
        paused = await scene.drive(await scene.pause())
        assert (paused.state, scene.peer.does(CAMPAIGN)) == (ActionState.CONFIRMED, "paused")
        assert paused.seconds_to_confirm() == 0, paused.words
        here.clock.advance(5)
        resumed = await scene.drive(await scene.resume())
        assert (resumed.state, scene.peer.does(CAMPAIGN)) == (ActionState.CONFIRMED, "running")
        assert scene.peer.effects == [(CAMPAIGN, "paused"), (CAMPAIGN, "running")]


# How sending goes wrong, how reading goes wrong, and at how many orders at most it may cost.
WAYS: list[tuple[str, list[str], list[str], int]] = [
    ("a server error", ["500"], [], 2),
    ("applied, but answered with an error", ["applied, then 500"], [], 1),
    ("too many requests", ["429", "429"], [], 3),
    ("the connection is reset", ["reset", "reset"], [], 3),
    ("applied, but the answer is lost", ["applied, answer lost"], [], 1),
    ("no answer in time", ["silence"], [], 2),
    ("applied, but no answer in time", ["applied, then silence"], [], 1),
    ("accepted but not applied", ["accepted, not applied"], [], 2),
    ("accepted but not applied, twice", ["accepted, not applied"] * 2, [], 3),
    ("garbage", ["garbage"], [], 2),
    ("a huge answer", ["huge"], [], 2),
    ("unavailable for long", ["503"] * 12, [], 13),
    ("reading back fails at first", [], ["500", "reset", "silence"], 3),
    ("reading back makes no sense", [], ["garbage", "huge"], 3),
]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("sends", "reads", "most_orders"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
async def test_in_the_end_the_campaign_stands_still_and_is_known_to(
    here: Store, platform: str, sends: list[str], reads: list[str], most_orders: int
) -> None:
    async with a_scene(here, platform) as scene:
        scene.peer.sends.extend(sends)
        scene.peer.reads.extend(reads)
        action = await scene.drive(await scene.pause())
        assert action.state is ActionState.CONFIRMED, action.words
        assert scene.peer.does(CAMPAIGN) == "paused"
        assert scene.peer.effects == [(CAMPAIGN, "paused")], "once in effect, however often it was sent"
        came = len(scene.peer.orders)
        assert 1 <= came <= most_orders
        assert len({key for _, _, key in scene.peer.orders}) == 1, "every repetition carries the same key"


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("sends", "reads"),
    [
        (["accepted, not applied"] * 200, []),
        (["403"] * 200, []),
        (["elsewhere"] * 200, []),
        (["reset"] * 200, ["reset"] * 200),
        (["500"] * 200, ["500"] * 200),
        ([], ["garbage"] * 200),
    ],
    ids=["never applied", "forbidden", "redirected", "unreachable", "broken", "unreadable"],
)
async def test_what_is_not_confirmed_is_escalated_in_time_and_never_called_confirmed(
    here: Store, platform: str, sends: list[str], reads: list[str]
) -> None:
    async with a_scene(here, platform) as scene:
        scene.peer.sends.extend(sends)
        scene.peer.reads.extend(reads)
        booked = await scene.pause()
        action = await scene.drive(booked, DEADLINE + 4, step=4)
        assert action.state is ActionState.ESCALATED
        assert action.escalated_at is not None
        assert action.escalated_at <= booked.deadline_at + 4 * SECOND, "at the first look after its time"
        (alert,) = await alerts.list_alerts(here.ctx)
        assert (alert.code, alert.severity.value) == ("action_escalated", "critical")
        assert "Soap" in alerts.text_of(alert, "es")[0]
        assert not any(asked.path.startswith("/elsewhere") for asked in scene.peer.asked)
        # An hour at 2,400.00 a day is 100.00 that may have been spent.
        here.clock.advance(3600 - (here.clock.now() - booked.created_at) // SECOND)
        (unconfirmed,) = await actions.list_unconfirmed(here.ctx)
        assert unconfirmed.spend_at_risk(here.clock.now()) == 10_000
        # Trying goes on: as soon as the platform comes to its senses, it is confirmed.
        scene.peer.sends.clear()
        scene.peer.reads.clear()
        assert (await scene.drive(action, step=4)).state is ActionState.CONFIRMED
        assert scene.peer.does(CAMPAIGN) == "paused"


async def test_a_signature_made_with_another_secret_is_refused_by_the_platform_and_told(here: Store) -> None:
    async with a_scene(here) as scene:
        scene.peer.secret = "another one"
        action = await scene.drive(await scene.pause(), 3)
        assert action.state is ActionState.ESCALATED, "at once: nobody but a person can mend it"
        assert "wrong signature" in action.words
        assert scene.peer.effects == []


async def test_a_refresh_token_that_was_revoked_is_told_in_the_platforms_words(here: Store) -> None:
    async with a_scene(here, "google_ads") as scene:
        scene.peer.tokens.extend(["refused"] * 1000)
        action = await scene.drive(await scene.pause(), 3)
        assert action.state is ActionState.ESCALATED
        assert "revoked" in action.words


async def test_a_platforms_wish_to_be_left_alone_is_granted_but_not_for_ever(here: Store) -> None:
    async with a_scene(here) as scene:
        scene.peer.sends.append("429")
        started = here.clock.now()
        action = await scene.drive(await scene.pause())
        assert action.state is ActionState.CONFIRMED
        assert 7 <= (here.clock.now() - started) / SECOND <= 8, "Retry-After said 7"


async def test_a_resume_is_never_sent_blindly_twice(here: Store) -> None:
    """Twice paused is paused; twice resumed may undo what somebody did in between. So it waits until it can read."""
    async with a_scene(here) as scene:
        await scene.drive(await scene.pause())
        scene.peer.sends.append("applied, answer lost")
        scene.peer.reads.extend(["500"] * 8)
        action = await scene.drive(await scene.resume())
        assert action.state is ActionState.CONFIRMED
        assert [order[1] for order in scene.peer.orders] == ["pause", "resume"]


async def test_a_campaign_that_was_removed_spends_nothing_and_cannot_be_resumed(here: Store) -> None:
    async with a_scene(here, "google_ads") as scene:
        scene.peer.sends.extend(["403"] * 2)
        scene.peer.running[CAMPAIGN] = "gone"
        assert (await scene.drive(await scene.pause())).state is ActionState.CONFIRMED
        assert (await scene.drive(await scene.resume())).state is ActionState.FAILED


async def test_it_is_given_up_after_a_day_and_said_so(here: Store) -> None:
    async with a_scene(here) as scene:
        scene.peer.sends.extend(["reset"] * 5000)
        scene.peer.reads.extend(["reset"] * 5000)
        action = await scene.drive(await scene.pause(), 5)
        here.clock.advance(24 * 3600)
        action = await scene.drive(action, 3)
        assert action.state is ActionState.FAILED
        assert action.is_unconfirmed, "given up is not confirmed: it stays on the list of what may be spending"
        assert {alert.code for alert in await alerts.list_alerts(here.ctx)} >= {"action_failed"}
