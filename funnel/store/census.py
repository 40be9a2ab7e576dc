"""Everybody who waits for a lesson of a funnel, in one big question: a change is looked at before it is made."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, text

from funnel.core.delivery import NEVER_SENT
from funnel.store.db import one_big_question
from funnel.store.tables import Record

_TRAITS = 8  # columns that Alike has as they are, before the events, the masks and the moments
_WIDTH = 62  # lessons to a mask: what a signed integer of either database holds
# What was handed over is in the ledger too, under the same delivery; here it stands with whose course it is of.
_HAD = """
    course AS (
        SELECT delivery.subscriber_id, delivery.enrollment_id, {masks},
            max(coalesce(batch.settled_ms, batch.started_ms)) AS last_ms
        FROM delivery JOIN batch ON batch.id = delivery.batch_id AND (batch.state <> 'planned' OR batch.resent > 0)
        WHERE delivery.lesson_id IN ({lessons}) AND (delivery.state IS NULL OR delivery.state NOT IN ({never}))
        GROUP BY delivery.subscriber_id, delivery.enrollment_id),
    had AS (
        SELECT subscriber_id, max(enrollment_id) AS enrollment_id, {latest} AS last_ms, {all_masks}
        FROM course GROUP BY subscriber_id)
"""
_EVENTS = """,
    told AS (
        SELECT reached.enrollment_id,
            event || ' ' || CASE WHEN event IN :instants AND at_ms >= {start} THEN at_ms ELSE 0 END AS one
        FROM reached JOIN enrollment ON enrollment.id = reached.enrollment_id
        LEFT JOIN had ON had.subscriber_id = enrollment.subscriber_id
        ORDER BY reached.enrollment_id, event),
    events AS (SELECT enrollment_id, {listed}(one, ',') AS reached FROM told GROUP BY enrollment_id)
"""
_WAITING = """
    SELECT due.lesson_id, enrollment.pattern, {secondary} AS secondary, enrollment.pace, enrollment.reason,
        {begun} AS begun, subscriber.zone, {locale} AS locale, {reached} AS reached, {names},
        {listed}({due_ms}, ',') AS dues, {listed}({from_ms}, ',') AS starts
    FROM due JOIN enrollment ON enrollment.id = due.enrollment_id AND enrollment.turn = due.turn
        AND enrollment.state = 'active'
    JOIN subscriber ON subscriber.id = enrollment.subscriber_id
    LEFT JOIN had ON had.subscriber_id = enrollment.subscriber_id
    {joined}
    WHERE due.lesson_id IN ({lessons}) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, {places}
"""
_BEGUN = "CASE WHEN had.enrollment_id = enrollment.id THEN 1 ELSE 0 END"
_FROM = "coalesce(CASE WHEN had.enrollment_id = enrollment.id THEN had.last_ms END, enrollment.created_ms)"
_JOINED = "LEFT JOIN events ON events.enrollment_id = enrollment.id"
_MASK = "{gather}(CASE WHEN delivery.lesson_id BETWEEN {0} AND {1} THEN {one} << {shift} ELSE 0 END) AS mask_{0}"
_ALL = "{gather}(mask_{0}) AS mask_{0}"
_OWN = {
    "postgresql": {
        **{"gather": "bit_or", "one": "1::bigint", "shift": "(delivery.lesson_id - {0})::integer"},
        **{"listed": "string_agg", "written": "({})::text"},
        "latest": "(max(ARRAY[enrollment_id, last_ms]))[2]",
    },
    # A lesson is had once: its bit is added once. A bare column beside max() is of the row that has it.
    "sqlite": {
        **{"gather": "sum", "one": "1", "shift": "(delivery.lesson_id - {0})"},
        **{"listed": "group_concat", "written": "{}", "latest": "last_ms"},
    },
}


@dataclass(frozen=True)
class Alike:
    """People who are alike in all that is asked for: who they are and what they have had, lesson numbers.

    `begun` is whether this course has sent them something. `events` are those reached, name → instant. `dues` are the
    moments that they wait for; `starts`, person by person in the same order, are when their waits began.
    """

    lesson_id: int
    pattern: str
    secondary: str | None
    pace: str
    reason: str | None
    begun: bool
    zone: str
    locale: str
    events: tuple[tuple[str, int], ...]
    had: tuple[int, ...]
    dues: Sequence[int]
    starts: Sequence[int]


def everybody(
    connection: Connection, lesson_ids: Sequence[int], reads: Collection[str], instants: Collection[str]
) -> Iterator[Alike]:
    """Everybody who waits for one of these lessons, as they all stand at one moment.

    Of "secondary", "locale" and "event" only what is in `reads` is told; the instants of events (else 0) only of those
    named in `instants`, and only since the wait began.
    """
    if not lesson_ids:
        return iter(())
    query = text(_query(connection.dialect.name, lesson_ids, reads))
    if "event" in reads:
        query = query.bindparams(bindparam("instants", sorted(instants), expanding=True))
    with one_big_question(connection):
        rows = connection.execute(query).all()
    return (_alike(row, lesson_ids) for row in rows)


def _query(dialect: str, lesson_ids: Sequence[int], reads: Collection[str]) -> str:
    own, starts = _OWN[dialect], _starts(lesson_ids)
    masks = (
        _MASK.format(first, first + _WIDTH - 1, **{**own, "shift": own["shift"].format(first)}) for first in starts
    )
    query = "WITH" + _HAD + (_EVENTS if "event" in reads else "") + _WAITING
    return query.format(
        lessons=", ".join(str(int(each)) for each in lesson_ids) or "NULL",
        never=", ".join(f"'{state}'" for state in sorted(NEVER_SENT)),
        masks=", ".join(masks),
        latest=own["latest"],
        all_masks=", ".join(_ALL.format(first, **own) for first in starts),
        names=", ".join(f"had.mask_{first}" for first in starts),
        places=", ".join(str(_TRAITS + 2 + place) for place in range(len(starts))),
        start=_FROM,
        begun=_BEGUN,
        secondary="enrollment.secondary" if "secondary" in reads else "NULL",
        locale="enrollment.locale" if "locale" in reads else "''",
        reached="events.reached" if "event" in reads else "NULL",
        joined=_JOINED if "event" in reads else "",
        listed=own["listed"],
        due_ms=own["written"].format("due.due_ms"),
        from_ms=own["written"].format(_FROM),
    )


def _alike(row: Record, lesson_ids: Sequence[int]) -> Alike:
    pairs = (each.rpartition(" ") for each in (row.reached or "").split(",") if each)
    events = tuple((event, int(at_ms)) for event, _, at_ms in pairs)
    dues, starts = (list(map(int, each.split(","))) for each in (row.dues, row.starts))
    traits = row.lesson_id, row.pattern, row.secondary, row.pace, row.reason, bool(row.begun), row.zone, row.locale
    return Alike(*traits, events, had(row[_TRAITS + 1 : -2], lesson_ids), dues, starts)


def had(masks: Sequence[int | None], lesson_ids: Sequence[int]) -> tuple[int, ...]:
    """The numbers of the lessons that these masks, one row's, stand for."""
    return tuple(
        first + bit
        for first, mask in zip(_starts(lesson_ids), masks, strict=True)
        for bit in range(_WIDTH)
        if (mask or 0) >> bit & 1
    )


def _starts(lesson_ids: Sequence[int]) -> list[int]:
    """The lowest lesson of each mask."""
    starts: list[int] = []
    for each in sorted(lesson_ids):
        if not starts or each >= starts[-1] + _WIDTH:
            starts.append(each)
    return starts
