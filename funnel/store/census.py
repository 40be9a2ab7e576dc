"""Everybody who waits for a lesson of a funnel, in one big question: a change is looked at before it is made."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from funnel.core.delivery import NEVER_SENT
from funnel.store.tables import Record

AT_ONCE = 10_000
_WIDTH = 62  # lessons to a mask: what a signed integer of either database holds
_NEVER = ", ".join(f"'{state}'" for state in sorted(NEVER_SENT))
# Deliveries are numbered as they are planned, and one person's come one after the other: the highest is the last.
_EVERYBODY = """
    WITH had AS (
        SELECT ledger.subscriber_id, {masks}, max(ledger.delivery_id) AS last_id FROM ledger
        WHERE ledger.lesson_id IN ({lessons})
        AND ledger.delivery_id NOT IN (SELECT id FROM delivery WHERE state IN ({never}))
        AND ledger.delivery_id NOT IN (
            SELECT delivery.id FROM delivery JOIN batch ON batch.id = delivery.batch_id WHERE batch.state = 'planned')
        GROUP BY ledger.subscriber_id),
    events AS (
        SELECT enrollment_id, {listed}(event || ' ' || at_ms, ',') AS reached FROM reached GROUP BY enrollment_id)
    SELECT due.due_ms, coalesce(batch.settled_ms, batch.started_ms, enrollment.created_ms) AS from_ms, due.lesson_id,
        enrollment.pattern, enrollment.secondary, enrollment.pace, enrollment.reason, subscriber.zone,
        subscriber.locale, events.reached, {names}
    FROM due JOIN enrollment ON enrollment.id = due.enrollment_id AND enrollment.turn = due.turn
        AND enrollment.state = 'active'
    JOIN subscriber ON subscriber.id = enrollment.subscriber_id
    LEFT JOIN had ON had.subscriber_id = enrollment.subscriber_id
    LEFT JOIN events ON events.enrollment_id = enrollment.id
    LEFT JOIN delivery ON delivery.id = had.last_id AND delivery.enrollment_id = enrollment.id
    LEFT JOIN batch ON batch.id = delivery.batch_id
    WHERE due.lesson_id IN ({lessons})
"""
_MASK = "{gather}(CASE WHEN ledger.lesson_id BETWEEN {0} AND {1} THEN {one} << {shift} ELSE 0 END) AS mask_{0}"
_POSTGRESQL = {"gather": "bit_or", "one": "1::bigint", "shift": "(ledger.lesson_id - {0})::integer"}
_SQLITE = {"gather": "sum", "one": "1", "shift": "(ledger.lesson_id - {0})"}
_LISTED = {"postgresql": "string_agg", "sqlite": "group_concat"}
# One big question, unlike all others here (see db.py): tables are read once, from end to end.
_SETTINGS = (
    "enable_hashjoin = on",
    "enable_nestloop = off",
    "work_mem = '128MB'",
    "max_parallel_workers_per_gather = 2",
)


def everybody(connection: Connection, lesson_ids: Sequence[int]) -> Iterator[Sequence[Record]]:
    """Everybody who waits for one of these lessons, in parts, as they all stand at one moment.

    Rows of (due_ms, from_ms, lesson_id, pattern, secondary, pace, reason, zone, locale, reached, masks …): `from_ms` is
    when the wait began, `reached` and the masks are read by `events` and `had`.
    """
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        for setting in _SETTINGS:
            connection.execute(text(f"SET LOCAL {setting}"))
    own, starts = _POSTGRESQL if postgresql else _SQLITE, _starts(lesson_ids)
    masks = (
        _MASK.format(first, first + _WIDTH - 1, **{**own, "shift": own["shift"].format(first)}) for first in starts
    )
    query = _EVERYBODY.format(
        lessons=", ".join(str(int(each)) for each in lesson_ids) or "NULL",
        never=_NEVER,
        masks=", ".join(masks) or "0",
        names=", ".join(f"had.mask_{first}" for first in starts) or "0",
        listed=_LISTED[connection.dialect.name],
    )
    yield from connection.execution_options(yield_per=AT_ONCE).execute(text(query)).partitions()


def had(masks: Sequence[int | None], lesson_ids: Sequence[int]) -> list[int]:
    """The numbers of the lessons that these masks, one row's, stand for."""
    return [
        first + bit
        for first, mask in zip(_starts(lesson_ids), masks, strict=True)
        for bit in range(_WIDTH)
        if (mask or 0) >> bit & 1
    ]


def events(reached: str | None) -> dict[str, int]:
    """event → when it was reached."""
    pairs = (each.rpartition(" ") for each in (reached or "").split(",") if each)
    return {event: int(at_ms) for event, _, at_ms in pairs}


def _starts(lesson_ids: Sequence[int]) -> list[int]:
    """The lowest lesson of each mask."""
    starts: list[int] = []
    for each in sorted(lesson_ids):
        if not starts or each >= starts[-1] + _WIDTH:
            starts.append(each)
    return starts
