"""A worker's hands: one thread that writes and builds, and as many that only talk as the provider carries at once.

A batch that has begun is never cut off: an answer that nobody hears would leave its readers in doubt.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import count
from time import perf_counter
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from funnel.answers import GATHER_S, Answers, Told, without_mails
from funnel.core.delivery import Fate, Health, Kind, Report, State
from funnel.flow.settle import give_back, renew, settle
from funnel.flow.start import Broken, Started, start
from funnel.flow.watch import seen_twice
from funnel.line import Line, end
from funnel.mail.provider import Recipients
from funnel.meters import Meters, Step
from funnel.runtime import LARGEST_SKEW_MS, Runtime
from funnel.store.tables import Record

LONGEST_S = 10.0
REST_S = 20.0  # for recording, once the last answer is there
UNRECORDED_PER_HAND = 2  # answers at most; with more, no batch is started
ON_THEIR_WAY = 12_000  # recipients whose mails are in memory; with more, no batch is started
DOUBLED = Report(Fate(State.PLANNED, "doubled"), health=Health.UNASKED)
UNCHECKED = Report(Fate(State.PLANNED, "could not be checked", retry_ms=10_000), health=Health.UNASKED)
TOO_LATE = Report(Fate(State.PLANNED, "came too late to its own lease"), health=Health.UNASKED)

log = structlog.get_logger()
_T = TypeVar("_T")


class Hands:
    """Starts, hands over and settles batches; `owner` is this worker's name on what it starts."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.meters = Meters()
        self.owner = secrets.token_hex(8)
        self._writing = ThreadPoolExecutor(1, "write")
        self._handing = ThreadPoolExecutor(runtime.provider.width, "hand")
        self._flights: dict[int, Started] = {}
        self._line = Line(runtime.provider.width, self._flights)
        self._answers = Answers(self._record, self._land)
        self._starts = count()
        self._broken: dict[str, list[int]] = {}
        self._resting = self._behind = False
        self._busy: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None

    def write(self, work: Callable[[Runtime, int], _T], step: Step | None = None) -> Awaitable[_T]:
        """Runs work(runtime, now) on the one thread that writes; the clock is read when its turn comes."""

        def in_turn() -> _T:
            with self.meters.time(step) if step else nullcontext():
                return work(self.runtime, self.runtime.now_ms())

        return asyncio.get_running_loop().run_in_executor(self._writing, in_turn)

    async def send(self, ids: Sequence[int]) -> None:
        """Sends these batches as hands get free, for a while; what has not begun by then is hinted at again."""
        asked = [self._ask(id_, self.runtime.tools.batch_size) for id_ in ids]
        if asked:
            await asyncio.wait(asked, timeout=LONGEST_S)
        for each in asked:
            each.cancel()  # whoever has begun is past that

    async def begin(self, found: Sequence[Record]) -> None:
        """Begins to send these batches, and does not wait for them."""
        there = self._flights.keys() | self._line.waiting()
        for row in found:
            if row.id not in there:
                self._ask(row.id, row.size, urgent=row.kind == Kind.NOTICE)

    async def catch_up(self) -> None:
        """Renews what could not be renewed in time. To be called before anybody here judges leases."""
        if self._behind:
            await self.write(self._renew_all)

    async def rest(self) -> None:
        """Waits for what is in flight, and a while until it is recorded; then lets go of everything. For good."""
        self._resting = True
        self._line.close()
        if self._starting:
            await asyncio.wait({self._starting})
        await asyncio.to_thread(self._handing.shutdown)
        await self._finish(REST_S)
        if self._renewing:
            self._renewing.cancel()
        self._writing.shutdown()
        self.meters.close()

    async def _finish(self, longest_s: float) -> None:
        end = perf_counter() + longest_s
        while self._busy and (left_s := end - perf_counter()) > 0:
            await asyncio.wait(self._busy, timeout=left_s)
        if self._broken:
            with suppress(SQLAlchemyError):
                await self.write(self._renew_all)
        self._answers.give_up()
        for task in self._busy:
            task.cancel()

    def _ask(self, batch_id: int, size: int, *, urgent: bool = False) -> asyncio.Future[None]:
        """Puts a batch in the line, and sees to it that somebody lets it in."""
        asked = self._line.join(batch_id, size, urgent=urgent)
        if self._line and (self._starting is None or self._starting.done()):
            self._starting = self._keep(self._send())
        return asked

    async def _send(self) -> None:
        """Starts what waits, as many together as there are free hands; while they start, others get free."""
        while self._line:
            await self._keep_few_open()
            if asked := await self._line.let_in():
                await self._begin(asked)

    async def _begin(self, asked: dict[int, asyncio.Future[None]]) -> None:
        """Starts these batches and lets them go; in a call of its own, so that nothing keeps their mails."""
        for started in await self._start(list(asked)):
            self._keep(self._carry(started, asked.pop(started.batch.id)))
        for nothing in asked.values():
            self._line.free()
            end(nothing)

    async def _keep_few_open(self) -> None:
        """While many mails are on their way, or answers cannot be recorded, none is added: what is kept is bounded."""
        most = UNRECORDED_PER_HAND * self.runtime.provider.width
        while len(self._answers) >= most and not self._resting:
            await self._answers.idle(1)
        while sum(len(each.mailing.recipients) for each in self._flights.values()) >= ON_THEIR_WAY:
            await asyncio.sleep(GATHER_S)

    async def _start(self, part: list[int]) -> list[Started]:
        owner = f"{self.owner}-{next(self._starts)}"  # each start's own, so that it can be taken back alone
        try:
            found = await self.write(lambda parts, now_ms: _start(parts, part, owner, now_ms), "start")
        except Exception as error:  # noqa: BLE001 -- it is hinted at again
            log.error("start", batches=part, fault=type(error).__name__)
            self._broken[owner] = part  # it may have claimed them all the same, and nobody will hand them over
            self._keep_alive()
            return []
        for each in found:
            if isinstance(each, Broken):
                log.error("build", batch=each.batch_id, fault=each.fault)
        started = [each for each in found if isinstance(each, Started)]
        self._flights |= {each.batch.id: each for each in started}
        self._keep_alive()
        return started

    async def _carry(self, started: Started, asked: asyncio.Future[None]) -> None:
        """Hands one batch over, and brings its answer home."""
        try:
            report = await asyncio.get_running_loop().run_in_executor(self._handing, self._hand_over, started)
        except Exception as error:  # noqa: BLE001 -- a provider raises nothing; should it, nobody knows how far it came
            log.error("hand over", batch=started.batch.id, fault=type(error).__name__)
            report = Report(Fate(State.UNKNOWN, "fault"), health=Health.FAILING)
        finally:
            self._line.free()
        self._flights[started.batch.id] = started = without_mails(started)
        await self._answers.add(started, report)
        end(asked)

    def _hand_over(self, started: Started) -> Report:
        def in_time() -> bool:
            return self.runtime.now_ms() <= started.late_ms

        if not in_time():
            return TOO_LATE
        try:
            if self._doubled(started):
                return DOUBLED
        except Exception as error:  # noqa: BLE001 -- whatever it was, nothing has been sent
            log.error("double", batch=started.batch.id, fault=type(error).__name__)
            return UNCHECKED
        provider = self.runtime.provider
        began = perf_counter()
        with self.meters.in_flight():
            report = provider.hand_over(replace(started.mailing, in_time=in_time))
        shared = len(started.rows) - len(report.exceptions)
        self.meters.answered(provider.name, report.fate.state, report.health, perf_counter() - began, shared)
        for fate in report.exceptions.values():
            self.meters.differed(fate.state, 1)
        return report

    def _doubled(self, started: Started) -> bool:
        """Whether somebody in it has just had this lesson: then the mistake is ours, and the funnel is held."""
        row, tools = started.batch, self.runtime.tools
        if row.kind != Kind.LESSON or row.attempt > 1:
            return False
        to = Recipients.of(started.mailing.recipients).addresses
        addresses = {each.id: address for each, address in zip(started.rows, to, strict=True)}
        lesson, now_ms = str(row.lesson_id), self.runtime.now_ms()
        doubled = seen_twice(tools.engine, tools.marks, tools.keyring.tag_key, row.funnel, lesson, addresses, now_ms)
        if doubled:
            log.error("the same lesson twice; its funnel is paused until somebody resumes it", batch=row.id)
        return doubled > 0

    def _record(self, told: Told) -> Awaitable[list[bool]]:
        return self.write(lambda parts, now_ms: _settle(parts, told, now_ms), "settle")

    def _land(self, batch_id: int) -> None:
        self._flights.pop(batch_id, None)

    def _keep_alive(self) -> None:
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        """Renews every lease in flight, again and again while there are any."""
        while self._flights or self._broken:
            await asyncio.sleep(self.runtime.tools.lease_ms / 3000)
            try:
                await self.write(self._renew_all)
            except Exception as error:  # noqa: BLE001 -- the next one may succeed; the answer matters more
                self._behind = True
                log.warning("leases not renewed", fault=type(error).__name__)

    def _renew_all(self, parts: Runtime, now_ms: int) -> None:
        renew(parts.tools, list(self._flights.values()), now_ms)
        self._behind = False
        if broken := dict(self._broken):
            give_back(parts.tools, [id_ for part in broken.values() for id_ in part], broken.keys(), now_ms)
            for owner in broken:
                del self._broken[owner]

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        return task


def _start(parts: Runtime, ids: Sequence[int], owner: str, now_ms: int) -> list[Started | Broken]:
    """Nothing, by a clock that is not the database's: others would judge the leases by another time."""
    return start(parts.tools, ids, owner, now_ms) if parts.skew_ms(now_ms) <= LARGEST_SKEW_MS else []


def _settle(parts: Runtime, answers: Told, now_ms: int) -> list[bool]:
    kept = settle(parts.tools, answers, now_ms)
    breaker = parts.tools.breaker
    for _, report in answers:
        if breaker.listen(parts.tools.engine, report.health, report.fate.retry_ms, now_ms):
            log.error("provider held", scope=breaker.provider, health=report.health)
    return kept
