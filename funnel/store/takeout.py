"""Everything on record about one person. The due table is read whole: for whoever asks, not for every mail."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from funnel.store.tables import Record, consent, due, enrollment, notice, reached, signup, slot, wording


def consents(connection: Connection, subscriber_id: int) -> Sequence[Record]:
    """Every consent in order, each with the full text of its wording (`text`; NULL when that is gone)."""
    joined = consent.outerjoin(wording, wording.c.hash == consent.c.wording_hash)
    return _theirs(connection, select(consent, wording.c.text).select_from(joined), consent, subscriber_id)


def sign_ups(connection: Connection, subscriber_id: int) -> Sequence[Record]:
    return _theirs(connection, select(signup), signup, subscriber_id)


def courses(connection: Connection, subscriber_id: int) -> Sequence[Record]:
    return _theirs(connection, select(enrollment), enrollment, subscriber_id)


def service_mails(connection: Connection, subscriber_id: int) -> Sequence[Record]:
    return _theirs(connection, select(notice), notice, subscriber_id)


def waiting(connection: Connection, subscriber_id: int) -> dict[int, Record]:
    """Enrollment → its due row of the latest turn."""
    found = select(due).where(due.c.subscriber_id == subscriber_id).order_by(due.c.turn)
    return {row.enrollment_id: row for row in connection.execute(found)}


def slots(connection: Connection, subscriber_id: int) -> dict[int, int]:
    """Enrollment → the moment that is kept for its next note, for who is in several courses."""
    found = select(slot.c.enrollment_id, slot.c.due_ms).where(slot.c.subscriber_id == subscriber_id)
    return {row.enrollment_id: row.due_ms for row in connection.execute(found)}


def presses(connection: Connection, enrollment_ids: Sequence[int]) -> Sequence[Record]:
    found: Select[Any] = select(reached).where(reached.c.enrollment_id.in_(enrollment_ids))
    return connection.execute(found.order_by(reached.c.at_ms)).all()


def _theirs(connection: Connection, found: Select[Any], table: Any, subscriber_id: int) -> Sequence[Record]:
    return connection.execute(found.where(table.c.subscriber_id == subscriber_id).order_by(table.c.id)).all()
