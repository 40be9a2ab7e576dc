"""Events that readers reached in their courses."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, select

from funnel.store.bulk import among
from funnel.store.course_tables import reached
from funnel.store.upsert import dialect_insert


def add(connection: Connection, enrollment_id: int, subscriber_id: int, event: str, at_ms: int) -> bool:
    """Records that an event was reached. False when it was before: the first time counts."""
    row = {"enrollment_id": enrollment_id, "event": event, "subscriber_id": subscriber_id, "at_ms": at_ms}
    adding = dialect_insert(connection, reached).values(row).on_conflict_do_nothing()
    return connection.scalar(adding.returning(reached.c.event)) is not None


def of(connection: Connection, enrollment_ids: Collection[int]) -> Mapping[int, dict[str, int]]:
    """enrollment → event → when."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    asked = select(reached.c.enrollment_id, reached.c.event, reached.c.at_ms)
    for row in connection.execute(asked.where(among(connection, reached.c.enrollment_id, enrollment_ids))):
        found[row.enrollment_id][row.event] = row.at_ms
    return found
