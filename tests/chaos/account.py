"""What must hold at the end: the provider's ledger, the database and the readers' mailboxes tell the same story."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, and_, func, select, text

from funnel.core import links
from funnel.core.consent import Enrolled, Standing
from funnel.core.delivery import HANDED_OVER, Cause, State, bit
from funnel.core.links import Use
from funnel.core.sequence import Funnel
from funnel.keyring import Keyring
from funnel.store.enrollments import LIVE
from funnel.store.tables import batch, delivery, enrollment, hold, lesson, notice, subscriber
from funnel.store.tables import event as told_event
from tests.chaos.crowd import Crowd, Reader
from tests.chaos.journal import Journal
from tests.chaos.post import Post, Taken

_PLACES = text("""
    SELECT id, places FROM (
        SELECT enrollment.id AS id,
            (SELECT count(*) FROM due WHERE due.enrollment_id = enrollment.id AND due.turn = enrollment.turn)
          + (SELECT count(*) FROM delivery JOIN batch ON batch.id = delivery.batch_id
             WHERE delivery.enrollment_id = enrollment.id AND delivery.turn = enrollment.turn
             AND delivery.state IS NULL AND batch.state IN ('planned', 'started', 'unknown')) AS places
        FROM enrollment WHERE enrollment.state = 'active'
    ) AS each WHERE places <> 1
""")
OPEN = (State.PLANNED, State.STARTED, State.UNKNOWN)


@dataclass
class Account:
    """`explained`: duplicates, a line each; the others are among the `problems`."""

    problems: list[str] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    lessons: int = 0
    duplicates: int = 0
    counts: Counter[str] = field(default_factory=Counter)


def misplaced(connection: Connection) -> list[tuple[int, int]]:
    """(enrollment, places) of active courses that are not in exactly one place, at one moment."""
    return [(row.id, row.places) for row in connection.execute(_PLACES)]


def open_work(connection: Connection) -> str:
    """What is not at its end yet; nothing when all is done."""
    counts = {
        "active courses": select(func.count()).where(enrollment.c.state == Enrolled.ACTIVE),
        "unknown batches": select(func.count()).where(batch.c.state == State.UNKNOWN),
        "open batches": select(func.count()).where(batch.c.state.in_(OPEN)),
        "requested notices": select(func.count()).where(notice.c.state == "requested"),
        "new events": select(func.count()).where(told_event.c.handled_ms.is_(None)),
    }
    found = {name: connection.scalar(query) for name, query in counts.items()}
    return ", ".join(f"{count} {name}" for name, count in found.items() if count)


@dataclass
class Books:
    """All that anybody knows of a run."""

    connection: Connection
    keyring: Keyring
    funnel: Funnel
    post: Post
    crowd: Crowd
    journal: Journal

    def rows(self, query: Any) -> Sequence[Any]:
        return self.connection.execute(query).all()

    def mails_of_lessons(self) -> list[Taken]:
        return [mail for mail in self.post.taken if mail.is_lesson]


def settle_account(
    connection: Connection, keyring: Keyring, funnel: Funnel, post: Post, crowd: Crowd, journal: Journal
) -> Account:
    books, account = Books(connection, keyring, funnel, post, crowd, journal), Account()
    account.lessons = len({(mail.to, mail.subject) for mail in books.mails_of_lessons()})
    _duplicates(books, account)
    lost = [*_unsent(books), *_unfinished(books)]
    account.lost = len(lost)
    account.problems += [*lost, *_unknown_to_us(books), *_attempts(books), *_after_leaving(books), *_aftermath(books)]
    account.counts.update(f"batches {row.state}" for row in books.rows(select(batch.c.state)))
    account.counts.update(f"courses {row.state}" for row in books.rows(select(enrollment.c.state)))
    account.counts["attempts that were accepted"] = sum(map(len, post.attempts().values()))
    account.counts["batches handed over again"] = len(books.rows(select(batch.c.id).where(batch.c.resent > 0)))
    return account


def _duplicates(books: Books, account: Account) -> None:
    by_lesson = defaultdict(list)
    for mail in books.mails_of_lessons():
        by_lesson[mail.to, mail.subject].append(mail)
    past = Past(books.journal)
    reasons: dict[tuple[str, str], int] = Counter()
    for copies in by_lesson.values():
        copies.sort(key=lambda mail: mail.attempt)
        for first, again in pairwise(copies):
            why = _why_twice(books.post, past, first, again)
            account.duplicates += 1
            if why is None:
                account.doubled += 1
                account.problems.append(f"doubled without an excuse: {first} and {again}")
            else:
                reasons[first.uid, why] += 1
    account.explained = [f"batch {uid}: {count} recipients; {why}" for (uid, why), count in reasons.items()]


class Past:
    """What the processes told of attempts and of the sweep's decisions about them, by (uid, attempt)."""

    def __init__(self, journal: Journal) -> None:
        self.started = {(told["uid"], told["attempt"]): told["started_ms"] for told in journal.lines("handed")}
        self.settled = {(told["uid"], told["attempt"]): told["state"] for told in journal.lines("settled")}
        self.resent = defaultdict(list)
        self.assumed = []
        for told in journal.lines("decided"):
            if told["cause"] == Cause.RESEND:
                self.resent[told["uid"], told["attempt"]].append(told["now_ms"])
            else:
                self.assumed.append(told["uid"])


def _why_twice(post: Post, past: Past, first: Taken, again: Taken) -> str | None:
    """The ambiguous answer and the long silence by which a mail may have gone twice; None without them."""
    if (first.uid, first.message_id) != (again.uid, again.message_id) or first.attempt >= again.attempt:
        return None
    name = first.uid, first.attempt
    said = past.settled.get(name)
    if said not in (None, State.UNKNOWN):
        return None
    answer = first.fault or ("its answer was never recorded: a kill came before" if said is None else None)
    told_ms = post.told.get(name, 2**62)
    decided = [moment for moment in past.resent[name] if moment < again.at_ms]
    if answer is None or not decided or not past.started[name] + post.silence_ms <= decided[0] < told_ms:
        return None
    how = "kept silent on purpose" if name in post.muted else "came late"
    return f"attempt {first.attempt}: {answer}; the webhook {how}, {told_ms - first.at_ms} ms after it was accepted"


def _unsent(books: Books) -> Iterator[str]:
    """What the database says was sent, and the provider has never had."""
    accepted = {mail.message_id for mail in books.mails_of_lessons()}
    for row in _sent(books):
        if _message_id(books, Use.LESSON_ID, row.id) not in accepted:
            yield f"lost: delivery {row.id} of batch {row.uid} counts as sent ({row.reason})"
    asked = and_(batch.c.id == notice.c.batch_id, batch.c.state == State.ACCEPTED)
    notices = {mail.message_id for mail in books.post.taken if not mail.is_lesson}
    for row in books.rows(select(notice.c.id, batch.c.uid).join(batch, asked).where(notice.c.state.is_(None))):
        if _message_id(books, Use.NOTICE_ID, row.id) not in notices:
            yield f"lost: notice {row.id} of batch {row.uid} counts as sent"


def _sent(books: Books) -> Iterator[Any]:
    columns = (delivery.c.id, delivery.c.state, batch.c.uid, batch.c.reason, batch.c.state.label("batch_state"))
    for row in books.rows(select(*columns).join(batch, batch.c.id == delivery.c.batch_id)):
        if (row.state or row.batch_state) in HANDED_OVER:
            yield row


def _unknown_to_us(books: Books) -> Iterator[str]:
    """What the provider has had, and the database does not count as sent."""
    known = {_message_id(books, Use.LESSON_ID, row.id) for row in _sent(books)}
    for mail in {mail.message_id: mail for mail in books.mails_of_lessons()}.values():
        if mail.message_id not in known:
            yield f"the provider has it, the ledger does not: {mail}"


def _attempts(books: Books) -> Iterator[str]:
    """The attempts that are proven are those that the provider accepted; what nobody decided stands open."""
    truth = books.post.attempts()
    for row in books.rows(select(batch)):
        mask = sum({bit(attempt) for attempt in truth.get(row.uid, {})})
        if row.proven != mask:
            yield f"batch {row.uid}: attempts {row.proven:b} are proven, {mask:b} were accepted"
        if row.state in OPEN or row.state == State.FAILED:
            yield f"batch {row.uid} is {row.state}: {row.reason}"
    uids = {row.uid for row in books.rows(select(batch.c.uid))}
    yield from (f"batch {uid} was accepted and is forgotten" for uid in truth if uid not in uids)
    yield from (f"batch {uid} was assumed to be sent" for uid in Past(books.journal).assumed)


def _unfinished(books: Books) -> Iterator[str]:
    """Every reader who wanted the notes has had each of the last course's, in order."""
    subjects = defaultdict(list)
    for mail in sorted(books.mails_of_lessons(), key=lambda mail: mail.at_ms):
        subjects[mail.to].append(mail.message_id)
    keys = {row.id: row.key for row in books.rows(select(lesson.c.id, lesson.c.key))}
    delivered = books.rows(select(delivery.c.id, delivery.c.lesson_id))
    lesson_of = {_message_id(books, Use.LESSON_ID, row.id): keys[row.lesson_id] for row in delivered}
    people = {row.address_hash: row for row in books.rows(select(subscriber))}
    courses = defaultdict(list)
    for row in books.rows(select(enrollment).order_by(enrollment.c.id)):
        courses[row.subscriber_id].append(row)
    for reader in books.crowd.readers.values():
        person = people.get(books.keyring.address_hashes(reader.address)[0])
        theirs = courses[person.id] if person else []
        if not theirs:
            yield f"lost: {reader} has no course"
            continue
        had = [lesson_of.get(message_id, "?") for message_id in dict.fromkeys(subjects[reader.address])]
        yield from _course_problems(books.funnel, reader, person, theirs, had)


def _course_problems(funnel: Funnel, reader: Reader, person: Any, courses: list[Any], had: list[str]) -> Iterator[str]:
    for pattern in funnel.patterns.values():
        order = [each.key for each in pattern.lessons]
        mine = [key for key in had if key in order]
        if mine != sorted(mine, key=order.index):
            yield f"{reader}: out of order: {mine}"
    stopped = person.state in (Standing.UNSUBSCRIBED, Standing.SUPPRESSED)
    if reader.leaving and not stopped:
        yield f"{reader} wanted to leave and is {person.state}"
    if stopped:
        return
    last = courses[-1]
    wanted = {each.key for each in funnel.patterns[last.pattern].lessons}
    if last.state != Enrolled.FINISHED or any(row.state in LIVE for row in courses):
        yield f"lost: {reader}: courses {[(row.pattern, row.state, row.reason) for row in courses]}"
    if missing := wanted - set(had):
        yield f"lost: {reader} has never had {sorted(missing)}"


def _after_leaving(books: Books) -> Iterator[str]:
    """Nobody gets a lesson of a batch that was started after the site had said that no more would come."""
    started = Past(books.journal).started
    for mail in books.mails_of_lessons():
        reader = books.crowd.readers.get(mail.to)
        if reader and reader.left_ms is not None and started[mail.uid, mail.attempt] > reader.left_ms:
            yield f"{reader} had left, and got {mail}"


def _aftermath(books: Books) -> Iterator[str]:
    yield from (f"enrollment {id_} is in {count} places" for id_, count in misplaced(books.connection))
    for row in books.rows(select(hold).where(hold.c.until_ms.is_(None))):
        yield f"{row.scope} is held: {row.reason}"


def _message_id(books: Books, use: Use, subject: int) -> str:
    domain = books.funnel.sender.address.rpartition("@")[2]
    return f"<{links.token(books.keyring.link_key, use, subject)}@{domain}>"
