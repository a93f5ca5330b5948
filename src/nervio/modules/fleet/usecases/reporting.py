"""Takes what workers bring back: many reports, one commit."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from nervio.db.batch import Command, Lane
from nervio.db.context import Ctx
from nervio.kernel.ids import is_id
from nervio.modules.fleet import metrics
from nervio.modules.fleet.contracts import AttemptEnding
from nervio.modules.fleet.domain.prediction import Speeds
from nervio.modules.fleet.domain.use import use_of
from nervio.modules.fleet.usecases.drafts import Drafts
from nervio.modules.fleet.usecases.roster import Held, Member, Roster, TaskKey
from nervio.modules.fleet.usecases.trying import RECORD, AttemptsRecorded, EndedAttempt, RecordAttempts
from nervio.ports.workers import Ending, Report, Verdict

log = logging.getLogger(__name__)

_ENDINGS = {
    Ending.DONE: AttemptEnding.DONE,
    Ending.FAILED: AttemptEnding.FAILED,
    Ending.HANDED_BACK: AttemptEnding.HANDED_BACK,
}
LONGEST_WORK_SECONDS = 30 * 86_400.0
LONGEST_PAUSE_SECONDS = 86_400.0
"""The longest that a provider's wish to be asked later is followed."""
LARGEST_TOKEN = 2**63 - 1

_Waiting = tuple[Report, EndedAttempt, "asyncio.Future[Verdict]"]
"""(what a worker reports, the same as it is written, who waits for the verdict)"""
AttemptName = tuple[str, str, int, str]
"""(tenant, task, token, worker)"""
_FINAL = (Verdict.ACCEPTED, Verdict.LATE, Verdict.REFUSED)


class Taken(Protocol):
    """Is told that something was written. `may_wait`: some of it is to be tried again; `for_others`: other tasks may wait for
    what came of it."""

    def __call__(self, *, may_wait: bool, for_others: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of attempts. `for_others`: other tasks wait for what came of some."""

    verdicts: Mapping[AttemptName, Verdict]
    for_others: bool = False


class Reports:
    """While one commit is being written the next reports gather, so that under load many share one."""

    def __init__(
        self, ctx: Ctx, roster: Roster, speeds: Speeds, drafts: Drafts, taken: Taken, keep_seconds: float
    ) -> None:
        self._ctx, self._roster, self._speeds, self._drafts, self._taken = ctx, roster, speeds, drafts, taken
        self._keep_seconds = keep_seconds
        self._waiting: list[_Waiting] = []
        self._under_way: dict[TaskKey, int] = {}
        self._writer: asyncio.Task[None] | None = None

    async def take(self, worker_id: str, reports: Sequence[Report]) -> list[Verdict]:
        """Writes them down and says of each what became of it. Raises nothing: what could not be written is `RETRY`."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Verdict]] = []
        for report in reports:
            future: asyncio.Future[Verdict] = loop.create_future()
            futures.append(future)
            if not (is_id(report.tenant_id) and is_id(report.task_id) and 0 <= report.token <= LARGEST_TOKEN):
                future.set_result(Verdict.REFUSED)  # names nothing that the store could be asked about
                metrics.REPORTS_NOT_TAKEN.labels(Verdict.REFUSED.value).inc()
                continue
            self._waiting.append((report, _ended(worker_id, report), future))
            self._under_way[report.tenant_id, report.task_id] = report.token
        if self._waiting and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write(), name="nervio-fleet-reports")
        return [await future for future in futures]

    def under_way(self) -> dict[TaskKey, int]:
        """Tasks whose reports are being written: task → token."""
        return dict(self._under_way)

    async def close(self) -> None:
        """Waits for what is being written."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def record(self, attempts: Mapping[str, Sequence[EndedAttempt]]) -> Recorded:
        """Writes attempts down by tenant."""
        commands = [
            Command(
                RECORD,
                tenant_id,
                self._ctx.actor_id,
                None,  # a report that is repeated finds its token used and changes nothing
                RecordAttempts(tuple(ended), self._keep_seconds),
                weight=len(ended),
                lane=Lane.FLEET,
            )
            for tenant_id, ended in attempts.items()
        ]
        if not commands:
            return Recorded({})
        verdicts: dict[AttemptName, Verdict] = {}
        for_others = False
        for command, outcome in zip(commands, await self._ctx.submit_all(commands), strict=True):
            ended = command.body.attempts
            if isinstance(outcome, AttemptsRecorded):
                found = outcome.verdicts
                for_others |= outcome.for_others
            else:
                log.warning("attempts_not_recorded", extra={"error": str(outcome), "attempts": len(ended)})
                found = (Verdict.RETRY,) * len(ended)
            taken: Counter[AttemptEnding] = Counter()
            for attempt, verdict in zip(ended, found, strict=True):
                verdicts[command.tenant_id, attempt.task_id, attempt.token, attempt.worker] = verdict
                if verdict is Verdict.ACCEPTED:
                    taken[attempt.ending] += 1
            for ending, count in taken.items():
                metrics.ATTEMPTS.labels(ending.value).inc(count)
        return Recorded(verdicts, for_others)

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._write_batch(batch)
            except Exception:
                log.exception("reports_failed")
                self._answer(batch, {})

    async def _write_batch(self, batch: Sequence[_Waiting]) -> None:
        # Also what nobody here has given out: a worker may have outlived the process that did, and the store knows the token.
        by_tenant: dict[str, dict[tuple[str, int, str], EndedAttempt]] = {}
        for report, ended, _ in batch:
            name = ended.task_id, ended.token, ended.worker
            by_tenant.setdefault(report.tenant_id, {}).setdefault(name, ended)
        recorded = await self.record({tenant: list(of_tenant.values()) for tenant, of_tenant in by_tenant.items()})
        self._answer(batch, recorded.verdicts)
        may_wait = any(report.ending is not Ending.DONE for report, _, _ in batch)
        self._taken(may_wait=may_wait, for_others=recorded.for_others)

    def _answer(
        self,
        batch: Sequence[_Waiting],
        recorded: Mapping[AttemptName, Verdict],
    ) -> None:
        answered: set[AttemptName] = set()
        for report, ended, future in batch:
            key = report.tenant_id, report.task_id
            name = (*key, ended.token, ended.worker)
            # Of two reports of one attempt in a batch only the first was written.
            verdict = Verdict.LATE if name in answered else recorded.get(name, Verdict.RETRY)
            answered.add(name)
            if verdict in _FINAL:
                taken = self._roster.take_back(key, ended.token, ended.worker)
                if taken is not None or verdict is Verdict.ACCEPTED:
                    self._drafts.end(key, report.token)
                if taken is not None and verdict is Verdict.ACCEPTED:
                    metrics.count_use(taken[1].assignment.kind, ended.used)
                    self._learn(report, *taken)
            if verdict in (Verdict.LATE, Verdict.REFUSED):
                metrics.REPORTS_NOT_TAKEN.labels(verdict.value).inc()
            if self._under_way.get(key) == report.token:
                del self._under_way[key]
            if not future.done():
                future.set_result(verdict)

    def _learn(self, report: Report, member: Member, held: Held) -> None:
        task = held.assignment
        if report.ending is Ending.DONE:
            seconds = max(report.seconds, 0.0)
            self._speeds.learn(task.kind, task.model, member.profile.id, task.size, seconds)
            metrics.work_seconds_of(metrics.label_of(task.kind)).observe(seconds)
            member.completed += 1
            member.worked_ms += int(1000 * seconds)
        elif report.ending is Ending.FAILED:
            member.failed += 1


def check_report(report: Report, most_bytes: int) -> Report:
    """The report as it can be kept: one whose result cannot be is a failure that says why."""
    seconds = _at_most(report.seconds, LONGEST_WORK_SECONDS)
    if seconds != report.seconds:
        report = replace(report, seconds=seconds)
    if report.usage is not None and not _is_json(report.usage):
        report = replace(report, usage=None)
    if report.retry_after_seconds is not None:
        report = replace(report, retry_after_seconds=_at_most(report.retry_after_seconds, LONGEST_PAUSE_SECONDS))
    if report.ending is not Ending.DONE:
        # What a worker says of an error may come from anywhere; the store takes neither NUL nor half a character.
        words = report.error.replace("\x00", "").encode(errors="replace").decode()
        return report if words == report.error else replace(report, error=words)
    length = len(report.result)
    if length > most_bytes:
        return _failed(
            report,
            f"The result has {length} characters; at most {most_bytes} bytes are kept. Store it as a file and give its name.",
        )
    if not _is_json(report.result):
        return _failed(report, "The result is no JSON text in UTF-8.")
    return report


def _failed(report: Report, error: str) -> Report:
    # What it used stays: it was paid for.
    return replace(report, ending=Ending.FAILED, result="null", error=error, may_help=False)


def _at_most(seconds: float, most: float) -> float:
    """A worker's number as a span of time; what is none counts as nothing."""
    return min(seconds, most) if math.isfinite(seconds) and seconds > 0 else 0.0


def _is_json(text: str) -> bool:
    try:
        # To the bottom: a number that is too large for any, say, is found only then, and would break whoever reads it later.
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def _ended(worker_id: str, report: Report) -> EndedAttempt:
    done = report.ending is Ending.DONE
    return EndedAttempt(
        report.task_id,
        report.token,
        worker_id,
        _ENDINGS[report.ending],
        result=report.result if done else None,
        usage=report.usage,
        error=None if done else (report.error or None),
        again=report.may_help,
        after_seconds=report.retry_after_seconds,
        worked_ms=int(1000 * max(report.seconds, 0.0)),
        used=use_of(report.usage),
    )
