"""arq settings. Each job is a few lines that call one flow function; ids are all that travels through Redis.

One thread owns building and database writes; up to 16 others only talk to the provider.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from arq import cron, func
from arq.connections import ArqRedis, RedisSettings
from sqlalchemy.exc import SQLAlchemyError

from funnel import runtime, settings
from funnel.core.delivery import Fate, Report, State
from funnel.flow import plan, send, sweep
from funnel.flow.send import Started
from funnel.runtime import LAST_TICK, Runtime
from funnel.store import batches
from funnel.store.db import now_ms as database_now_ms
from funnel.store.db import reading

JOB_TIMEOUT_S = 300
LONGEST_JOB_S = 10.0
RECIPIENTS_PER_JOB = 1_000
BATCHES_PER_TICK = 100
HINT_SLOT_MS = 15_000
LARGEST_SKEW_MS = 2_000

log = structlog.get_logger()
_C = dict[str, Any]
_T = TypeVar("_T")


@dataclass
class Hands:
    """A worker's threads, its name on what it starts, and the batches it is busy with."""

    runtime: Runtime
    owner: str = field(default_factory=lambda: secrets.token_hex(8))
    writing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "write"))
    handing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16, "hand"))
    ticking: asyncio.Lock = field(default_factory=asyncio.Lock)
    busy: set[asyncio.Task[None]] = field(default_factory=set)

    def write(self, work: Callable[[Runtime, int], _T]) -> Awaitable[_T]:
        """Runs work(runtime, now) on the one thread that writes; the clock is read when its turn comes."""
        return asyncio.get_running_loop().run_in_executor(
            self.writing, lambda: work(self.runtime, self.runtime.now_ms())
        )

    def hand(self, work: Callable[[], _T]) -> Awaitable[_T]:
        return asyncio.get_running_loop().run_in_executor(self.handing, work)


async def tick(ctx: _C) -> None:
    """Sweeps, plans, and hints at what can be started. Two ticks at once harm nobody: SQL decides."""
    hands: Hands = ctx["hands"]
    if hands.ticking.locked():
        return
    async with hands.ticking:
        ids = await hands.write(_tick)
        await _hint(hands, ctx["redis"], ids)


def _tick(parts: Runtime, now_ms: int) -> list[int]:
    with reading(parts.tools.engine) as connection:
        skew_ms = abs(database_now_ms(connection) - now_ms)
    if skew_ms > LARGEST_SKEW_MS:
        log.error("clock differs from the database's; taking no work", skew_ms=skew_ms)
        return []
    sweep.sweep(parts.tools, now_ms)
    plan.plan(parts.tools, now_ms)
    with reading(parts.tools.engine) as connection:
        return batches.startable(connection, now_ms, BATCHES_PER_TICK)


async def _hint(hands: Hands, redis: ArqRedis, ids: list[int]) -> None:
    """A hint lost with Redis is given again in the next slot; one that is still queued is not doubled."""
    per_job = max(RECIPIENTS_PER_JOB // hands.runtime.tools.batch_size, 1)
    now_ms = hands.runtime.now_ms()
    for start in range(0, len(ids), per_job):
        part = ids[start : start + per_job]
        await redis.enqueue_job("send_batches", part, _job_id=f"send:{part[0]}:{len(part)}:{now_ms // HINT_SLOT_MS}")
    await redis.set(LAST_TICK, now_ms)


async def send_batches(ctx: _C, ids: list[int]) -> None:
    """Sends batches one after the other for a while; what is left is hinted at again.

    A batch that has begun is never cut off: an answer that nobody hears would leave its readers in doubt.
    """
    hands: Hands = ctx["hands"]
    enough = asyncio.get_running_loop().time() + LONGEST_JOB_S
    for batch_id in ids:
        if asyncio.get_running_loop().time() > enough:
            return
        task = asyncio.create_task(_send_batch(hands, batch_id))
        hands.busy.add(task)
        task.add_done_callback(hands.busy.discard)
        await asyncio.shield(task)


async def _send_batch(hands: Hands, batch_id: int) -> None:
    """Starts, hands over, settles. A fault is logged by its kind and keeps nobody else's batch waiting."""
    try:
        started = await hands.write(
            lambda parts, now_ms: send.start(parts.tools, batch_id, hands.owner, parts.provider.name, now_ms)
        )
        if started is None:
            return
        report = await _hand_over(hands, started)
        kept = await hands.write(lambda parts, now_ms: send.settle(parts.tools, started, report, now_ms))
    except Exception as error:  # noqa: BLE001 -- the lease runs out and the sweep settles it
        log.error("batch", batch=batch_id, fault=type(error).__name__)
        return
    level = log.info if report.fate.state == State.ACCEPTED else log.warning
    level(
        "batch",
        batch=batch_id,
        recipients=len(started.ids),
        fate=report.fate.state,
        reason=report.fate.reason,
        kept=kept,
    )


async def _hand_over(hands: Hands, started: Started) -> Report:
    """The provider's answer. The lease is renewed meanwhile; a start that came too late is given back unsent."""
    renewing = asyncio.create_task(_renew(hands, started))
    try:
        return await hands.hand(lambda: _hand_over_in_time(hands.runtime, started))
    finally:
        renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewing


def _hand_over_in_time(parts: Runtime, started: Started) -> Report:
    if parts.now_ms() > started.lease_ms - parts.tools.lease_ms // 2:
        return Report(Fate(State.PLANNED, "came too late to its own lease"))
    return parts.provider.hand_over(started.mailing)


async def _renew(hands: Hands, started: Started) -> None:
    while True:
        await asyncio.sleep(hands.runtime.tools.lease_ms / 3000)
        try:
            await hands.write(lambda parts, now_ms: send.renew(parts.tools, started, now_ms))
        except SQLAlchemyError as error:  # the next one may succeed; the provider's answer matters more
            log.warning("lease not renewed", batch=started.batch_id, fault=type(error).__name__)


async def _startup(ctx: _C) -> None:
    ctx["hands"] = Hands(runtime.assemble(settings.load()))


async def _shutdown(ctx: _C) -> None:
    hands: Hands = ctx["hands"]
    await asyncio.gather(*hands.busy)
    hands.handing.shutdown()
    hands.writing.shutdown()
    hands.runtime.close()


def _to_json(job: dict[str, Any]) -> bytes:
    return json.dumps(job, default=str).encode()


def worker_settings(redis_url: str) -> type:
    """What arq runs: a tick each second, and the sending that it hints at."""

    class Settings:
        functions = (func(send_batches, keep_result=0, max_tries=1),)
        cron_jobs = (cron(tick, second=set(range(60)), keep_result=0, max_tries=1, timeout=JOB_TIMEOUT_S),)
        redis_settings = RedisSettings.from_dsn(redis_url)
        on_startup = _startup
        on_shutdown = _shutdown
        job_timeout = JOB_TIMEOUT_S
        job_completion_wait = 35  # longer than the provider may take to answer
        keep_result = 0
        max_jobs = 24  # more than there are hands, so that a tick always finds room
        poll_delay = 0.25
        job_serializer = staticmethod(_to_json)  # arq's default is pickle
        job_deserializer = staticmethod(json.loads)
        log_results = False

    return Settings


def __getattr__(name: str) -> Any:
    # `arq funnel.worker.WorkerSettings` asks by name; the environment is read then, not on import.
    if name == "WorkerSettings":
        return worker_settings(settings.load().redis_url or "redis://127.0.0.1:6379")
    raise AttributeError(name)
