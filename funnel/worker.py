"""The worker: it ticks by itself, and arq brings it hints. A job is a few lines; only ids travel through Redis.

SQL alone decides what is sent, so Redis may be away, or hang, for as long as it likes: mail goes on.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog
from arq import cron, func
from arq.connections import ArqRedis
from arq.worker import Worker
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from funnel import hints, logs, runtime, settings
from funnel.core.schedule import DAY_MS
from funnel.flow import erasing, events, holding, plan, rebooking, resuming, retention, rights, sweep
from funnel.flow.holding import Gate
from funnel.flow.sweep import Attention
from funnel.hands import Hands
from funnel.runtime import LARGEST_SKEW_MS, NUDGE, Runtime
from funnel.store import batches
from funnel.store.db import empty_journal, reading
from funnel.store.tables import Record

TICK_S = 1.0
TIDY_S = 5.0
JOURNAL_MS = 60_000
REDIS_S = 2.0  # for connecting to Redis, and for each of its answers
PAUSE_S = 1.0  # before Redis is asked again
PARTING_S = 5.0
JOB_TIMEOUT_S = 300
JOBS_IN_LINE = 8  # more than there are hands: when one gets free, the next batch is there
SKEWED_S = 10.0
BATCHES_PER_TICK = 400
PLANS_PER_TICK = 3

log = structlog.get_logger()
_C = dict[str, Any]


async def work(redis_url: str) -> None:
    """Works until it is told to stop."""
    stop = asyncio.Event()
    for asked in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(asked, stop.set)
    working = asyncio.create_task(live(redis_url))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def live(redis_url: str) -> None:
    """Works until it is cancelled. What has begun by then is recorded, and nothing is left open."""
    ctx: _C = {"redis": connect(redis_url), "ticking": asyncio.Lock()}
    ctx["hands"] = hands = Hands(runtime.assemble(settings.load()))
    ctx["attention"] = Attention(hands.runtime.tools.lease_ms)
    runtime.settle_down()
    if hands.runtime.settings.metrics_port:
        hands.meters.serve(hands.runtime.settings.metrics_port)
    tasks = [asyncio.create_task(part(ctx)) for part in (keep_ticking, listen, serve, tidy)]
    try:
        await asyncio.wait(tasks)
    finally:
        await _whole(_end(ctx, tasks))


async def _end(ctx: _C, tasks: list[asyncio.Task[None]]) -> None:
    hands: Hands = ctx["hands"]
    await _cancel(*tasks)
    await hands.rest()
    hands.runtime.close()
    await ctx["redis"].aclose(close_connection_pool=True)


async def keep_ticking(ctx: _C) -> None:
    """Ticks once a second, whatever becomes of one. Ticks of several workers harm nobody: SQL decides."""
    clock = asyncio.get_running_loop().time
    while True:
        began_s = clock()
        try:
            await _tick(ctx, lambda found: hints.hint(ctx, found))
        except Exception as error:  # noqa: BLE001 -- the next one may succeed
            log.error("tick", fault=type(error).__name__)
        await asyncio.sleep(began_s + TICK_S - clock())


async def serve(ctx: _C) -> None:
    """Does the jobs that come through Redis. Any error of Redis ends arq's loop; it is begun anew, again and again."""
    while True:
        arq = _arq(ctx)
        try:
            await arq.async_run()
        except (RedisError, OSError) as error:
            log.warning("Redis does not answer; going on without", fault=type(error).__name__)
        except Exception as error:  # noqa: BLE001 -- without arq there are no hints, and the ticks do without
            log.error("arq", fault=type(error).__name__)
        finally:
            await _cancel(*arq.tasks.values())  # a job that is cut off goes back into the queue
        ctx.pop("hinted", None)  # nobody knows what became of them
        await asyncio.sleep(PAUSE_S)


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


async def tidy(ctx: _C) -> None:
    """Beside the mail, not before it: follows up erasures, keeps what is deleted out of the journal, and once a day
    deletes what has been kept long enough."""
    parts: Runtime = ctx["hands"].runtime
    others = parts.others()
    cleared_ms = emptied_ms = 0
    while True:
        await asyncio.sleep(TIDY_S)
        try:
            now_ms = parts.now_ms()
            await asyncio.to_thread(erasing.go_on, parts.tools, others, now_ms)
            if now_ms - cleared_ms >= DAY_MS:
                while await asyncio.to_thread(retention.clear_some, parts.tools, parts.settings.retention_ms, now_ms):
                    await asyncio.sleep(0)
                cleared_ms = now_ms
            if now_ms - emptied_ms >= JOURNAL_MS:
                await asyncio.to_thread(empty_journal, parts.tools.engine)
                emptied_ms = now_ms
        except Exception as error:  # noqa: BLE001 -- the next round may succeed
            log.error("tidy", fault=type(error).__name__)


async def _tick(ctx: _C, begin: Callable[[Sequence[Record]], Awaitable[None]]) -> None:
    hands: Hands = ctx["hands"]
    lock: asyncio.Lock = ctx["ticking"]
    async with lock:
        await hands.catch_up()
        if "awake" not in ctx:
            await _wake(ctx)
        trusted = await hands.write(lambda parts, now_ms: _look_after(parts, ctx["attention"], now_ms), "tick")
        ctx["skewed"] = not trusted
        if not trusted:
            return
        for _ in range(PLANS_PER_TICK):
            planned = await hands.write(lambda parts, now_ms: plan.plan(parts.tools, now_ms), "plan")
            if planned.held:
                log.error("far more lessons than were due; paused until somebody resumes it", funnels=len(planned.held))
            await begin(await hands.write(_startable))
            if planned.lessons < plan.ROWS_AT_ONCE:
                break


async def _wake(ctx: _C) -> None:
    """Before the first tick: after a time without any worker nobody gets at night what should have come by day."""
    hands: Hands = ctx["hands"]
    if not await hints.is_attended(ctx["redis"], hands.runtime.now_ms()):
        await hands.write(lambda parts, now_ms: resuming.wake(parts.tools, now_ms))
    ctx["awake"] = True


def _look_after(parts: Runtime, attention: Attention, now_ms: int) -> bool:
    """Takes in what the provider told, and sweeps. False when this machine's clock cannot be trusted with more."""
    skew_ms = parts.skew_ms(now_ms)
    if skew_ms > LARGEST_SKEW_MS:
        log.error("clock differs from the database's; taking no work", skew_ms=skew_ms)
        return False
    events.apply(parts.tools, now_ms)
    rights.answer(parts.tools, now_ms)
    rebooking.go_on(parts.tools, now_ms)
    for row in sweep.sweep(parts.tools, now_ms) if attention.may_judge(now_ms) else ():
        log.error("counts as sent, though nobody can tell", batch=row.uid, recipients=row.size)
    return True


def _startable(parts: Runtime, now_ms: int) -> Sequence[Record]:
    with reading(parts.tools.engine) as connection:
        held = holding.current(connection, now_ms)
        gate = held.provider(parts.tools.provider)
        most = {Gate.OPEN: BATCHES_PER_TICK, Gate.HALF_OPEN: 1, Gate.SHUT: 0}[gate]
        return batches.startable(connection, now_ms, most, held.funnels)


async def send_batches(ctx: _C, ids: list[int]) -> None:
    hands: Hands = ctx["hands"]
    if ctx.get("skewed"):
        await asyncio.sleep(SKEWED_S)  # or this worker, who does nothing with them, would be first at all the hints
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


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Does this to its end, however often we are told to stop meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Ends tasks that hold nothing of worth; one that does not want to is left behind."""
    for each in tasks:
        each.cancel()
    if tasks:
        done, _ = await asyncio.wait(tasks, timeout=PARTING_S)
        for each in done:
            if not each.cancelled():
                each.exception()  # has been looked at: asyncio need not complain


def connect(url: str) -> ArqRedis:
    """arq's client, which by itself would wait for an answer for ever. Connects when first used."""
    pool = ConnectionPool.from_url(url, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S)
    return ArqRedis(pool, job_serializer=_to_json, job_deserializer=json.loads)


def _to_json(job: dict[str, Any]) -> bytes:
    return json.dumps(job, default=str).encode()


def _arq(ctx: _C) -> Worker:
    """An arq that runs within a worker of ours, which starts, stops and hears signals itself."""
    return Worker(
        functions=(func(send_batches, keep_result=0, max_tries=2),),
        # Each hour, for arq catches up on none that it missed; a pass reads only what is new.
        cron_jobs=(cron(poll_suppressions, minute=17, keep_result=0, max_tries=1, timeout=JOB_TIMEOUT_S),),
        redis_pool=ctx["redis"],
        ctx=ctx,
        handle_signals=False,
        job_timeout=JOB_TIMEOUT_S,
        keep_result=0,
        max_jobs=ctx["hands"].runtime.provider.width + JOBS_IN_LINE,
        poll_delay=0.25,
        job_serializer=_to_json,  # arq's default is pickle
        job_deserializer=json.loads,
        log_results=False,
    )


def worker_settings(redis_url: str) -> type:
    """For arq's own command line. Its loop never begins: starting up lasts until it is cancelled.

    So nothing that becomes of Redis, or of arq, can end the worker before it has recorded what it knows.
    """

    async def start_up(_ctx: _C) -> None:
        logs.configure()  # only now: arq's command line has just set up its own
        await live(redis_url)

    class Settings:
        functions = (send_batches,)
        redis_pool = connect(redis_url)
        on_startup = start_up
        job_completion_wait = 1  # with any, SIGTERM is answered in an orderly way; there is no job to wait for

    return Settings


def __getattr__(name: str) -> Any:
    # `arq funnel.worker.WorkerSettings` asks by name; the environment is read then, not on import.
    if name == "WorkerSettings":
        return worker_settings(settings.load().redis_url or "redis://127.0.0.1:6379")
    raise AttributeError(name)
