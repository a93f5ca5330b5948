"""Use, limits and bills as requests and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated

from pydantic import BaseModel, Field

from nervio.kernel.money import format_amount, format_micros
from nervio.kernel.time import to_iso
from nervio.modules.fleet.contracts import (
    Bill,
    BillLine,
    Limits,
    LimitsState,
    Measure,
    MoneyLimit,
    Period,
    Spend,
    Usage,
)
from nervio.modules.fleet.domain.limits import LARGEST_LIMIT, MOST_CURRENCIES, MOST_RUNNING
from nervio.web.values import Currency, Moment, RequestBody

Most = Annotated[int, Field(ge=0, le=LARGEST_LIMIT)] | None
Micros = Annotated[
    int, Field(description="Millionths of the currency's unit: 1500000 are 1.50 USD.", examples=[1_500_000])
]


class CostReply(BaseModel):
    """What tasks of a kind cost in a currency."""

    currency: Currency
    tasks: int = Field(description="That were done and had a cost; the cost is also that of attempts which failed.")
    cost_micros: Micros
    cost: str = Field(description="The same as an exact decimal number.", examples=["1.500075"])
    saved_micros: Micros = Field(
        description="What tasks would have cost that got the answer to an equal one, in millionths."
    )

    @classmethod
    def of(cls, one: Spend) -> CostReply:
        """The answer for a sum."""
        cost = format_micros(one.cost_micros, one.currency)
        return cls(
            currency=one.currency,
            tasks=one.tasks,
            cost_micros=one.cost_micros,
            cost=cost,
            saved_micros=one.saved_micros,
        )


class UsageReply(BaseModel):
    """Sums of one kind of task over the days asked for."""

    kind: str
    submitted: int
    done: int
    failed: int
    cancelled: int
    attempts_failed: int
    worked_ms: int = Field(description="Milliseconds that workers spent on what was done.")
    input_tokens: int
    output_tokens: int
    cached: int = Field(description="Done with the answer to an equal task.")
    saved_input_tokens: int
    saved_output_tokens: int
    costs: list[CostReply] = Field(description="A currency each; empty where nothing had a known price.")

    @classmethod
    def of(cls, one: Usage, spend: Sequence[Spend]) -> UsageReply:
        """The answer for a kind."""
        sums = {each.name: getattr(one, each.name) for each in fields(one)}
        return cls(**sums, costs=[CostReply.of(cost) for cost in spend if cost.kind == one.kind])


class UsagesReply(BaseModel):
    """What the tenant used, a kind each."""

    usage: list[UsageReply]


class MoneyLimitBody(RequestBody):
    """The most that may be spent in a currency."""

    currency: Currency
    per_day_micros: Most = Field(None, description="Millionths of the currency's unit a day of UTC; null for any sum.")
    per_month_micros: Most = Field(None, description="The same a month.", examples=[20_000_000])


class LimitsBody(RequestBody):
    """What the tenant may use. What is left out or null is not limited; days and months are those of UTC."""

    tasks_per_day: Most = Field(None, examples=[5000])
    tasks_per_month: Most = None
    tokens_per_day: Most = Field(None, description="Read and written, of all models.")
    tokens_per_month: Most = None
    most_running: Annotated[int, Field(ge=0, le=MOST_RUNNING)] | None = Field(
        None, description="Tasks that run at once, by all workers; the others wait.", examples=[8]
    )
    money: list[MoneyLimitBody] = Field(default_factory=list, max_length=MOST_CURRENCIES)

    def to_limits(self) -> Limits:
        """The limits as the use case takes them."""
        money = tuple(MoneyLimit(one.currency, one.per_day_micros, one.per_month_micros) for one in self.money)
        counts = (self.tasks_per_day, self.tasks_per_month, self.tokens_per_day, self.tokens_per_month)
        return Limits(*counts, self.most_running, money)

    @classmethod
    def of(cls, limits: Limits) -> LimitsBody:
        """The same as they are answered."""
        names = [each.name for each in fields(limits)[:-1]]
        money = [
            MoneyLimitBody(
                currency=one.currency, per_day_micros=one.per_day_micros, per_month_micros=one.per_month_micros
            )
            for one in limits.money
        ]
        return cls(**{name: getattr(limits, name) for name in names}, money=money)


class QuotaReply(BaseModel):
    """A limit and what is used of it."""

    measure: Measure
    period: Period
    currency: str = Field(description="Of money, which is in millionths; else empty.")
    used: int
    limit: int
    is_reached: bool = Field(description="No more tasks are taken; with tokens or money none that waits begins either.")
    free_at: Moment = Field(description="When the count begins anew.")


class LimitsReply(BaseModel):
    """The limits, what is used of them, and who changed them last."""

    limits: LimitsBody
    quotas: list[QuotaReply]
    running: int = Field(description="Tasks that run now.")
    changed_by: str | None
    changed_at: Moment | None

    @classmethod
    def of(cls, state: LimitsState) -> LimitsReply:
        """The answer for a tenant's limits."""
        return cls(
            limits=LimitsBody.of(state.limits),
            quotas=[
                QuotaReply(
                    measure=one.measure,
                    period=one.period,
                    currency=one.currency,
                    used=one.used,
                    limit=one.limit,
                    is_reached=one.is_reached,
                    free_at=to_iso(one.free_at),
                )
                for one in state.quotas
            ],
            running=state.running,
            changed_by=state.changed_by,
            changed_at=None if state.changed_at is None else to_iso(state.changed_at),
        )


class BillLineReply(BaseModel):
    """A kind in one currency."""

    kind: str
    currency: str = Field(description="Empty: free, or of no known price.")
    tasks: int
    input_tokens: int
    output_tokens: int
    cost_micros: Micros
    charged_micros: int = Field(description="The cost with the mark-up.")
    charged: str = Field(
        description="The same as an exact decimal number; empty without a currency.", examples=["1.80009"]
    )

    @classmethod
    def of(cls, one: BillLine) -> BillLineReply:
        """The answer for a line."""
        sums = {each.name: getattr(one, each.name) for each in fields(one)}
        return cls(**sums, charged=format_micros(one.charged_micros, one.currency) if one.currency else "")


class BillTotalReply(BaseModel):
    """The sum of a currency."""

    currency: str
    cost_micros: Micros
    charged_micros: int
    amount_minor: int = Field(description="What is due: the charge, rounded once to minor units.")
    amount: str = Field(examples=["1.80"])


class BillReply(BaseModel):
    """What the tenant used in a month of UTC."""

    tenant: str
    month: str = Field(examples=["2026-03"])
    is_final: bool = Field(description="Whether the month is over.")
    made_at: Moment
    markup_basis_points: int
    lines: list[BillLineReply]
    totals: list[BillTotalReply]

    @classmethod
    def of(cls, bill: Bill) -> BillReply:
        """The answer for a bill."""
        return cls(
            tenant=bill.tenant_name,
            month=bill.month,
            is_final=bill.is_final,
            made_at=to_iso(bill.made_at),
            markup_basis_points=bill.markup_bp,
            lines=[BillLineReply.of(one) for one in bill.lines],
            totals=[
                BillTotalReply(
                    currency=one.currency,
                    cost_micros=one.cost_micros,
                    charged_micros=one.charged_micros,
                    amount_minor=one.amount_minor,
                    amount=format_amount(one.amount_minor, one.currency),
                )
                for one in bill.totals
            ],
        )
