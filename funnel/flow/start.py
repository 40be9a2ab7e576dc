"""Start: claims planned batches and builds what is handed over. The last place where a mail can be stopped."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection

from funnel.core import links
from funnel.core.consent import (
    NOT_MAILED,
    RESCHEDULED,
    Enrolled,
    Suppression,
    lesson_refusal,
    notice_refusal,
)
from funnel.core.delivery import NEVER_SENT, Cause, Fate, Kind, State
from funnel.core.lesson import segment
from funnel.core.notice import ERRANDS, is_moot
from funnel.core.sequence import Funnel
from funnel.flow import compose, holding, people
from funnel.flow.course import go_on
from funnel.flow.holding import Gate
from funnel.flow.people import Person
from funnel.flow.sent import Sent, sent
from funnel.flow.settle import postpone, split_off
from funnel.flow.tools import Tools
from funnel.keyring import Unreadable
from funnel.mail.provider import Mailing, Recipient
from funnel.store import batches, deliveries, enrollments, signups
from funnel.store.db import share_starts, writing
from funnel.store.tables import Record

UNREADABLE = "unreadable"
HAD = "received before"
UNBUILT = Fate(State.PLANNED, "cannot be built", retry_ms=10 * 60_000)
NOBODY_LEFT = {"reason": "nobody left to mail"}
_apart = attrgetter("secondary", "pace", "locale", "link_only")  # what tells the readers of a lesson apart


@dataclass(frozen=True)
class Started:
    """A batch that is ours to hand over until its lease ends. `rows` are its deliveries or notices, by place."""

    batch: Record
    rows: tuple[Sent | Record, ...]
    mailing: Mailing

    @property
    def late_ms(self) -> int:
        """When more than half the lease is spent: who has not begun by then gives up."""
        return int((self.batch.started_ms + self.batch.lease_ms) // 2)


@dataclass(frozen=True)
class Broken:
    """A batch that cannot be built, and the kind of fault. It is tried again later."""

    batch_id: int
    fault: str


def start(tools: Tools, ids: Sequence[int], owner: str, now_ms: int) -> list[Started | Broken]:
    """Claims those of the planned batches that may be sent now, and builds them. Others may have been quicker."""
    with writing(tools.engine) as connection:
        share_starts(connection)
        claimed = _claim(connection, tools, ids, owner, now_ms)
        mailed = _readers(connection, tools, [row for row in claimed if row.kind == Kind.LESSON], now_ms)
        mailed |= _askers(connection, tools, [row for row in claimed if row.kind == Kind.NOTICE], now_ms)
        for row in claimed:
            if not mailed.get(row.id):
                batches.move(connection, row, Cause.SKIP, {**NOBODY_LEFT, "settled_ms": now_ms})
        funnels = {row.revision_id: tools.funnel(connection, row.revision_id) for row in claimed}
        lessons = {row.id: tools.lesson_key(connection, row.lesson_id) for row in claimed if row.lesson_id}
    built = [
        _build(tools, funnels[row.revision_id], row, lessons.get(row.id), mailed[row.id], now_ms)
        for row in claimed
        if mailed.get(row.id)
    ]
    return [each for each in built if each is not None]


def _claim(connection: Connection, tools: Tools, ids: Sequence[int], owner: str, now_ms: int) -> list[Record]:
    held = holding.current(connection, now_ms)
    if not tools.breaker.admits(connection, held, now_ms):
        return []
    if held.provider(tools.provider) != Gate.OPEN:
        ids = ids[:1]  # the one that goes first, to see
    return batches.start(connection, ids, owner, now_ms, tools.lease_ms, tools.provider, held.funnels)


def _readers(connection: Connection, tools: Tools, claimed: list[Record], now_ms: int) -> dict[int, list[Record]]:
    """batch → the deliveries that may be sent; for the others it is recorded why not."""
    if not claimed:
        return {}
    mailed: dict[int, list[Record]] = {batch.id: [] for batch in claimed}
    refused = defaultdict(list)
    doubtful = {batch.id for batch in claimed if batch.resent}
    for row in deliveries.readers(connection, list(mailed)):
        refusal = lesson_refusal(row.subscriber_state, row.enrollment_state, row.turn, row.current_turn)
        if refusal is None and row.wrapped is None:
            refusal = UNREADABLE
        if refusal:
            refused[refusal, row.batch_id in doubtful].append(row)
        else:
            mailed[row.batch_id].append(row)
    for (reason, in_doubt), rows in refused.items():
        _refuse(connection, rows, reason, now_ms, State.UNKNOWN if in_doubt else State.SKIPPED)
    for batch in claimed:
        if batch.attempt == 1:
            mailed[batch.id] = _in_their_segment(connection, tools, batch, mailed[batch.id])
    if deliveries.enter(connection, list(mailed)) < sum(map(len, mailed.values())):
        for batch in claimed:
            mailed[batch.id] = _not_had(connection, tools, batch, mailed[batch.id], now_ms)
    return mailed


def _in_their_segment(connection: Connection, tools: Tools, batch: Record, rows: list[Record]) -> list[Record]:
    """Who still belongs to the batch's segment. Whoever has changed since the lesson was scheduled is due again."""
    funnel, key = tools.funnel(connection, batch.revision_id), tools.lesson_key(connection, batch.lesson_id)

    def belongs(secondary: str | None, pace: str, locale: str, link_only: int) -> bool:
        found = funnel.read_in(locale).lesson(key)
        assert found is not None, "a revision never changes"
        known = {"secondary": secondary or "", "pace": pace}
        return segment(found[1].source, known, link_only=funnel.link_only or bool(link_only)) == str(batch.segment)

    theirs = {traits: belongs(*traits) for traits in set(map(_apart, rows))}
    if all(theirs.values()):
        return rows
    others = [row.id for row in rows if not theirs[_apart(row)]]
    enrollments.restore_due(connection, others)
    deliveries.take_out(connection, batch.id, others)
    return [row for row in rows if theirs[_apart(row)]]


def _not_had(connection: Connection, tools: Tools, batch: Record, rows: list[Record], now_ms: int) -> list[Record]:
    """Who has not had this lesson under another delivery. Whoever has goes on to what comes next."""
    others = deliveries.refused_by_ledger(connection, [batch.id])
    had = []
    for row in rows:
        if other := others.get(row.id):
            if other.state in NEVER_SENT:
                deliveries.take_over(connection, other.id, row.id)
            elif other.batch_state == State.PLANNED and not other.batch_resent:
                # Given back, and its reader was rescheduled since.
                deliveries.set_fate(connection, Kind.LESSON, [other.id], State.SKIPPED, RESCHEDULED)
                deliveries.take_over(connection, other.id, row.id)
            else:
                had.append(row)
    deliveries.set_fate(connection, Kind.LESSON, [row.id for row in had], State.SKIPPED, HAD)
    go_on(connection, tools, batch.funnel, had, now_ms)
    return [row for row in rows if row not in had]


def _refuse(connection: Connection, rows: list[Record], reason: str, now_ms: int, state: State = State.SKIPPED) -> None:
    """Sends these deliveries no more. A course that stands there is paused: nobody is stranded without a word.

    What was in doubt once stays so: an earlier attempt may have arrived, and whoever comes back must not get it twice.
    """
    deliveries.set_fate(connection, Kind.LESSON, [row.id for row in rows], state, reason)
    stuck = [row.enrollment_id for row in rows if row.turn == row.current_turn]
    enrollments.set_states(connection, stuck, Enrolled.PAUSED, NOT_MAILED, now_ms)


def _askers(connection: Connection, tools: Tools, claimed: list[Record], now_ms: int) -> dict[int, list[Record]]:
    """batch → the notices that may be sent. Their tokens come into being here; only the hashes are stored."""
    mailed = defaultdict(list)
    for row in deliveries.notices(connection, [batch.id for batch in claimed]) if claimed else ():
        if refusal := _askers_refusal(row, now_ms):
            signups.skip_notice(connection, row.id, refusal)
            continue
        errand = ERRANDS[row.kind]
        token = links.confirm_token(tools.keyring.link_key, row.id, row.created_ms, errand.use)
        hash_ = links.token_hash(token)
        assert hash_ is not None
        signups.keep_token(connection, row.id, hash_, now_ms + errand.lasts_ms)
        mailed[row.batch_id].append(row)
    return mailed


def _askers_refusal(row: Record, now_ms: int) -> str | None:
    """Why a notice must not be sent any more, though it was planned."""
    if row.wrapped is None:
        return UNREADABLE
    if is_moot(row.kind, row.signup_state):
        return signups.NOT_OPEN
    suppression = Suppression(row.suppressed, row.suppressed_ms) if row.suppressed else None
    return notice_refusal(row.subscriber_state, suppression, {}, now_ms)


def _build(
    tools: Tools, funnel: Funnel, batch: Record, lesson: str | None, rows: list[Record], now_ms: int
) -> Started | Broken | None:
    """The batch as it is handed over; None when nobody was left. Nothing here holds a transaction open."""
    try:
        persons = _open(tools, rows)
        wait = _over_their_pace(tools, persons)
        gone = [row for row in rows if row.id not in persons]
        later = [row for row in rows if row.id in wait]
        rows = [row for row in rows if row.id in persons and row.id not in wait]
        if gone or later:
            _leave_out(tools, batch, gone, later, max(wait.values(), default=0), bool(rows), now_ms)
        if not rows:
            return None
        mailing = _mailing(tools, funnel, batch, lesson, rows, persons, now_ms)
    except Exception as error:  # noqa: BLE001 -- one batch that cannot be built keeps nobody else's waiting
        postpone(tools, batch, UNBUILT, now_ms)
        return Broken(batch.id, type(error).__name__)
    return Started(batch, sent(rows) if batch.kind == Kind.LESSON else tuple(rows), mailing)


def _mailing(
    tools: Tools,
    funnel: Funnel,
    batch: Record,
    lesson: str | None,
    rows: Sequence[Record],
    persons: dict[int, Person],
    now_ms: int,
) -> Mailing:
    spoken = compose.spoken(funnel, batch.segment)
    domain = compose.domain_of(spoken)
    if lesson is None:
        template = compose.notice(tools, funnel, batch.revision_id, batch.segment)
        recipients: Sequence[Recipient] = compose.notice_recipients(tools, domain, rows, persons)
    else:
        template = compose.lesson(tools, funnel, batch.revision_id, lesson, batch.segment)
        recipients = compose.lesson_recipients(tools, template, domain, rows, persons)
    shared: dict[str, Any] = compose.envelope(spoken, Kind(batch.kind))
    return Mailing(
        uid=batch.uid, template=template, recipients=recipients, date_ms=now_ms, attempt=batch.attempt, **shared
    )


def _open(tools: Tools, rows: Iterable[Record]) -> dict[int, Person]:
    """delivery or notice → its person; whoever cannot be read is left out."""
    found = {}
    for row in rows:
        try:
            found[row.id] = people.open_wrapped(tools.keyring, row)
        except Unreadable:
            continue
    return found


def _over_their_pace(tools: Tools, persons: dict[int, Person]) -> dict[int, int]:
    """delivery or notice → milliseconds to wait, for those whose mail server wants no more at the moment."""
    domains = {id_: person.address.rpartition("@")[2].lower() for id_, person in persons.items()}
    granted = tools.pace.take_domains(Counter(domains.values()))
    room = {domain: count for domain, (count, _) in granted.items()}
    wait = {}
    for id_, domain in domains.items():
        if domain not in room:
            continue
        room[domain] -= 1
        if room[domain] < 0:
            wait[id_] = granted[domain][1]
    return wait


def _leave_out(
    tools: Tools, batch: Record, gone: list[Record], later: list[Record], wait_ms: int, others: bool, now_ms: int
) -> None:
    """Before anything is sent: skips whom nobody can read, and plans anew whom the pace lets wait."""
    with writing(tools.engine) as connection:
        if not batches.renew(connection, batch.id, batch.owner, batch.attempt, batch.lease_ms):
            return
        if batch.kind == Kind.LESSON:
            _refuse(connection, gone, UNREADABLE, now_ms)
        else:
            deliveries.set_fate(connection, batch.kind, [row.id for row in gone], State.SKIPPED, UNREADABLE)
        if later:
            split_off(connection, batch, [row.id for row in later], Fate(State.PLANNED, "pace"), now_ms + wait_ms)
        if not others:
            batches.move(connection, batch, Cause.SKIP, {**NOBODY_LEFT, "settled_ms": now_ms})
