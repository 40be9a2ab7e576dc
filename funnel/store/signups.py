"""Sign-ups, the consents they carry, and the notices that answer them."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import BigInteger, Connection, func, literal, literal_column, select

from funnel.core.consent import SUPPRESSED, Action
from funnel.core.notice import ADDRESS
from funnel.store.tables import Record, batch, consent, notice, signup, subscriber

ASKED = "asked"  # nobody has looked yet whose it is
PENDING = "pending"
CONFIRMED = "confirmed"
REPLACED = "replaced"
REQUESTED = "requested"
NOT_OPEN = "sign-up not open"
TOO_LATE = "asked too long ago"
NOBODY = 0
_WAITING = notice.c.state == literal_column(f"'{REQUESTED}'")  # written out: so the partial index serves
_ASKED = signup.c.state == literal_column(f"'{ASKED}'")


def ask(connection: Connection, funnel: str, revision_id: str, sealed: bytes, now_ms: int, locale: str) -> int:
    """A sign-up that the worker has yet to take in. One row, whoever it is: the form learns nothing."""
    row = {
        "subscriber_id": NOBODY,
        "funnel": funnel,
        "revision_id": revision_id,
        "sealed": sealed,
        "state": ASKED,
        "created_ms": now_ms,
        "locale": locale,
    }
    return int(connection.scalars(signup.insert().values(row).returning(signup.c.id)).one())


def any_asked(connection: Connection) -> bool:
    return connection.scalar(select(signup.c.id).where(_ASKED).limit(1)) is not None


def asked(connection: Connection, limit: int) -> Sequence[Record]:
    """Sign-ups that nobody has taken in yet, oldest first."""
    found = select(signup).where(_ASKED).order_by(signup.c.id).limit(limit)
    return connection.execute(found.with_for_update(skip_locked=True)).all()


def admit(connection: Connection, signup_id: int, subscriber_id: int, sealed: bytes) -> None:
    """From now on it is this person's, and sealed for them."""
    values = {"subscriber_id": subscriber_id, "sealed": sealed, "state": PENDING}
    connection.execute(signup.update().where(signup.c.id == signup_id).values(values))


def turn_away(connection: Connection, signup_id: int) -> None:
    """Closes a sign-up that cannot be taken in, and forgets what it held."""
    connection.execute(signup.update().where(signup.c.id == signup_id).values(state=REPLACED, sealed=None))


def by_id(connection: Connection, signup_id: int) -> Record | None:
    return connection.execute(select(signup).where(signup.c.id == signup_id)).one_or_none()


def close(connection: Connection, signup_id: int, state: str) -> bool:
    """Ends a pending sign-up and forgets what it held. False when it was not pending any more."""
    pending = (signup.c.id == signup_id) & (signup.c.state == PENDING)
    return bool(connection.execute(signup.update().where(pending).values(state=state, sealed=None)).rowcount)


def replace_all(connection: Connection, subscriber_id: int, funnel: str | None = None) -> None:
    """Closes every pending sign-up of this person, in one funnel or in all, and forgets what they held."""
    pending = (signup.c.subscriber_id == subscriber_id) & (signup.c.state == PENDING)
    if funnel is not None:
        pending &= signup.c.funnel == funnel
    connection.execute(signup.update().where(pending).values(state=REPLACED, sealed=None))


def record_consents(
    connection: Connection,
    subscriber_id: int,
    signup_id: int | None,
    wordings: Mapping[str, str],
    revision_id: str,
    locale: str,
    action: Action,
    now_ms: int,
) -> None:
    """Appends one row per purpose; `wordings` maps purposes to wording hashes."""
    shared = {
        "subscriber_id": subscriber_id,
        "signup_id": signup_id,
        "revision_id": revision_id,
        "locale": locale,
        "action": action,
        "at_ms": now_ms,
    }
    rows = [{**shared, "purpose": purpose, "wording_hash": hash_} for purpose, hash_ in wordings.items()]
    connection.execute(consent.insert(), rows)


def given_wordings(connection: Connection, signup_id: int) -> dict[str, str]:
    """purpose → wording hash, as agreed to in this sign-up."""
    rows = connection.execute(
        select(consent.c.purpose, consent.c.wording_hash).where(
            consent.c.signup_id == signup_id, consent.c.action == Action.GIVEN
        )
    )
    return {row.purpose: row.wording_hash for row in rows}


def last_consents(connection: Connection, subscriber_id: int) -> list[Record]:
    """The latest row of each purpose, leaving out what was only given: anybody may type anybody's address."""
    latest = (
        select(func.max(consent.c.id))
        .where(consent.c.subscriber_id == subscriber_id, consent.c.action != Action.GIVEN)
        .group_by(consent.c.purpose)
    ).scalar_subquery()
    return list(connection.execute(select(consent).where(consent.c.id.in_(latest)).order_by(consent.c.id)))


def request_notice(
    connection: Connection,
    subscriber_id: int,
    signup_id: int,
    funnel: str,
    kind: str,
    now_ms: int,
    to: tuple[bytes, bytes] | None = None,
    doubt: str | None = None,
) -> int:
    """Asks for a service mail; with a doubt it is only noted why none is sent.

    `signup_id` is 0 for what answers no sign-up. `to` is another address than the subscriber's: (hash, sealed).
    """
    row = {
        **dict(zip(("address_hash", "sealed"), to or (None, None), strict=True)),
        "subscriber_id": subscriber_id,
        "signup_id": signup_id,
        "funnel": funnel,
        "kind": kind,
        "state": "skipped" if doubt else REQUESTED,
        "reason": doubt,
        "created_ms": now_ms,
    }
    return int(connection.scalars(notice.insert().values(row).returning(notice.c.id)).one())


def request_again(connection: Connection, signup_id: int, kind: str, now_ms: int) -> None:
    """Asks for another service mail if the sign-up is still open: one statement, whatever it finds."""
    columns = ["subscriber_id", "signup_id", "funnel", "kind", "state", "created_ms"]
    found = select(
        signup.c.subscriber_id,
        signup.c.id,
        signup.c.funnel,
        literal(kind),
        literal(REQUESTED),
        literal(now_ms, BigInteger),
    ).where(signup.c.id == signup_id, signup.c.state == PENDING)
    connection.execute(notice.insert().from_select(columns, found))


def drop_notices(connection: Connection, signup_id: int, reason: str) -> None:
    """Skips what has been requested for a sign-up and not been planned yet."""
    waiting = (notice.c.signup_id == signup_id) & _WAITING
    connection.execute(notice.update().where(waiting).values(state="skipped", reason=reason))


def requested(connection: Connection, limit: int) -> Sequence[Record]:
    """Notices that nobody has planned yet, oldest first, with their sign-up's state (signup_state), and the locale."""
    joined = notice.outerjoin(signup, signup.c.id == notice.c.signup_id)
    joined = joined.outerjoin(subscriber, subscriber.c.id == notice.c.subscriber_id)
    locale = func.coalesce(signup.c.locale, subscriber.c.locale, "").label("locale")
    found = select(notice, signup.c.state.label("signup_state"), locale).select_from(joined).where(_WAITING)
    return connection.execute(
        found.order_by(notice.c.id).limit(limit).with_for_update(skip_locked=True, of=notice)
    ).all()


def any_requested(connection: Connection) -> bool:
    return connection.scalar(select(notice.c.id).where(_WAITING).limit(1)) is not None


def sent_since(connection: Connection, subscriber_ids: Collection[int], since_ms: int) -> dict[tuple[int, str], int]:
    """(subscriber, kind) → how many notices have been planned for them since then, whenever they were asked for.

    One that its other address does not get counts as well: how many are left must not tell who is not mailed.
    """
    unseen = (notice.c.kind == ADDRESS) & (notice.c.reason == SUPPRESSED)
    found = (
        select(notice.c.subscriber_id, notice.c.kind, func.count().label("count"))
        .select_from(notice.outerjoin(batch, batch.c.id == notice.c.batch_id))
        .where(
            notice.c.subscriber_id.in_(subscriber_ids),
            notice.c.batch_id.is_not(None) | unseen,
            func.coalesce(batch.c.planned_ms, notice.c.created_ms) >= since_ms,
        )
        .group_by(notice.c.subscriber_id, notice.c.kind)
    )
    return {(subscriber_id, kind): int(count) for subscriber_id, kind, count in connection.execute(found)}


def skip_notice(connection: Connection, notice_id: int, reason: str) -> None:
    connection.execute(notice.update().where(notice.c.id == notice_id).values(state="skipped", reason=reason))


def plan_notice(connection: Connection, notice_id: int, batch_id: int, position: int) -> None:
    planned = {"state": None, "batch_id": batch_id, "position": position}
    connection.execute(notice.update().where(notice.c.id == notice_id).values(planned))


def keep_token(connection: Connection, notice_id: int, token_hash: bytes, expires_ms: int) -> None:
    kept = notice.update().where(notice.c.id == notice_id)
    connection.execute(kept.values(token_hash=token_hash, expires_ms=expires_ms))


def by_token(connection: Connection, token_hash: bytes) -> Record | None:
    """The notice with this token, with its sign-up: (notice columns…, signup_state, locale)."""
    joined = notice.join(signup, signup.c.id == notice.c.signup_id)
    found = select(notice, signup.c.state.label("signup_state"), signup.c.locale).select_from(joined)
    return connection.execute(found.where(notice.c.token_hash == token_hash)).one_or_none()
