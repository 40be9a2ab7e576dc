"""The ledger of consents as it is read; funnel/store/signups.py appends to it, and nothing changes it."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from funnel.store.tables import Record, consent, revision, wording


def told(connection: Connection, subscriber_id: int) -> Sequence[Record]:
    """Every consent of a subscriber, in order: its columns, its funnel, and the wording's text (None: not kept)."""
    joined = consent.outerjoin(wording, wording.c.hash == consent.c.wording_hash)
    joined = joined.outerjoin(revision, revision.c.id == consent.c.revision_id)
    found = select(consent, revision.c.funnel, wording.c.text).select_from(joined)
    return connection.execute(found.where(consent.c.subscriber_id == subscriber_id).order_by(consent.c.id)).all()
