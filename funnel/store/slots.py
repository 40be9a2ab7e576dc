"""Slots: when the next lessons of those are due who are in several courses at once."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, delete, select

from funnel.store.bulk import among
from funnel.store.course_tables import slot
from funnel.store.tables import enrollment
from funnel.store.upsert import dialect_insert, insert_missing


def of(connection: Connection, subscriber_ids: Collection[int]) -> dict[int, dict[int, int]]:
    """subscriber → enrollment → when its next lesson is due (0: not known). Whoever has one course is not in it.

    Two writers never look at the same person's at once.
    """
    found: dict[int, dict[int, int]] = defaultdict(dict)
    asked = select(slot).where(among(connection, slot.c.subscriber_id, subscriber_ids))
    for row in connection.execute(asked.order_by(slot.c.subscriber_id, slot.c.enrollment_id).with_for_update()):
        found[row.subscriber_id][row.enrollment_id] = row.due_ms
    return dict(found)


def open_for(connection: Connection, subscriber_id: int, enrollment_ids: Iterable[int]) -> None:
    """From now on this person's courses know of each other."""
    rows = [{"subscriber_id": subscriber_id, "enrollment_id": each, "due_ms": 0} for each in enrollment_ids]
    insert_missing(connection, slot, rows)


def put(connection: Connection, moments: Mapping[tuple[int, int], int]) -> None:
    """(subscriber, enrollment) → due_ms, for those who have slots."""
    if not moments:
        return
    rows = [
        {"subscriber_id": subscriber_id, "enrollment_id": enrollment_id, "due_ms": due_ms}
        for (subscriber_id, enrollment_id), due_ms in sorted(moments.items())
    ]
    adding = dialect_insert(connection, slot)
    later = {"due_ms": adding.excluded.due_ms}
    connection.execute(
        adding.on_conflict_do_update(index_elements=["subscriber_id", "enrollment_id"], set_=later), rows
    )


def close(connection: Connection, enrollment_id: int) -> None:
    """A course has ended: it takes no day from the others."""
    owner = select(enrollment.c.subscriber_id).where(enrollment.c.id == enrollment_id).scalar_subquery()
    connection.execute(delete(slot).where(slot.c.subscriber_id == owner, slot.c.enrollment_id == enrollment_id))
