"""What workers say to each other through Redis: which batches can be started, and that somebody is at work."""

from collections.abc import Iterator, Sequence
from typing import Any

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from funnel import presence
from funnel.core.delivery import Kind
from funnel.core.schedule import GRACE_MS
from funnel.runtime import LAST_TICK
from funnel.store.tables import Record

RECIPIENTS_PER_JOB = 1_000
HINT_SLOT_MS = 15_000


async def hint(ctx: dict[str, Any], found: Sequence[Record]) -> None:
    """Tells all workers what can be started. When Redis does not answer nobody hears it: this one begins by itself.

    So it does with notices: somebody waits for each, and not behind all the lessons that are in the queue.
    """
    hands = ctx["hands"]
    await hands.begin([row for row in found if row.kind == Kind.NOTICE])
    lessons = [row for row in found if row.kind == Kind.LESSON]
    try:
        await _tell(ctx, lessons)
    except (RedisError, OSError):
        await hands.begin(lessons)


async def is_attended(redis: ArqRedis, now_ms: int) -> bool:
    """Whether some worker has ticked lately. When Redis does not know, nobody has."""
    try:
        return now_ms - int(await redis.get(LAST_TICK) or 0) <= GRACE_MS
    except (RedisError, OSError):
        return False


async def _tell(ctx: dict[str, Any], found: Sequence[Record]) -> None:
    """A hint lost with Redis is given again in the next slot; one that is still queued is not doubled."""
    redis: ArqRedis = ctx["redis"]
    now_ms = ctx["hands"].runtime.now_ms()
    slot, given = ctx.get("hinted", (0, set()))
    if slot != now_ms // HINT_SLOT_MS:
        slot, given = now_ms // HINT_SLOT_MS, set()
    for part in _by_thousands([row for row in found if row.id not in given]):
        if await redis.enqueue_job("send_batches", part, _job_id=f"send:{part[0]}:{slot}"):
            given.update(part)
    ctx["hinted"] = slot, given
    await redis.set(LAST_TICK, now_ms)
    key, value = presence.said("worker", ctx["hands"].runtime.tools.keyring.whole)
    await redis.set(key, value, px=presence.FADES_MS)


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
