"""Start, and settle: before and after a batch is handed over. The hand-over itself is outside any transaction."""

import secrets
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from funnel.core import links
from funnel.core.consent import NOT_MAILED, Enrolled, lesson_refusal
from funnel.core.delivery import Fate, Kind, Report, State
from funnel.core.links import Use
from funnel.core.sequence import Funnel
from funnel.flow import people
from funnel.flow.compose import compose_lesson, compose_notice, envelope
from funnel.flow.course import schedule_next
from funnel.flow.people import Person
from funnel.flow.signup import CONFIRM_MS
from funnel.flow.tools import Tools
from funnel.keyring import Unreadable
from funnel.mail.provider import Mailing, Recipient
from funnel.store import batches, enrollments, signups, subscribers
from funnel.store.db import writing
from funnel.store.tables import Record

REFUSALS_AT_MOST = 12
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Started:
    """A batch that is ours to hand over until its lease ends. `ids` are deliveries or notices, by position."""

    batch_id: int
    kind: Kind
    owner: str
    attempt: int
    lease_ms: int
    ids: tuple[int, ...]
    mailing: Mailing


def start(tools: Tools, batch_id: int, owner: str, provider: str, now_ms: int) -> Started | None:
    """Claims a planned batch and builds what to hand over. None when it is not to be sent, or not by us."""
    with writing(tools.engine) as connection:
        attempt = batches.start(connection, batch_id, owner, now_ms, tools.lease_ms, provider)
        if attempt is None:
            return None
        row = batches.by_id(connection, batch_id)
        assert row is not None
        funnel = tools.funnel(connection, row.revision_id)
        kind = Kind(row.kind)
        if kind == Kind.LESSON:
            recipients = _lesson_recipients(connection, tools, funnel, row, now_ms)
        else:
            recipients = _notice_recipients(connection, tools, funnel, row, now_ms)
        if not recipients:
            nobody = {"state": State.SKIPPED, "settled_ms": now_ms, "reason": "nobody left to mail"}
            batches.settle(connection, batch_id, owner, attempt, nobody)
            return None
        compose = compose_lesson if kind == Kind.LESSON else compose_notice
        mailing = Mailing(
            uid=row.uid,
            template=compose(tools, funnel, row),
            recipients=tuple(recipient for _, recipient in recipients),
            date_ms=now_ms,
            **envelope(funnel, kind),
        )
        ids = tuple(id_ for id_, _ in recipients)
        return Started(batch_id, kind, owner, attempt, now_ms + tools.lease_ms, ids, mailing)


def renew(tools: Tools, started: Started, now_ms: int) -> bool:
    """Extends the lease while a request is in flight. False when the batch is not ours any more."""
    with writing(tools.engine) as connection:
        return batches.renew(connection, started.batch_id, started.owner, started.attempt, now_ms + tools.lease_ms)


def settle(tools: Tools, started: Started, report: Report, now_ms: int) -> bool:
    """Records what became of a batch and writes what comes next. False when the batch is not ours any more.

    Decisions of a lost lease are void; acceptance is evidence, and counts whenever it comes.
    """
    fates = {started.ids[place]: fate for place, fate in report.exceptions.items()}
    shared = [id_ for id_ in started.ids if id_ not in fates]
    with writing(tools.engine) as connection:
        values = _batch_values(report.fate, now_ms)
        held = batches.settle(connection, started.batch_id, started.owner, started.attempt, values)
        proven = report.fate.state == State.ACCEPTED and not report.exceptions
        if not held and not (proven and batches.accept_late(connection, started.batch_id, values)):
            return False
        row = batches.by_id(connection, started.batch_id)
        assert row is not None
        _settle_exceptions(connection, row, fates, now_ms)
        if report.fate.state == State.ACCEPTED:
            follow_up(connection, tools, row, shared, now_ms)
        elif report.fate.state == State.FAILED:
            _stop_courses(connection, row, shared, report.fate.reason, now_ms)
        return True


def follow_up(connection: Connection, tools: Tools, row: Record, ids: list[int], now_ms: int) -> None:
    """After acceptance: the next due row of every course that still stands where this lesson was planned."""
    if row.kind != Kind.LESSON:
        return
    standing = _standing(connection, row, ids)
    _, funnel = tools.current(connection)[row.funnel]
    schedule_next(connection, tools, funnel, [(person, person.zone) for person in standing], now_ms)


def _standing(connection: Connection, row: Record, ids: list[int]) -> list[Record]:
    wanted = set(ids)
    sent = {d.enrollment_id: d for d in batches.deliveries(connection, row.id) if d.id in wanted}
    readers = enrollments.with_subscribers(connection, set(sent))
    return [
        person for person in readers.values() if person.state == Enrolled.ACTIVE and person.turn == sent[person.id].turn
    ]


def _stop_courses(connection: Connection, row: Record, ids: list[int], reason: str, now_ms: int) -> None:
    """A lesson that can never arrive pauses its course: nobody is skipped ahead in silence."""
    if row.kind == Kind.LESSON:
        standing = _standing(connection, row, ids)
        enrollments.set_states(connection, [person.id for person in standing], Enrolled.PAUSED, reason, now_ms)


def _settle_exceptions(connection: Connection, row: Record, fates: dict[int, Fate], now_ms: int) -> None:
    by_fate = defaultdict(list)
    for id_, fate in fates.items():
        if fate.state == State.PLANNED and row.retries >= REFUSALS_AT_MOST:
            fate = Fate(State.FAILED, "refused for too long")
        by_fate[fate].append(id_)
    for fate, ids in by_fate.items():
        if fate.state == State.FAILED:
            _stop_courses(connection, row, ids, fate.reason, now_ms)
            batches.set_fate(connection, row.kind, ids, State.FAILED, fate.reason)
        else:
            batches.rebatch(connection, row.kind, ids, _split(connection, row, fate, now_ms))


def _split(connection: Connection, row: Record, fate: Fate, now_ms: int) -> int:
    """A batch for those of `row` that share another fate: planned again, or unknown."""
    uid = secrets.token_hex(16)
    same = ("kind", "funnel", "revision_id", "lesson_id", "segment", "provider", "started_ms", "attempt")
    fresh = {
        **{name: getattr(row, name) for name in same},
        "uid": uid,
        "planned_ms": now_ms,
        "retries": row.retries + (fate.reason != "connection"),
        **_batch_values(fate, now_ms),
    }
    return batches.add(connection, [fresh])[uid]


def _batch_values(fate: Fate, now_ms: int) -> dict[str, Any]:
    values: dict[str, Any] = {"state": fate.state, "reason": fate.reason or None, "reference": fate.reference or None}
    if fate.state == State.PLANNED:
        return {**values, "planned_ms": now_ms + fate.retry_ms, "owner": None, "lease_ms": None}
    return {**values, "settled_ms": None if fate.state == State.UNKNOWN else now_ms}


def _lesson_recipients(
    connection: Connection, tools: Tools, funnel: Funnel, row: Record, now_ms: int
) -> list[tuple[int, Recipient]]:
    rows = batches.deliveries(connection, row.id)
    readers = enrollments.with_subscribers(connection, {d.enrollment_id for d in rows}, lock=True)
    persons = _open_persons(connection, tools, {d.subscriber_id for d in rows})
    recipients = []
    refused = defaultdict(list)
    stuck = []
    for delivery in rows:
        reader, person = readers[delivery.enrollment_id], persons.get(delivery.subscriber_id)
        refusal = lesson_refusal(reader.subscriber_state, reader.state, delivery.turn, reader.turn)
        if refusal or not person:
            refused[refusal or UNREADABLE].append(delivery.id)
            stuck += [reader.id] if reader.turn == delivery.turn else []
        else:
            recipients.append((delivery.id, _lesson_recipient(tools, funnel, delivery.id, person)))
    for reason, ids in refused.items():
        batches.set_fate(connection, row.kind, ids, State.SKIPPED, reason)
    enrollments.set_states(connection, stuck, Enrolled.PAUSED, NOT_MAILED, now_ms)
    return recipients


def _lesson_recipient(tools: Tools, funnel: Funnel, delivery_id: int, person: Person) -> Recipient:
    read, leave, choose = (
        f"{tools.base_url}/{use}/{links.token(tools.keyring.link_key, use, delivery_id)}"
        for use in (Use.READ, Use.UNSUBSCRIBE, Use.CHOOSE)
    )
    return Recipient(
        key=f"lesson-{delivery_id:08}",
        address=person.address,
        message_id=_message_id(tools, funnel, Kind.LESSON, delivery_id),
        values={"first_name": person.first_name, "read_url": read, "unsubscribe_url": leave, "choose_url": choose},
        headers={"List-Unsubscribe": f"<{leave}>"},
    )


def _notice_recipients(
    connection: Connection, tools: Tools, funnel: Funnel, row: Record, now_ms: int
) -> list[tuple[int, Recipient]]:
    rows = batches.notices(connection, row.id)
    persons = _open_persons(connection, tools, {notice.subscriber_id for notice in rows})
    recipients = []
    for notice in rows:
        person = persons.get(notice.subscriber_id)
        if not person or notice.signup_state != signups.PENDING:
            signups.skip_notice(connection, notice.id, UNREADABLE if not person else signups.NOT_OPEN)
            continue
        token = links.confirm_token(tools.keyring.link_key, notice.id, notice.created_ms)
        hash_ = links.token_hash(token)
        assert hash_ is not None
        signups.keep_token(connection, notice.id, hash_, now_ms + CONFIRM_MS)
        values = {"first_name": person.first_name, "confirm_url": f"{tools.base_url}/{Use.CONFIRM}/{token}"}
        message_id = _message_id(tools, funnel, Kind.NOTICE, notice.id)
        recipients.append((notice.id, Recipient(f"notice-{notice.id:08}", person.address, message_id, values, {})))
    return recipients


def _open_persons(connection: Connection, tools: Tools, ids: set[int]) -> dict[int, Person]:
    """subscriber → person; whoever has been erased, or cannot be read, is left out."""
    found = {}
    for row in subscribers.sealed_by_id(connection, ids):
        try:
            key = tools.keyring.unwrap(row.version, row.wrapped, row.address_hash)
            found[row.id] = people.open_person(key, row.address_hash, row.sealed)
        except Unreadable:
            continue
    return found


def _message_id(tools: Tools, funnel: Funnel, kind: Kind, id_: int) -> str:
    """Stable across retries; tells nothing but that it is ours."""
    use = Use.LESSON_ID if kind == Kind.LESSON else Use.NOTICE_ID
    return f"<{links.token(tools.keyring.link_key, use, id_)}@{funnel.sender.address.rpartition('@')[2]}>"
