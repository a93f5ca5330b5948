"""The rules in the console: how they stand, switching them, setting them, and what they tripped on."""

from pathlib import Path

from nervio.modules.safety.api import rules as api
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import LevelPolicy
from nervio.runtime.manifests import MANIFESTS
from tests.modules.console.serving import YERBA, Shop, a_shop, another_shop

RULES = "/console/safety/rules"


async def look(shop: Shop) -> None:
    """A round over all rules, as a leader makes it."""
    probes = [probe for manifest in MANIFESTS for probe in manifest.probes]
    watch = api.start_surveillance(probes)
    watch.longest_round_seconds = float("inf")
    await watch.run(shop.program.app.system_ctx())


async def test_rules_are_seen_switched_set_and_tell_why_they_tripped(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        page = await shop.visitor.get(RULES)
        assert page.status_code == 200
        assert page.text.count('name="mode"') == 2 * len(api.KINDS)
        assert "Trips at 100 % or less" in page.text
        assert "Clears at 120 % or more" in page.text
        assert "Nothing tripped" in page.text

        switched = await shop.visitor.post(f"{RULES}/refunds/mode", RULES, mode="on")
        assert str(switched.url).endswith(RULES)
        assert (await api.get_rule(shop.ctx, "refunds")).settings.mode == "on"

        await stock.set_critical_level(shop.ctx, LevelPolicy("SALON", YERBA, 30_000))
        await look(shop)
        page = await shop.visitor.get(RULES)
        assert "22 of Yerba mate are left at Salón; the critical level is 30" in page.text
        assert "1 alarm is lit." in page.text
        # What is lit stands first.
        assert page.text.index("Critical stock") < page.text.index("Refunds out of the ordinary")
        assert (await shop.visitor.get(f"{RULES}/critical_stock")).text.count("22 of Yerba mate") == 1


async def test_settings_are_typed_as_people_write_them_and_refused_at_their_field(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        form = await shop.visitor.get(f"{RULES}/refunds")
        assert 'value="15"' in form.text  # 1,500 basis points
        typed = {"trip_excess_bp": "12,5", "clear_excess_bp": "7", "min_samples": "3", "mode": "shadow"}
        rest = {"window_minutes": "60", "baseline_days": "28", "hold_seconds": "0", "cooldown_seconds": "0"}
        fixed = {"freeze_minutes": "0", "action": "freeze", "freeze_reach": "location"}
        saved = await shop.visitor.post(f"{RULES}/refunds", RULES, **typed, **rest, **fixed)
        assert str(saved.url).endswith(RULES)
        settings = api.list_settings((await api.get_rule(shop.ctx, "refunds")).settings)
        assert (settings["trip_excess_bp"], settings["clear_excess_bp"], settings["action"]) == (1_250, 700, "freeze")

        for wrong, words in (
            ({"clear_excess_bp": "20"}, "below the threshold"),
            ({"min_samples": "some"}, "whole number"),
            ({"window_minutes": "0"}, "outside what is allowed"),
        ):
            refused = await shop.visitor.post(f"{RULES}/refunds", RULES, **{**typed, **rest, **fixed, **wrong})
            assert refused.status_code == 422
            (name,) = wrong
            assert f'id="{name}-error"' in refused.text
            assert words in refused.text
            assert f'value="{wrong[name]}"' in refused.text
        assert (await api.get_rule(shop.ctx, "refunds")).revision == 1


async def test_who_may_not_change_rules_sees_them_without_buttons(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        trader = await shop.as_role("negocio")
        page = await trader.get(RULES)
        assert page.status_code == 200
        assert "/mode" not in page.text
        assert (await trader.post(f"{RULES}/refunds/mode", mode="off")).status_code == 403
        assert (await trader.get(f"{RULES}/nothing")).status_code == 404
        # Their sentences tell margins, which are none of the till's business, nor of the depot's.
        for role in ("cashier", "deposito"):
            assert (await (await shop.as_role(role)).get(RULES)).status_code == 403


async def test_another_shops_rules_and_trips_are_not_seen(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        theirs = await another_shop(shop)
        await stock.set_critical_level(theirs, LevelPolicy("SALON", "THEIRS-1", 30_000))
        await api.change_rule(theirs, "refunds", {"trip_excess_bp": 7_777})
        await look(shop)
        assert len(await api.list_trips(theirs)) == 1
        for path in (RULES, f"{RULES}/critical_stock", f"{RULES}/refunds"):
            page = await shop.visitor.get(path)
            assert "Their secret" not in page.text
            assert "77.77" not in page.text


async def test_an_old_page_of_the_history_is_found_and_a_made_up_one_refused(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        assert (await shop.visitor.get(f"{RULES}?before=nonsense")).status_code == 422
