"""What is coming: the due table by the hour, and what is under way."""

from typing import Any

from sqlalchemy import Connection, Select, and_, func, select, tuple_

from funnel.core.consent import Enrolled
from funnel.core.schedule import HOUR_MS
from funnel.store.tables import Record, batch, due, enrollment, lesson, subscriber

# A course that was changed has a due row of its new turn; whoever plans drops the old one.
_STANDS = and_(enrollment.c.id == due.c.enrollment_id, enrollment.c.turn == due.c.turn)
_HOUR = (due.c.due_ms - due.c.due_ms % HOUR_MS).label("hour_ms")


def by_hour(connection: Connection, after_ms: int, until_ms: int) -> list[Record]:
    """(funnel, hour_ms, lessons) of what is due after `after_ms` and up to `until_ms`, in order; a range of the key."""
    found = _standing(lesson.c.funnel, _HOUR, func.count().label("lessons"))
    found = found.where(due.c.due_ms > after_ms, due.c.due_ms <= until_ms)
    return list(connection.execute(found.group_by(lesson.c.funnel, _HOUR).order_by(_HOUR, lesson.c.funnel)))


def overdue(connection: Connection, now_ms: int) -> list[Record]:
    """(funnel, lessons, oldest_ms) of what is due by now and not planned."""
    columns = (lesson.c.funnel, func.count().label("lessons"), func.min(due.c.due_ms).label("oldest_ms"))
    found = _standing(*columns).where(due.c.due_ms <= now_ms)
    return list(connection.execute(found.group_by(lesson.c.funnel).order_by(lesson.c.funnel)))


def under_way(connection: Connection) -> list[Record]:
    """(funnel, state, lessons) of the lessons in batches that are planned, started or unknown."""
    columns = (batch.c.funnel, batch.c.state, func.sum(batch.c.size).label("lessons"))
    found = select(*columns).where(batch.c.kind == "lesson", batch.c.state.in_(("planned", "started", "unknown")))
    return list(connection.execute(found.group_by(batch.c.funnel, batch.c.state).order_by(batch.c.funnel)))


def positions(connection: Connection, until_ms: int, after: tuple[int, int, int], limit: int) -> list[Record]:
    """The next `limit` due rows up to `until_ms`, by their key (due_ms, enrollment_id, turn), beyond `after`.

    Rows of it, and lesson_key, funnel, subscriber_id; pattern, secondary and pace of the enrollment; zone and locale
    of the subscriber.
    """
    key = (due.c.due_ms, due.c.enrollment_id, due.c.turn)
    theirs = (due.c.subscriber_id, enrollment.c.pattern, enrollment.c.secondary, enrollment.c.pace)
    found = _standing(
        *key, *theirs, lesson.c.funnel, lesson.c.key.label("lesson_key"), subscriber.c.zone, subscriber.c.locale
    )
    found = found.join(subscriber, subscriber.c.id == due.c.subscriber_id)
    beyond = tuple_(*key) > tuple_(*after)
    return list(connection.execute(found.where(due.c.due_ms <= until_ms, beyond).order_by(*key).limit(limit)))


def _standing(*columns: Any) -> Select[Any]:
    """Of the due rows that will be planned; those of other turns are left out."""
    joined = due.join(enrollment, _STANDS).join(lesson, lesson.c.id == due.c.lesson_id)
    return select(*columns).select_from(joined).where(enrollment.c.state == Enrolled.ACTIVE)
