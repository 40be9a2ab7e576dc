"""A worker's hands: one thread that writes and builds, and as many that only talk as the provider carries at once.

A batch that has begun is never cut off: an answer that nobody hears would leave its readers in doubt.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from funnel.core.delivery import Fate, Health, Kind, Report, State
from funnel.flow.settle import renew, settle
from funnel.flow.start import Broken, Started, start
from funnel.flow.watch import seen_twice
from funnel.meters import Meters, Step
from funnel.runtime import Runtime
from funnel.store.tables import Record

LONGEST_S = 10.0
RECIPIENTS_AT_ONCE = 2_000  # that a start reads in one transaction: others want to write, too
DOUBLED = Report(Fate(State.PLANNED, "doubled"))
TOO_LATE = Report(Fate(State.PLANNED, "came too late to its own lease"))

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
        self._free = asyncio.Semaphore(runtime.provider.width)
        self._flights: dict[int, Started] = {}
        self._answers: deque[tuple[Started, Report]] = deque()
        self._busy: set[asyncio.Task[None]] = set()
        self._settling: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def write(self, work: Callable[[Runtime, int], _T], step: Step | None = None) -> Awaitable[_T]:
        """Runs work(runtime, now) on the one thread that writes; the clock is read when its turn comes."""

        def in_turn() -> _T:
            with self.meters.time(step) if step else nullcontext():
                return work(self.runtime, self.runtime.now_ms())

        return asyncio.get_running_loop().run_in_executor(self._writing, in_turn)

    async def send(self, ids: Sequence[int]) -> None:
        """Sends these batches as hands get free, for a while; what has not begun by then is hinted at again."""
        asked = [self._ask(id_) for id_ in ids]
        if asked:
            await asyncio.wait(asked, timeout=LONGEST_S)
        for each in asked:
            each.cancel()  # whoever has begun is past that

    async def begin(self, found: Sequence[Record]) -> None:
        """Begins to send these batches, and does not wait for them."""
        for row in found:
            self._ask(row.id)

    async def rest(self) -> None:
        """Waits for what is in flight, and lets go of everything."""
        self._waiting.clear()
        while self._busy:
            await asyncio.wait(self._busy)
        if self._renewing:
            self._renewing.cancel()
        self._handing.shutdown()
        self._writing.shutdown()
        self.meters.close()

    def _ask(self, batch_id: int) -> asyncio.Future[None]:
        """Puts a batch in the line. The future ends with its sending; cancelled, it is passed over."""
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch_id, asked))
        if self._starting is None or self._starting.done():
            self._starting = self._keep(self._send())
        return asked

    async def _send(self) -> None:
        """Starts what waits, as many together as there are free hands; while they start, others get free."""
        while self._waiting:
            asked = await self._take_hands()
            started = await self._start(list(asked)) if asked else []
            for _ in range(len(asked) - len(started)):
                self._free.release()
            for each in started:
                self._keep(self._carry(each, asked.pop(each.batch.id)))
            for nothing in asked.values():
                _end(nothing)

    async def _take_hands(self) -> dict[int, asyncio.Future[None]]:
        """Takes a hand for the next batch in the line, and for as many more as are free at this moment."""
        found: dict[int, asyncio.Future[None]] = {}
        most = max(RECIPIENTS_AT_ONCE // self.runtime.tools.batch_size, 1)
        while self._waiting and len(found) < most and not (found and self._free.locked()):
            batch_id, asked = self._waiting.popleft()
            if asked.cancelled():
                continue
            if batch_id in found or batch_id in self._flights:
                _end(asked)
                continue
            await self._free.acquire()
            found[batch_id] = asked
        return found

    async def _start(self, part: list[int]) -> list[Started]:
        try:
            found = await self.write(lambda parts, now_ms: start(parts.tools, part, self.owner, now_ms), "start")
        except Exception as error:  # noqa: BLE001 -- rolled back; it is hinted at again
            log.error("start", batches=part, fault=type(error).__name__)
            return []
        for each in found:
            if isinstance(each, Broken):
                log.error("build", batch=each.batch_id, fault=each.fault)
        started = [each for each in found if isinstance(each, Started)]
        self._flights |= {each.batch.id: each for each in started}
        if started and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.create_task(self._renew())
        return started

    async def _carry(self, started: Started, asked: asyncio.Future[None]) -> None:
        """Hands one batch over, and brings its answer home."""
        try:
            report = await asyncio.get_running_loop().run_in_executor(self._handing, self._hand_over, started)
        except Exception as error:  # noqa: BLE001 -- a provider raises nothing; should it, nobody knows how far it came
            log.error("hand over", batch=started.batch.id, fault=type(error).__name__)
            report = Report(Fate(State.UNKNOWN, "fault"), health=Health.FAILING)
        finally:
            self._free.release()
        self._answers.append((started, report))
        if self._settling is None:
            self._settling = self._keep(self._settle())
        await asyncio.shield(self._settling)
        _end(asked)

    def _hand_over(self, started: Started) -> Report:
        def in_time() -> bool:
            return self.runtime.now_ms() <= started.late_ms

        if not in_time():
            return TOO_LATE
        if self._doubled(started):
            return DOUBLED
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
        addresses = {each.id: to.address for each, to in zip(started.rows, started.mailing.recipients, strict=True)}
        lesson, now_ms = str(row.lesson_id), self.runtime.now_ms()
        doubled = seen_twice(tools.engine, tools.marks, tools.keyring.tag_key, row.funnel, lesson, addresses, now_ms)
        if doubled:
            log.error("the same lesson twice; its funnel is paused until somebody resumes it", batch=row.id)
        return doubled > 0

    async def _settle(self) -> None:
        """Records every answer that is there, in one transaction; those that come meanwhile make the next one."""
        try:
            while answers := list(self._answers):
                self._answers.clear()
                try:
                    await self._settle_these(answers)
                except Exception:  # noqa: BLE001 -- one of them may be at fault: each for itself
                    for each in answers:
                        await self._settle_alone(each)
        finally:
            self._settling = None

    async def _settle_these(self, answers: list[tuple[Started, Report]]) -> None:
        kept = await self.write(lambda parts, now_ms: _settle(parts, answers, now_ms), "settle")
        for (started, report), counted in zip(answers, kept, strict=True):
            self._flights.pop(started.batch.id, None)
            _say(started, report, counted)

    async def _settle_alone(self, answer: tuple[Started, Report]) -> None:
        try:
            await self._settle_these([answer])
        except Exception as error:  # noqa: BLE001 -- the lease runs out and the sweep settles it
            self._flights.pop(answer[0].batch.id, None)
            log.error("settle", batch=answer[0].batch.id, fault=type(error).__name__)

    async def _renew(self) -> None:
        """Renews every lease in flight, again and again while there are any."""
        while self._flights:
            await asyncio.sleep(self.runtime.tools.lease_ms / 3000)
            try:
                await self.write(self._renew_all)
            except SQLAlchemyError as error:  # the next one may succeed; the provider's answer matters more
                log.warning("leases not renewed", fault=type(error).__name__)

    def _renew_all(self, parts: Runtime, now_ms: int) -> None:
        renew(parts.tools, list(self._flights.values()), now_ms)

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        return task


def _end(asked: asyncio.Future[None]) -> None:
    if not asked.done():
        asked.set_result(None)


def _settle(parts: Runtime, answers: list[tuple[Started, Report]], now_ms: int) -> list[bool]:
    kept = settle(parts.tools, answers, now_ms)
    breaker = parts.tools.breaker
    for _, report in answers:
        if breaker.listen(parts.tools.engine, report.health, report.fate.retry_ms, now_ms):
            log.error("provider held", scope=breaker.provider, health=report.health)
    return kept


def _say(started: Started, report: Report, counted: bool) -> None:
    level = log.info if report.fate.state == State.ACCEPTED else log.warning
    level(
        "batch",
        batch=started.batch.id,
        recipients=len(started.rows),
        fate=report.fate.state,
        reason=report.fate.reason,
        kept=counted,
    )
