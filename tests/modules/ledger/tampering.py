"""Ways to change a sealed journal behind its back, and the places where an audit must say that something is wrong."""

# ruff: noqa: S608 - names of our own tables; nobody else's text gets into a statement

import random
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, text

from nervio.db.batch import commit_digest
from nervio.kernel.ids import new_id
from nervio.modules.ledger.contracts import Signer
from nervio.modules.ledger.domain import BlockHash, commit_lines, entry_digest, signed_text
from tests.modules.ledger.journals import a_signer

TABLES = {
    "journal_entries": ("tenant_id", "id"),
    "journal_postings": ("tenant_id", "entry_id", "n"),
    "commits": ("id",),
    "seal_blocks": ("height",),
}
"""Each table and its key."""

Places = set[str]
"""Texts of which a finding must name one: the place where something was changed."""


def one(connection: Connection, sql: str, **given: Any) -> Any:
    row = connection.execute(text(sql), given).mappings().first()
    assert row is not None, sql
    return row


def any_row(connection: Connection, rng: random.Random, table: str) -> Any:
    count = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    order = ", ".join(TABLES[table])
    return one(connection, f"SELECT * FROM {table} ORDER BY {order} LIMIT 1 OFFSET :at", at=rng.randrange(count))


def change(connection: Connection, table: str, row: Any, **values: Any) -> None:
    where = " AND ".join(f"{name} = :key_{name}" for name in TABLES[table])
    sets = ", ".join(f"{name} = :{name}" for name in values)
    keys = {f"key_{name}": row[name] for name in TABLES[table]}
    changed = connection.execute(text(f"UPDATE {table} SET {sets} WHERE {where}"), {**values, **keys})
    assert changed.rowcount == 1


def remove(connection: Connection, table: str, row: Any) -> None:
    where = " AND ".join(f"{name} = :{name}" for name in TABLES[table])
    assert connection.execute(text(f"DELETE FROM {table} WHERE {where}"), dict(row)).rowcount == 1


def add(connection: Connection, table: str, **values: Any) -> None:
    names = ", ".join(values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + n for n in values)})"), values)


def places_of(table: str, row: Any) -> Places:
    """What names a row."""
    match table:
        case "journal_entries":
            return {f"entry {row['id']}"}
        case "journal_postings":
            return {f"entry {row['entry_id']}"}
        case "commits":
            return {f"commit {row['position']} {row['id']}"}
    return {f"block {row['height']}"}


PLACES_OF_A_COMMIT = (("position ", ""), ("positions ", ""), ("commit ", " "), ("commit ", ":"))


# -- the ways ---------------------------------------------------------------------------------------------------------


def flip_a_byte(connection: Connection, rng: random.Random) -> Places:
    """One byte of any column of any row; now and then it is no UTF-8 afterwards, or another type."""
    table = rng.choice(list(TABLES))
    row = any_row(connection, rng, table)
    column = rng.choice([name for name, value in row.items() if value not in (None, "")])
    value = row[column]
    where = " AND ".join(f"{name} = :{name}" for name in TABLES[table])
    keys = {name: row[name] for name in TABLES[table]}
    if isinstance(value, int):
        flipped: Any = value ^ (1 << rng.randrange(40))
        expression = ":flipped"
    else:
        octets = bytearray(value if isinstance(value, bytes) else value.encode())
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
        flipped = bytes(octets)
        # A text with a zero byte or with broken UTF-8 is still a text to SQLite.
        expression = "CAST(:flipped AS TEXT)" if isinstance(value, str) else ":flipped"
    connection.execute(text(f"UPDATE {table} SET {column} = {expression} WHERE {where}"), {**keys, "flipped": flipped})
    places = places_of(table, row)
    if table == "commits":
        # Of a commit that is elsewhere now its old place or its new one is named; of one with another id, its place.
        return places | {f"{word}{row['position']}{end}" for word, end in PLACES_OF_A_COMMIT}
    if table in {"journal_entries", "journal_postings"}:
        entry = row["id"] if table == "journal_entries" else row["entry_id"]
        commit = connection.execute(
            text(
                "SELECT position, id FROM commits WHERE id = (SELECT commit_id FROM journal_entries WHERE id = :entry)"
            ),
            {"entry": entry},
        ).first()
        if commit is not None:
            places.add(f"commit {commit[0]} {commit[1]}")
        elif table == "journal_entries":
            position = one(connection, "SELECT position, id FROM commits WHERE id = :id", id=row["commit_id"])
            places.add(f"commit {position['position']} {position['id']}")
    return places


def put_another_type(connection: Connection, rng: random.Random) -> Places:
    """What reads the same and is not: SQLite keeps a number as text, or a text as bytes."""
    table, column = rng.choice(
        [("journal_entries", "kind"), ("journal_postings", "asset"), ("journal_entries", "details")]
    )
    row = any_row(connection, rng, table)
    while not row[column]:
        row = any_row(connection, rng, table)
    change(connection, table, row, **{column: row[column].encode()})
    return places_of(table, row)


def delete_a_row(connection: Connection, rng: random.Random) -> Places:
    table = rng.choice(list(TABLES))
    row = any_row(connection, rng, table)
    remove(connection, table, row)
    if table == "commits":
        return {f"position {row['position']}", f"positions {row['position']} to"}
    if table == "journal_entries":
        commit = one(connection, "SELECT position, id FROM commits WHERE id = :id", id=row["commit_id"])
        return {f"commit {commit['position']} {commit['id']}"}
    return places_of(table, row)


def delete_a_whole_entry(connection: Connection, rng: random.Random) -> Places:
    """With its postings, so that no orphan is left."""
    row = any_row(connection, rng, "journal_entries")
    connection.execute(text("DELETE FROM journal_postings WHERE entry_id = :id"), {"id": row["id"]})
    remove(connection, "journal_entries", row)
    commit = one(connection, "SELECT position, id FROM commits WHERE id = :id", id=row["commit_id"])
    return {f"commit {commit['position']} {commit['id']}"}


def swap_positions(connection: Connection, rng: random.Random) -> Places:
    """Two commits change places, with or without what they were drawn by."""
    first, second = any_row(connection, rng, "commits"), any_row(connection, rng, "commits")
    while first["id"] == second["id"]:
        second = any_row(connection, rng, "commits")
    with_seq = rng.random() < 0.5
    change(connection, "commits", first, position=-1)
    change(connection, "commits", second, position=first["position"], seq=first["seq"] if with_seq else second["seq"])
    change(connection, "commits", first, position=second["position"], seq=second["seq"] if with_seq else first["seq"])
    return {block_over(connection, row["position"]) for row in (first, second)}


def swap_postings(connection: Connection, rng: random.Random) -> Places:
    second = any_row(connection, rng, "journal_postings")
    while second["n"] == 0:
        second = any_row(connection, rng, "journal_postings")
    first = {**second, "n": second["n"] - 1}
    change(connection, "journal_postings", first, n=-1)
    change(connection, "journal_postings", second, n=first["n"])
    change(connection, "journal_postings", {**first, "n": -1}, n=second["n"])
    return places_of("journal_postings", second)


def swap_entries(connection: Connection, rng: random.Random) -> Places:
    second = any_row(connection, rng, "journal_entries")
    while second["n"] == 0:
        second = any_row(connection, rng, "journal_entries")
    first = one(
        connection,
        "SELECT * FROM journal_entries WHERE commit_id = :commit AND n = :n",
        commit=second["commit_id"],
        n=second["n"] - 1,
    )
    change(connection, "journal_entries", first, n=second["n"])
    change(connection, "journal_entries", second, n=first["n"])
    return places_of("journal_entries", first)


def swap_blocks(connection: Connection, rng: random.Random) -> Places:
    first, second = any_row(connection, rng, "seal_blocks"), any_row(connection, rng, "seal_blocks")
    while first["height"] == second["height"]:
        second = any_row(connection, rng, "seal_blocks")
    change(connection, "seal_blocks", first, height=-1)
    change(connection, "seal_blocks", second, height=first["height"])
    change(connection, "seal_blocks", {"height": -1}, height=second["height"])
    return places_of("seal_blocks", first)


def insert_an_entry(connection: Connection, rng: random.Random) -> Places:
    """One more in an old commit, its own digest right."""
    commit = any_row(connection, rng, "commits")
    like = any_row(connection, rng, "journal_entries")
    entry_id = forged_entry(connection, like, commit["id"], commit["entries"], commit["recorded_at"])
    if rng.random() < 0.5:
        change(connection, "commits", commit, entries=commit["entries"] + 1)
    return {f"entry {entry_id}"} | places_of("commits", commit)


def insert_a_posting(connection: Connection, rng: random.Random) -> Places:
    row = any_row(connection, rng, "journal_entries")
    count = one(connection, "SELECT count(*) AS n FROM journal_postings WHERE entry_id = :id", id=row["id"])["n"]
    add(
        connection,
        "journal_postings",
        tenant_id=row["tenant_id"],
        entry_id=row["id"],
        n=count,
        debit="cash",
        credit="sales",
        asset="ARS",
        lot="",
        amount=rng.randrange(1, 10**6),
    )
    return places_of("journal_entries", row)


def insert_a_commit(connection: Connection, rng: random.Random) -> Places:
    """A commit whose own digest is right, where no new commit belongs: in the past, before it, or nowhere."""
    like = any_row(connection, rng, "journal_entries")
    commit_id, now = new_id(), like["recorded_at"]
    at = any_row(connection, rng, "commits")["position"]
    place = rng.choice(["between", "before", "nowhere"])
    if place == "between":
        connection.execute(text("UPDATE commits SET position = -position - 1 WHERE position >= :at"), {"at": at})
        connection.execute(text("UPDATE commits SET position = -position WHERE position < 0"))
    position = {"between": at, "before": -at, "nowhere": None}[place]
    entry_id = forged_entry(connection, like, commit_id, 0, now)
    entry = one(connection, "SELECT digest FROM journal_entries WHERE id = :id", id=entry_id)
    add(
        connection,
        "commits",
        id=commit_id,
        seq=position,
        position=position,
        recorded_at=now,
        entries=1,
        digest=commit_digest(commit_id, now, [entry["digest"]]),
    )
    if place == "between":
        return {block_over(connection, at)}
    return {f"commit {position or 'without position'} {commit_id}"}


def cut_off_the_tail(connection: Connection, rng: random.Random) -> Places:
    """The newest blocks and everything they cover, and the snapshot put right: only a saved head knows."""
    last = connection.execute(text("SELECT max(height) FROM seal_blocks")).scalar_one()
    keep = rng.randrange(last)
    end = connection.execute(text("SELECT to_position FROM seal_blocks WHERE height = :h"), {"h": keep}).scalar() or 0
    connection.execute(text("DELETE FROM seal_blocks WHERE height > :h"), {"h": keep})
    of_tail = "SELECT id FROM commits WHERE position > :end"
    entries = f"SELECT id FROM journal_entries WHERE commit_id IN ({of_tail})"
    connection.execute(text(f"DELETE FROM journal_postings WHERE entry_id IN ({entries})"), {"end": end})
    connection.execute(text(f"DELETE FROM journal_entries WHERE commit_id IN ({of_tail})"), {"end": end})
    connection.execute(text("DELETE FROM commits WHERE position > :end"), {"end": end})
    forget_balances(connection)
    return {f"block {keep + 1}"}


def cut_off_commits_only(connection: Connection, rng: random.Random) -> Places:
    """The newest commits, without the blocks over them."""
    last = connection.execute(text("SELECT max(position) FROM commits")).scalar_one()
    end = last - rng.randrange(1, 10)
    of_tail = "SELECT id FROM commits WHERE position > :end"
    entries = f"SELECT id FROM journal_entries WHERE commit_id IN ({of_tail})"
    connection.execute(text(f"DELETE FROM journal_postings WHERE entry_id IN ({entries})"), {"end": end})
    connection.execute(text(f"DELETE FROM journal_entries WHERE commit_id IN ({of_tail})"), {"end": end})
    connection.execute(text("DELETE FROM commits WHERE position > :end"), {"end": end})
    return {f"positions {end + 1} to {last}"}


def forge_keeping_the_signatures(connection: Connection, rng: random.Random) -> Places:
    """A forger who recomputes every digest and hash, but has not the key."""
    return forge(connection, rng, None)


def forge_with_another_key(connection: Connection, rng: random.Random) -> Places:
    """The same, who signs the whole chain from there on with a key of their own."""
    return forge(connection, rng, a_signer())


def change_a_balance(connection: Connection, rng: random.Random) -> Places:
    """The snapshot of balances, which is not sealed, against the journal, which is."""
    rows = connection.execute(text("SELECT * FROM ledger_balances")).mappings().all()
    row = rng.choice(rows)
    connection.execute(
        text("UPDATE ledger_balances SET amount = amount + :more WHERE tenant_id = :tenant_id AND account = :account"),
        {**row, "more": rng.choice([-1, 1]) * rng.randrange(1, 10**6)},
    )
    return {f"balance of {row['account']} in {row['asset']}"}


WAYS: tuple[tuple[Callable[[Connection, random.Random], Places], int], ...] = (
    (flip_a_byte, 400),
    (put_another_type, 40),
    (delete_a_row, 160),
    (delete_a_whole_entry, 40),
    (swap_positions, 60),
    (swap_postings, 30),
    (swap_entries, 30),
    (swap_blocks, 30),
    (insert_an_entry, 60),
    (insert_a_posting, 50),
    (insert_a_commit, 60),
    (cut_off_the_tail, 40),
    (cut_off_commits_only, 30),
    (forge_keeping_the_signatures, 40),
    (forge_with_another_key, 40),
    (change_a_balance, 30),
)


# -- the means --------------------------------------------------------------------------------------------------------


def block_over(connection: Connection, position: int) -> str:
    row = one(connection, "SELECT height FROM seal_blocks WHERE :p BETWEEN from_position AND to_position", p=position)
    return f"block {row['height']}"


def forget_balances(connection: Connection) -> None:
    connection.execute(text("DELETE FROM ledger_balances"))
    connection.execute(text("DELETE FROM cursors WHERE name = 'ledger.balances'"))


def postings_of(connection: Connection, entry_id: str) -> list[tuple[Any, ...]]:
    rows = connection.execute(
        text("SELECT debit, credit, asset, lot, amount FROM journal_postings WHERE entry_id = :id ORDER BY n"),
        {"id": entry_id},
    )
    return [tuple(row) for row in rows]


def digest_of(row: Any, postings: list[Any]) -> bytes:
    names = ("tenant_id", "id", "n", "kind", "document_id", "reference", "actor_id")
    fields: list[Any] = [
        *(row[name] for name in names),
        row["effective_at"],
        row["recorded_at"],
        row["details"],
        postings,
    ]
    return entry_digest(*fields)


def forged_entry(connection: Connection, like: Any, commit_id: str, n: int, now: int) -> str:
    """A new entry modelled on another, its digest right."""
    row = {**like, "id": new_id(), "commit_id": commit_id, "n": n, "recorded_at": now}
    postings = postings_of(connection, like["id"])
    add(connection, "journal_entries", **{**row, "digest": digest_of(row, postings)})
    for number, posting in enumerate(postings):
        values = dict(zip(("debit", "credit", "asset", "lot", "amount"), posting, strict=True))
        add(connection, "journal_postings", tenant_id=row["tenant_id"], entry_id=row["id"], n=number, **values)
    return str(row["id"])


def forge(connection: Connection, rng: random.Random, signer: Signer | None) -> Places:
    """Changes an amount and recomputes all that a digest or a hash covers."""
    posting = any_row(connection, rng, "journal_postings")
    change(connection, "journal_postings", posting, amount=posting["amount"] + 1)
    entry = one(connection, "SELECT * FROM journal_entries WHERE id = :id", id=posting["entry_id"])
    change(connection, "journal_entries", entry, digest=digest_of(entry, postings_of(connection, entry["id"])))
    commit = one(connection, "SELECT * FROM commits WHERE id = :id", id=entry["commit_id"])
    digests = connection.execute(
        text("SELECT digest FROM journal_entries WHERE commit_id = :id ORDER BY n"), {"id": commit["id"]}
    ).scalars()
    change(connection, "commits", commit, digest=commit_digest(commit["id"], commit["recorded_at"], list(digests)))
    forget_balances(connection)
    first = block_over(connection, commit["position"])
    rehash(connection, int(first.removeprefix("block ")), signer)
    return {first}


def rehash(connection: Connection, height: int, signer: Signer | None) -> None:
    """Makes the chain agree with itself again from a block on."""
    previous = None
    for block in connection.execute(
        text("SELECT * FROM seal_blocks WHERE height >= :h ORDER BY height"), {"h": height}
    ).mappings():
        before = block["previous"] if previous is None else previous
        hashing = BlockHash(block["height"], before, block["from_position"], block["to_position"])
        rows = connection.execute(
            text("SELECT position, seq, id, digest FROM commits WHERE position BETWEEN :a AND :b ORDER BY position"),
            {"a": block["from_position"], "b": block["to_position"]},
        )
        hashing.add(commit_lines((row[0], row[1], row[2], row[3]) for row in rows))
        previous = hashing.value()
        change(connection, "seal_blocks", block, previous=before, hash=previous)
        if signer is not None:
            signature = signer.sign(signed_text(block["height"], block["to_position"], previous, block["sealed_at"]))
            change(connection, "seal_blocks", block, public_key=signer.public_key, signature=signature)
