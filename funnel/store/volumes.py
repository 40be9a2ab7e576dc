"""What the watch over our own mistakes looks at: the hours of a funnel, and deliveries that reached nobody."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, func, select

from funnel.core.delivery import NEVER_SENT
from funnel.core.schedule import DAY_MS
from funnel.store.tables import Record, batch, delivery, due, lesson, volume
from funnel.store.upsert import dialect_insert, insert_missing

KEPT_MS = 31 * DAY_MS


def begun(connection: Connection, hour_ms: int) -> bool:
    """Whether this hour has its forecast."""
    return connection.scalar(select(volume.c.hour_ms).where(volume.c.hour_ms == hour_ms).limit(1)) is not None


def due_before(connection: Connection, before_ms: int) -> dict[str, int]:
    """Funnel → how many lessons are due before then, those that are late included; 0 for a funnel without any."""
    counted = select(due.c.lesson_id, func.count().label("due")).where(due.c.due_ms < before_ms)
    by_lesson = {row.lesson_id: row.due for row in connection.execute(counted.group_by(due.c.lesson_id))}
    counts: dict[str, int] = {}
    for row in connection.execute(select(lesson.c.id, lesson.c.funnel)):
        counts[row.funnel] = counts.get(row.funnel, 0) + by_lesson.get(row.id, 0)
    return counts


def begin(connection: Connection, hour_ms: int, forecasts: Mapping[str, int]) -> None:
    """Writes an hour's forecasts, unless somebody has; forgets the hours of long ago."""
    rows = [
        {"hour_ms": hour_ms, "funnel": funnel, "forecast": forecast, "planned": 0}
        for funnel, forecast in sorted(forecasts.items())
    ]
    insert_missing(connection, volume, rows)
    connection.execute(volume.delete().where(volume.c.hour_ms < hour_ms - KEPT_MS))


def add(connection: Connection, hour_ms: int, planned: Mapping[str, int]) -> list[Record]:
    """Adds to what was planned in an hour. Returns the rows of these funnels: funnel, forecast, planned."""
    found = []
    for funnel, count in sorted(
        planned.items()
    ):  # always in this order: planners side by side never lock each other out
        row = {"hour_ms": hour_ms, "funnel": funnel, "forecast": 0, "planned": count}
        adding = dialect_insert(connection, volume).values(row)
        added = adding.on_conflict_do_update(
            index_elements=["hour_ms", "funnel"], set_={"planned": volume.c.planned + adding.excluded.planned}
        )
        found.append(connection.execute(added.returning(volume.c.funnel, volume.c.forecast, volume.c.planned)).one())
    return found


def begin_anew(connection: Connection, hour_ms: int, funnel: str, forecast: int) -> None:
    """Takes an hour of a funnel back to nothing planned."""
    row = {"hour_ms": hour_ms, "funnel": funnel, "forecast": forecast, "planned": 0}
    adding = dialect_insert(connection, volume).values(row)
    fresh = {"forecast": forecast, "planned": 0}
    connection.execute(adding.on_conflict_do_update(index_elements=["hour_ms", "funnel"], set_=fresh))


def hours(connection: Connection, since_ms: int) -> Iterable[Record]:
    """The hours since then, oldest first."""
    found = select(volume).where(volume.c.hour_ms >= since_ms).order_by(volume.c.hour_ms, volume.c.funnel)
    return connection.execute(found).all()


def reached_nobody(connection: Connection, delivery_ids: Collection[int]) -> set[int]:
    """Those of these deliveries of which it is known that they were not sent, or that were withdrawn since."""
    fate = func.coalesce(delivery.c.state, batch.c.state)
    joined = delivery.outerjoin(batch, batch.c.id == delivery.c.batch_id)
    found = select(delivery.c.id).select_from(joined).where(delivery.c.id.in_(delivery_ids))
    return set(connection.scalars(found.where(fate.in_(sorted(NEVER_SENT)))))
