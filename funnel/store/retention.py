"""Finding what is too old to be kept, by an index or in the order of ids, and deleting it some at a time."""

from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, Select, Table, func, literal_column, select, text

from funnel.core.consent import Enrolled
from funnel.core.delivery import State
from funnel.store.bulk import among
from funnel.store.deliveries import whose
from funnel.store.rights_tables import erasure
from funnel.store.tables import (
    Record,
    consent,
    delivery,
    enrollment,
    ledger,
    lesson,
    notice,
    reached,
    signup,
    subscriber,
)

_CLEARING = 0x72657461696E  # any number that nobody else locks by
# Written out, not as parameters: only so do the partial indexes serve.
_UNCONFIRMED: Any = literal_column("signup.state <> 'confirmed'")
_OVER: Any = literal_column("enrollment.pattern <> '' AND enrollment.state IN ('finished', 'ended')")
_PENDING: Any = literal_column("subscriber.state = 'pending'")
_HAS_TOKEN = notice.c.token_hash.is_not(None)


def is_alone(connection: Connection) -> bool:
    """Whether nobody else is clearing; nobody will until the transaction ends. SQLite has one writer anyway."""
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _CLEARING}))


def count(connection: Connection, found: Select[Any]) -> int:
    return int(connection.scalar(select(func.count()).select_from(found.subquery())) or 0)


def old_sign_ups(before_ms: int) -> Select[Any]:
    """(id, subscriber_id) of sign-ups that nobody has confirmed by then."""
    old = select(signup.c.id, signup.c.subscriber_id).where(_UNCONFIRMED, signup.c.created_ms < before_ms)
    return old.order_by(signup.c.created_ms)


def delete_sign_ups(connection: Connection, rows: Sequence[Record]) -> None:
    """Deletes sign-ups with what was agreed to and asked for in them. Neither has an index by sign-up."""
    ids, people = [row.id for row in rows], [row.subscriber_id for row in rows]
    for table in (consent, notice):
        theirs = among(connection, table.c.subscriber_id, people), among(connection, table.c.signup_id, ids)
        connection.execute(table.delete().where(*theirs))
    connection.execute(signup.delete().where(among(connection, signup.c.id, ids)))


def old_strangers(before_ms: int) -> Select[Any]:
    """Ids of subscribers that have not confirmed anything by then, nor asked for anything since."""
    asked = select(signup.c.id).where(signup.c.subscriber_id == subscriber.c.id, signup.c.created_ms >= before_ms)
    old = select(subscriber.c.id).where(_PENDING, subscriber.c.changed_ms < before_ms, ~asked.exists())
    return old.order_by(subscriber.c.changed_ms)


def old_courses(before_ms: int) -> Select[Any]:
    """(id, subscriber_id, funnel) of courses that ended by then and still tell a pattern."""
    columns = (enrollment.c.id, enrollment.c.subscriber_id, enrollment.c.funnel)
    return select(*columns).where(_OVER, enrollment.c.changed_ms < before_ms).order_by(enrollment.c.changed_ms)


def forget_courses(connection: Connection, rows: Sequence[Record]) -> None:
    """Blanks what courses tell. None of them is ever opened again."""
    ids = [row.id for row in rows]
    connection.execute(reached.delete().where(among(connection, reached.c.enrollment_id, ids)))
    blank = {"pattern": "", "secondary": None, "state": Enrolled.ENDED}
    connection.execute(enrollment.update().where(among(connection, enrollment.c.id, ids)).values(blank))
    for subscriber_id, funnel in sorted({(row.subscriber_id, row.funnel) for row in rows}):
        theirs = (enrollment.c.subscriber_id == subscriber_id, enrollment.c.funnel == funnel)
        if connection.scalar(select(enrollment.c.id).where(*theirs, enrollment.c.pattern != "").limit(1)) is None:
            _forget_notes(connection, subscriber_id, funnel)


def _forget_notes(connection: Connection, subscriber_id: int, funnel: str) -> None:
    """Blanks a reader's deliveries of a funnel. The rows stay: the links in old mails go on stopping the notes."""
    own = select(enrollment.c.id).where(enrollment.c.subscriber_id == subscriber_id, enrollment.c.funnel == funnel)
    blank = {"lesson_id": None, "batch_id": None, "due_ms": 0, "state": State.SKIPPED, "reason": "too old"}
    for some in whose(subscriber_id):
        theirs = delivery.c.id.in_(some), delivery.c.enrollment_id.in_(own)
        connection.execute(delivery.update().where(*theirs).values(blank))
    lessons = select(lesson.c.id).where(lesson.c.funnel == funnel)
    entries = ledger.c.lesson_id.in_(lessons), ledger.c.subscriber_id == subscriber_id
    connection.execute(ledger.delete().where(*entries))


def count_old(connection: Connection, table: Table, moment: str, before_ms: int) -> int:
    """How many rows of a table come before the first young one. Ids come in the order of time."""
    young = select(table.c.id).where(table.c[moment] >= before_ms).order_by(table.c.id).limit(1)
    first = connection.scalar(young)
    found = select(func.count()).select_from(table)
    return int(connection.scalar(found if first is None else found.where(table.c.id < first)) or 0)


def delete_old(connection: Connection, table: Table, moment: str, before_ms: int, limit: int) -> int:
    """Deletes up to `limit` rows from the beginning of a table, to the first young one. Returns how many."""
    first = connection.execute(select(table.c.id, table.c[moment]).order_by(table.c.id).limit(limit)).all()
    ids = [row.id for row in takewhile(lambda row: row[1] < before_ms, first)]
    connection.execute(table.delete().where(among(connection, table.c.id, ids)))
    return len(ids)


def old_tokens(before_ms: int) -> Select[Any]:
    """Ids of service mails whose links had run out by then."""
    return select(notice.c.id).where(_HAS_TOKEN, notice.c.expires_ms < before_ms).order_by(notice.c.expires_ms)


def forget_tokens(connection: Connection, ids: Collection[int]) -> None:
    """An expired link becomes an unknown one, and what it was mailed to is forgotten."""
    blank = {"token_hash": None, "address_hash": None, "sealed": None}
    connection.execute(notice.update().where(among(connection, notice.c.id, ids)).values(blank))


def old_erasures(before_ms: int) -> Select[Any]:
    """Ids of erasures from before then that no provider has followed."""
    refused = erasure.c.reason.is_not(None), erasure.c.told_ms.is_(None)
    return select(erasure.c.id).where(erasure.c.created_ms < before_ms, *refused)
