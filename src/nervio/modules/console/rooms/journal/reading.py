"""Entries as a person reads them: accounts by name, one figure for the whole, goods by product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nervio.kernel.ids import is_id
from nervio.kernel.time import to_datetime
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Product, ProductFilter
from nervio.modules.console.requests import Frame, name_of
from nervio.modules.ledger.contracts import STOCK_PREFIX, Account, Balance, JournalEntry

GROUPS = {
    "assets": (Account.CASH, Account.CARD, Account.TRANSFER, Account.WALLET, Account.RECEIVABLE, Account.CLEARING),
    "liabilities": (Account.TAX_PAYABLE, Account.AI_PAYABLE),
    "income": (Account.SALES,),
    "expenses": (Account.BAD_DEBT, Account.AI_WORK),
}
"""Where each money account stands in the statement."""

CREDIT_GROUPS = frozenset({"liabilities", "income"})
"""Groups whose accounts grow on the credit side; shown as what is owed or earned, not as a negative."""

PRODUCTS_A_READ = 500


def account_name(frame: Frame, account: str) -> str:
    """What an account is called; a location's stock is called by the location."""
    if account.startswith(STOCK_PREFIX):
        return frame.t("account.stock", place=frame.place_name(account.removeprefix(STOCK_PREFIX)))
    return frame.t(f"account.{account}") if frame.t.knows(f"account.{account}") else account


def kind_of(frame: Frame, entry: JournalEntry) -> str:
    """The kind as the texts know it."""
    return entry.kind if frame.t.knows(f"kind.{entry.kind}") else "other"


def entry_row(frame: Frame, entry: JournalEntry, people: Mapping[str, str], sealed_to: int) -> dict[str, Any]:
    """An entry of the list."""
    return {
        "id": entry.id,
        "position": entry.position,
        "at": to_datetime(entry.effective_at),
        "kind": kind_of(frame, entry),
        "reference": entry.reference or entry.id[:8],
        "actor": name_of(people, entry.actor_id),
        "amount_minor": _amount(entry, frame.formats.currency),
        "quantity_milli": _quantity(entry),
        "sealed": entry.position is not None and entry.position <= sealed_to,
    }


def money_rows(frame: Frame, entry: JournalEntry) -> list[dict[str, Any]]:
    """What the entry does to each money account, one side each."""
    rows = []
    for (account, asset), net in _net(entry).items():
        if is_id(asset) or net == 0:
            continue
        name = account_name(frame, account)
        rows.append(
            {
                "account": account,
                "name": name if asset == frame.formats.currency else f"{name} ({asset})",
                "debit_minor": net if net > 0 else None,
                "credit_minor": -net if net < 0 else None,
            }
        )
    return sorted(rows, key=lambda row: row["debit_minor"] is None)


async def goods_rows(frame: Frame, entry: JournalEntry) -> list[dict[str, Any]]:
    """What the entry does to stock, by product, place and lot."""
    moved: dict[tuple[str, str, str], int] = {}
    for posting in entry.postings:
        for account, sign in ((posting.debit, 1), (posting.credit, -1)):
            if account.startswith(STOCK_PREFIX):
                key = (posting.asset, account, posting.lot)
                moved[key] = moved.get(key, 0) + sign * posting.amount
    products = await read_products(frame, [product_id for product_id, _, _ in moved])
    return [
        {
            "sku": products[product_id].sku,
            "product": products[product_id].name + (f" · {lot}" if lot else ""),
            "place": frame.place_name(account.removeprefix(STOCK_PREFIX)),
            "quantity_milli": quantity,
        }
        for (product_id, account, lot), quantity in moved.items()
        if product_id in products
    ]


async def read_products(frame: Frame, ids: Sequence[str]) -> dict[str, Product]:
    """Products by id, any number of them."""
    wanted, found = list(dict.fromkeys(ids)), dict[str, Product]()
    for start in range(0, len(wanted), PRODUCTS_A_READ):
        part = ProductFilter(ids=tuple(wanted[start : start + PRODUCTS_A_READ]))
        found.update({p.id: p for p in await catalog.list_products(frame.ctx, part, limit=PRODUCTS_A_READ)})
    return found


def balance_groups(frame: Frame, balances: Sequence[Balance]) -> list[dict[str, Any]]:
    """Balances of the shop's currency by group; other currencies are named in their rows and left out of the totals."""
    held = {(balance.account, balance.asset): balance.amount for balance in balances}
    groups = []
    for title, accounts in GROUPS.items():
        sign = -1 if title in CREDIT_GROUPS else 1
        rows = [
            {
                "account": account,
                "name": account_name(frame, account) + ("" if asset == frame.formats.currency else f" ({asset})"),
                "balance_minor": sign * amount,
            }
            for (account, asset), amount in sorted(held.items())
            if account in accounts and (amount or account != Account.CLEARING)
        ]
        total = sum(sign * held.get((account.value, frame.formats.currency), 0) for account in accounts)
        groups.append({"title": title, "rows": rows, "total_minor": total})
    return [group for group in groups if group["rows"]]


def is_balanced(balances: Sequence[Balance]) -> bool:
    """Whether the money of every currency sums to nothing."""
    sums: dict[str, int] = {}
    for balance in balances:
        if not is_id(balance.asset):
            sums[balance.asset] = sums.get(balance.asset, 0) + balance.amount
    return not any(sums.values())


def _net(entry: JournalEntry) -> dict[tuple[str, str], int]:
    net: dict[tuple[str, str], int] = {}
    for posting in entry.postings:
        for account, sign in ((posting.debit, 1), (posting.credit, -1)):
            key = (account, posting.asset)
            net[key] = net.get(key, 0) + sign * posting.amount
    return net


def _amount(entry: JournalEntry, currency: str) -> int | None:
    """What an entry of money comes to; what was paid back is negative. None where no money moved."""
    nets = [net for (_, asset), net in _net(entry).items() if asset == currency]
    if not nets:
        return None
    total = sum(net for net in nets if net > 0)
    return -total if entry.kind == "return" else total


def _quantity(entry: JournalEntry) -> int | None:
    """What an entry of goods comes to: units in less units out, or for a transfer the units moved."""
    changes = [net for (account, _), net in _net(entry).items() if account.startswith(STOCK_PREFIX)]
    if not changes:
        return None
    return sum(changes) or sum(change for change in changes if change > 0)
