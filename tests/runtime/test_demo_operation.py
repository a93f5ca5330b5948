"""Loading a demo shop again: told by its keys, and refused once they may be forgotten."""

from pathlib import Path

import pytest

from nervio.kernel.errors import NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.identity import api as identity
from nervio.runtime.operations import SHOPS, load_demo
from nervio.runtime.wiring import build
from tests.builders import SetClock, create_sqlite_file
from tests.runtime.program import settings_in

A_DAY = 86_400


async def test_a_demo_shop_is_not_loaded_again_when_its_keys_may_be_forgotten(tmp_path: Path) -> None:
    await create_sqlite_file(tmp_path / "nervio.db")
    clock, settings = SetClock(), settings_in(tmp_path, retention={"answers_days": 3})
    app = build(settings, clock)
    async with app.started():
        made = await identity.create_tenant(app.system_ctx(), app.authenticator, SHOPS["retail"])
        clock.advance(3 * A_DAY + 1)
        with pytest.raises(NervioError) as caught:
            await load_demo(app, {"shop": "retail", "days": 1}, lambda *_: None)
        assert caught.value.code == "demo_loaded_long_ago"
        assert await catalog.list_locations(app.system_ctx(made.tenant.id)) == []
