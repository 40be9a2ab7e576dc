"""arq settings. Each job is a few lines that call a flow function; ids are all that travels through Redis."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import structlog
from arq import cron, func
from arq.connections import ArqRedis, RedisSettings
from redis.exceptions import RedisError

from funnel import runtime, settings
from funnel.flow import events, holding, plan, sweep
from funnel.flow.holding import Gate
from funnel.hands import Hands
from funnel.runtime import LAST_TICK, NUDGE, Runtime
from funnel.store import batches
from funnel.store.db import now_ms as database_now_ms
from funnel.store.db import reading
from funnel.store.tables import Record

JOB_TIMEOUT_S = 300
RECIPIENTS_PER_JOB = 1_000
BATCHES_PER_TICK = 400
PLANS_PER_TICK = 3
HINT_SLOT_MS = 15_000
LARGEST_SKEW_MS = 2_000

log = structlog.get_logger()
_C = dict[str, Any]


async def tick(ctx: _C) -> None:
    """Sweeps, plans, and hints at what can be started. Two ticks at once harm nobody: SQL decides."""
    if not ctx["ticking"].locked():
        await _tick(ctx, lambda found: _hint(ctx, found))


async def listen(ctx: _C) -> None:
    """Somebody confirms, and is not kept waiting for the next tick: what is planned then is sent at once, here."""
    while True:
        try:
            async with ctx["redis"].pubsub() as channel:
                await channel.subscribe(NUDGE)
                while True:
                    if await channel.get_message(ignore_subscribe_messages=True, timeout=60):
                        while await channel.get_message(timeout=0):
                            pass  # one tick serves all who wait
                        await _tick(ctx, ctx["hands"].begin)
        except (RedisError, OSError):
            await asyncio.sleep(1)
        except Exception as error:  # noqa: BLE001 -- the ticks go on; so must this
            log.error("nudge", fault=type(error).__name__)


async def _tick(ctx: _C, begin: Callable[[Sequence[Record]], Awaitable[None]]) -> None:
    hands: Hands = ctx["hands"]
    lock: asyncio.Lock = ctx["ticking"]
    async with lock:
        if not await hands.write(_look_after, "tick"):
            return
        for _ in range(PLANS_PER_TICK):
            planned = await hands.write(lambda parts, now_ms: plan.plan(parts.tools, now_ms), "plan")
            if planned.held:
                log.error("far more lessons than were due; paused until somebody resumes it", funnels=len(planned.held))
            await begin(await hands.write(_startable))
            if planned.lessons < plan.ROWS_AT_ONCE:
                break


def _look_after(parts: Runtime, now_ms: int) -> bool:
    """Takes in what the provider told, and sweeps. False when this machine's clock cannot be trusted with more."""
    with reading(parts.tools.engine) as connection:
        skew_ms = abs(database_now_ms(connection) - now_ms)
    if skew_ms > LARGEST_SKEW_MS:
        log.error("clock differs from the database's; taking no work", skew_ms=skew_ms)
        return False
    events.apply(parts.tools, now_ms)
    for row in sweep.sweep(parts.tools, now_ms):
        log.error("counts as sent, though nobody can tell", batch=row.uid, recipients=row.size)
    return True


def _startable(parts: Runtime, now_ms: int) -> Sequence[Record]:
    with reading(parts.tools.engine) as connection:
        held = holding.current(connection, now_ms)
        gate = held.provider(parts.tools.provider)
        most = {Gate.OPEN: BATCHES_PER_TICK, Gate.HALF_OPEN: 1, Gate.SHUT: 0}[gate]
        return batches.startable(connection, now_ms, most, held.funnels)


async def _hint(ctx: _C, found: Sequence[Record]) -> None:
    """A hint lost with Redis is given again in the next slot; one that is still queued is not doubled."""
    redis: ArqRedis = ctx["redis"]
    now_ms = ctx["hands"].runtime.now_ms()
    slot, given = ctx.get("hinted", (0, set()))
    if slot != now_ms // HINT_SLOT_MS:
        slot, given = now_ms // HINT_SLOT_MS, set()
    for part in _by_thousands([row for row in found if row.id not in given]):
        await redis.enqueue_job("send_batches", part, _job_id=f"send:{part[0]}:{slot}")
        given.update(part)
    ctx["hinted"] = slot, given
    await redis.set(LAST_TICK, now_ms)


def _by_thousands(found: Sequence[Record]) -> Iterator[list[int]]:
    """Batch ids in parts of about RECIPIENTS_PER_JOB: a job costs a millisecond, whatever it carries."""
    part: list[int] = []
    recipients = 0
    for row in found:
        part.append(row.id)
        recipients += row.size
        if recipients >= RECIPIENTS_PER_JOB:
            yield part
            part, recipients = [], 0
    if part:
        yield part


async def send_batches(ctx: _C, ids: list[int]) -> None:
    hands: Hands = ctx["hands"]
    await hands.send(ids)


async def poll_suppressions(ctx: _C) -> None:
    """Reads what is new on the provider's suppression lists: what the webhook may have missed."""
    parts: Runtime = ctx["hands"].runtime
    if parts.settings.mail == "sendgrid":
        for name in await asyncio.to_thread(_poll, parts):
            log.warning("suppression list not read to its end", scope=name)


def _poll(parts: Runtime) -> list[str]:
    from funnel.flow.poll import poll  # loads SendGrid's SDK: slow, and of use only here

    return list(poll(parts.tools, parts.suppressions(), parts.now_ms()).faults)


async def _startup(ctx: _C) -> None:
    ctx["hands"] = hands = Hands(runtime.assemble(settings.load()))
    if hands.runtime.settings.metrics_port:
        hands.meters.serve(hands.runtime.settings.metrics_port)
    ctx["ticking"] = asyncio.Lock()
    ctx["listening"] = asyncio.create_task(listen(ctx))


async def _shutdown(ctx: _C) -> None:
    hands: Hands = ctx["hands"]
    ctx["listening"].cancel()
    await hands.rest()
    hands.runtime.close()


def _to_json(job: dict[str, Any]) -> bytes:
    return json.dumps(job, default=str).encode()


def worker_settings(redis_url: str) -> type:
    """What arq runs: a tick each second, and the sending that it hints at."""

    class Settings:
        functions = (func(send_batches, keep_result=0, max_tries=1),)
        cron_jobs = (
            cron(tick, second=set(range(60)), keep_result=0, max_tries=1, timeout=JOB_TIMEOUT_S),
            # Each hour, for arq catches up on none that it missed; a pass reads only what is new.
            cron(poll_suppressions, minute=17, keep_result=0, max_tries=1, timeout=JOB_TIMEOUT_S),
        )
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
