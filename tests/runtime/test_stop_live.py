"""The stop in the running program: the mirror for old clients in a real Redis, and the drills of the week by themselves."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from nervio.modules.safety.api import drills
from tests.redis_server import a_redis
from tests.runtime.program import a_program

SECONDS = 30.0
KEY = "nervio:emergency"
EMERGENCY = "/api/admin/emergency"


@pytest.mark.services("redis")
async def test_old_clients_find_in_redis_what_the_program_says(tmp_path: Path) -> None:
    with a_redis() as redis:
        async with (
            a_program(tmp_path, ("scheduler",), redis_url=redis.url) as program,
            Redis.from_url(redis.url) as old,
        ):

            async def shown(*, active: bool) -> dict[str, Any]:
                async with asyncio.timeout(SECONDS):
                    while True:
                        found = json.loads(await old.get(KEY) or b"{}")
                        if found.get("active") is active:
                            return dict(found)
                        await asyncio.sleep(0.02)

            headers = await program.login()
            quiet = {"active": False, "reason": None, "activated_at": None, "activated_by": None}
            assert await shown(active=False) == quiet
            body = {"reason": "fire", "scope": "installation"}
            assert (await program.client.post(f"{EMERGENCY}/freeze", json=body, headers=headers)).status_code < 300
            assert (await shown(active=True))["reason"] == "fire"
            await old.flushall()
            assert (await shown(active=True))["reason"] == "fire"
            body = {"reason": "out", "scope": "installation"}
            assert (await program.client.post(f"{EMERGENCY}/unfreeze", json=body, headers=headers)).status_code < 300
            assert await shown(active=False) == quiet


async def test_a_week_s_drills_are_done_by_the_program_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The slot of this week is over, whatever day it is; a program that starts then waits some minutes first.
    monkeypatch.setattr(drills, "WARM_UP_SECONDS", 0.0)
    async with a_program(tmp_path, ("scheduler", "relay"), safety={"drill_at": "00:00"}) as program:
        headers = await program.login()
        async with asyncio.timeout(SECONDS):
            while True:
                reply = await program.client.get(f"{EMERGENCY}/drills", headers=headers)
                assert reply.status_code == 200, reply.text
                scopes = reply.json()["scopes"]
                if not any(scope["red"] for scope in scopes):
                    break
                await asyncio.sleep(0.1)
        assert len(scopes) >= 2, "the shop and the installation"
