"""What providers answered, on its way into the books. Acceptance is evidence: it counts whenever it can be recorded."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy.exc import SQLAlchemyError

from funnel.core.delivery import Report, State
from funnel.flow.start import Started

# Between the tries to record an answer; some five minutes in all.
PAUSES_S = (0.1, 0.2, 0.5, 1.0, *(2.0,) * 150)

# What comes in that time is done together: it shares its pages of the database and its commit.
GATHER_S = 0.05

log = structlog.get_logger()
Told = Sequence[tuple[Started, Report]]


@dataclass(eq=False)
class _Answer:
    """What became of a batch, how often that could not be recorded, and what ends once we are done with it."""

    started: Started
    report: Report
    done: asyncio.Future[None]
    failures: int = 0


class Answers:
    """Records answers by `record`, which tells of each whether it counted; `done` hears of those that are done with."""

    def __init__(self, record: Callable[[Told], Awaitable[Sequence[bool]]], done: Callable[[int], None]) -> None:
        self._record = record
        self._done = done
        self._waiting: deque[_Answer] = deque()
        self._recording: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def add(self, started: Started, report: Report) -> None:
        """Returns when it has been recorded, or given up."""
        answer = _Answer(without_mails(started), report, asyncio.get_running_loop().create_future())
        self._waiting.append(answer)
        if self._recording is None:
            self._recording = asyncio.create_task(self._record_all())
        await answer.done

    async def idle(self, longest_s: float) -> None:
        """Waits until nothing is being recorded, but not longer than this."""
        if self._recording:
            await asyncio.wait({self._recording}, timeout=longest_s)

    def give_up(self) -> None:
        """Tries no more."""
        for each in self._waiting:
            log.error("an answer is not recorded", batch=each.started.batch.id, fate=each.report.fate.state)
        if self._recording:
            self._recording.cancel()

    async def _record_all(self) -> None:
        """Records every answer that comes in a moment, in one transaction; those that come later make the next one."""
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_S)
                answers = list(self._waiting)
                try:
                    await self._record_these(answers)
                except Exception:  # noqa: BLE001 -- one of them may be at fault: each for itself
                    await self._record_each(answers)
        finally:
            self._recording = None

    async def _record_these(self, answers: list[_Answer]) -> None:
        kept = await self._record([(each.started, each.report) for each in answers])
        for each, counted in zip(answers, kept, strict=True):
            self._end(each)
            _say(each, counted)

    async def _record_each(self, answers: list[_Answer]) -> None:
        """What cannot be recorded is tried again after a pause, together with what has come by then."""
        left = [each for each in answers if not await self._record_alone(each)]
        if left:
            await asyncio.sleep(PAUSES_S[min(each.failures for each in left)])

    async def _record_alone(self, answer: _Answer) -> bool:
        """Whether we are done with it: it is recorded, or given up, and the sweep settles it."""
        try:
            await self._record_these([answer])
        except Exception as error:  # noqa: BLE001 -- the database may be back soon; a fault of ours will be the same again
            answer.failures += 1
            again = isinstance(error, SQLAlchemyError) and answer.failures < len(PAUSES_S)
            id_ = answer.started.batch.id
            if again:
                if answer.failures == 1:
                    log.warning("an answer waits to be recorded", batch=id_, fault=type(error).__name__)
                return False
            log.error("an answer is not recorded", batch=id_, fault=type(error).__name__)
            self._end(answer)
        return True

    def _end(self, answer: _Answer) -> None:
        self._waiting.remove(answer)
        self._done(answer.started.batch.id)
        if not answer.done.done():
            answer.done.set_result(None)


def without_mails(started: Started) -> Started:
    """They have been handed over. What may have to be kept for minutes is whose they were."""
    return replace(started, mailing=replace(started.mailing, recipients=()))


def _say(answer: _Answer, counted: bool) -> None:
    fate = answer.report.fate
    level = log.info if fate.state == State.ACCEPTED else log.warning
    recipients = len(answer.started.rows)
    level(
        "batch", batch=answer.started.batch.id, recipients=recipients, fate=fate.state, reason=fate.reason, kept=counted
    )
