"""The seal and the audit over HTTP."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, text

from nervio.kernel.ids import new_id
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.module import MANIFEST
from tests.builders import Store
from tests.modules.ledger.journals import a_sealing, trade
from tests.modules.served import a_client, ok, refused

SEAL, VERIFY = "/api/ledger/seal", "/api/ledger/verify"


async def test_the_head_is_shown_and_the_audit_holds(store: Store, tmp_path: Path) -> None:
    sealer = ledger.make_sealer(a_sealing(tmp_path))
    async with a_client(store.ctx, MANIFEST) as client:
        await trade(store, 2)
        before = ok(await client.get(SEAL))
        assert before["head"] is None
        assert before["unsealed_commits"] > 2
        await sealer.run(store.ctx)
        after = ok(await client.get(SEAL))
        assert (after["head"]["height"], after["unsealed_commits"]) == (1, 0)
        result = ok(await client.post(VERIFY))
        assert (result["verified"], result["blocks"], result["found"], result["findings"]) == (True, 1, 0, [])


async def test_an_audit_names_our_entries_and_not_those_of_others(store: Store) -> None:
    await trade(store, 1)
    async with a_client(store.ctx, MANIFEST) as client:
        await store.database.bookkeep("seal", change_everything)
        ours = ok(await client.post(VERIFY))
    assert not ours["verified"]
    assert any(finding["where"].startswith("entry ") for finding in ours["findings"])
    async with a_client(replace(store.ctx, tenant_id=new_id()), MANIFEST) as client:
        theirs = ok(await client.post(VERIFY))
    assert theirs["found"] == ours["found"]
    assert {finding["where"] for finding in theirs["findings"]} == {"an entry of another tenant"}


async def test_an_audit_needs_its_permission(store: Store) -> None:
    async with a_client(store.permitted("ledger.read"), MANIFEST) as client:
        ok(await client.get(SEAL))
        refused(await client.post(VERIFY), 403, "forbidden")


def change_everything(connection: Connection) -> None:
    connection.execute(text("UPDATE journal_entries SET reference = 'changed'"))
