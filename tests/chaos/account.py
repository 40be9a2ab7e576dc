"""What must hold at the end: the provider's ledger, the database and the readers' mailboxes tell the same story."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, and_, func, select, text

from funnel.core.consent import Enrolled, Standing
from funnel.core.delivery import HANDED_OVER, State, bit
from funnel.core.sequence import Funnel
from funnel.flow.sweep import RESEND
from funnel.store.enrollments import LIVE
from funnel.store.tables import batch, delivery, enrollment, hold, lesson, notice, subscriber
from funnel.store.tables import event as told_event
from tests.chaos.crowd import Crowd, Reader
from tests.chaos.journal import Journal
from tests.chaos.names import Names
from tests.chaos.past import Past, excuse, undue
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
SENDGRID = "sendgrid"
OPEN = (State.PLANNED, State.STARTED, State.UNKNOWN)


@dataclass
class Account:
    """`explained`: duplicates, a line each, by who decided them in `causes`; the others are among the `problems`.

    `in_doubt`: lessons that nobody had, and that a person counted as sent, or whose reader changed course in the doubt.
    """

    problems: list[str] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    decided: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    in_doubt: int = 0
    lessons: int = 0
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
    """All that anybody knows of a run. `forgiven`: messages that nobody had, though for all that was known they had: a
    person counted them as sent, or their reader changed course in the doubt, and must not get them under another name.
    """

    connection: Connection
    names: Names
    funnel: Funnel
    post: Post
    crowd: Crowd
    past: Past
    forgiven: frozenset[str]
    mails: list[Taken]

    def rows(self, query: Any) -> Sequence[Any]:
        return self.connection.execute(query).all()

    def lessons(self) -> list[Taken]:
        return [mail for mail in self.mails if mail.is_lesson]

    def attempts(self) -> dict[str, set[int]]:
        """uid → the attempts that were accepted, at least in part."""
        found: dict[str, set[int]] = defaultdict(set)
        for mail in self.mails:
            found[mail.uid].add(mail.attempt)
        return found


def settle_account(
    connection: Connection, names: Names, funnel: Funnel, post: Post, crowd: Crowd, journal: Journal, silence_ms: int
) -> Account:
    past, account = Past(journal), Account()
    had = {mail.message_id for mail in post.taken}
    counted = {message_id for told in past.assumed for message_id in told.get("messages", ())}
    mails = [past.named(mail) for mail in post.taken]
    left = _left_in_doubt(connection, names)
    books = Books(connection, names, funnel, post, crowd, past, frozenset((counted | left.keys()) - had), mails)
    account.lessons = len({(mail.to, mail.subject) for mail in books.lessons()})
    account.in_doubt = len(books.forgiven)
    _duplicates(books, account)
    account.problems += [f"{each} is unknown without a doubt" for each in left if not past.decisions(each, left[each])]
    lost = [*_unsent(books), *_unfinished(books)]
    account.lost = len(lost)
    resends = funnel.unknown == RESEND
    account.problems += [*lost, *undue(past, post, silence_ms, resends=resends)]
    account.problems += [*_unknown_to_us(books), *_settled(books), *_after_leaving(books), *_aftermath(books)]
    account.decided = _decided(books)
    account.counts.update(f"batches {row.state}" for row in books.rows(select(batch.c.state)))
    account.counts.update(f"courses {row.state}" for row in books.rows(select(enrollment.c.state)))
    account.counts["attempts that were accepted"] = sum(map(len, books.attempts().values()))
    return account


def _left_in_doubt(connection: Connection, names: Names) -> dict[str, str]:
    """Messages that were to be sent once more when their readers did not want them any more → where they are now."""
    uids = select(delivery.c.id, batch.c.uid).join(batch, batch.c.id == delivery.c.batch_id)
    rows = connection.execute(uids.where(delivery.c.state == State.UNKNOWN))
    return {names.of_lesson(row.id): row.uid for row in rows}


def _duplicates(books: Books, account: Account) -> None:
    by_lesson = defaultdict(list)
    for mail in books.lessons():
        by_lesson[mail.to, mail.subject].append(mail)
    reasons: dict[tuple[str, str, str], int] = Counter()
    for copies in by_lesson.values():
        copies.sort(key=lambda mail: mail.at_ms)
        for first, again in pairwise(copies):
            why = excuse(books.post, books.past, first, again)
            if why is None:
                account.doubled += 1
                account.problems.append(f"doubled without an excuse: {first} and {again}")
            else:
                account.causes[why[0]] += 1
                reasons[first.uid, *why] += 1
    account.explained = [
        f"batch {uid}: {count} recipients, decided by {by}; {why}" for (uid, by, why), count in reasons.items()
    ]


def _decided(books: Books) -> Counter[str]:
    """Attempts in doubt, by what settled them."""
    decisions = {
        (told["uid"], told["attempt"]): f"by {told['by']}" for told in (*books.past.resent, *books.past.assumed)
    }
    found = Counter(decisions.values())
    for name, told in books.past.handed.items():
        in_doubt = books.past.settled.get(name, {"state": State.UNKNOWN})["state"] == State.UNKNOWN
        told_of = books.post.told_ms(*name) is not None
        found["by a webhook"] += in_doubt and told_of and name not in decisions and bool(told["messages"])
    return found


def _unsent(books: Books) -> Iterator[str]:
    """What the database says was sent, and the provider has never had."""
    accepted = {mail.message_id for mail in books.mails} | books.forgiven
    for row in _sent(books):
        if books.names.of_lesson(row.id) not in accepted:
            yield f"lost: delivery {row.id} of batch {row.uid} counts as sent ({row.reason})"
    asked = and_(batch.c.id == notice.c.batch_id, batch.c.state == State.ACCEPTED)
    for row in books.rows(select(notice.c.id, batch.c.uid).join(batch, asked).where(notice.c.state.is_(None))):
        if books.names.of_notice(row.id) not in accepted:
            yield f"lost: notice {row.id} of batch {row.uid} counts as sent"


def _sent(books: Books) -> Iterator[Any]:
    columns = (delivery.c.id, delivery.c.state, batch.c.uid, batch.c.reason, batch.c.state.label("batch_state"))
    for row in books.rows(select(*columns).join(batch, batch.c.id == delivery.c.batch_id)):
        if (row.state or row.batch_state) in HANDED_OVER:
            yield row


def _unknown_to_us(books: Books) -> Iterator[str]:
    """What the provider has had, and the database does not count as sent.

    Where nothing tells later, a message that was to be sent again may have been refused then, or not wanted any more.
    """
    known = {books.names.of_lesson(row.id) for row in _sent(books)}
    now_in = select(delivery.c.id, batch.c.uid).join(batch, batch.c.id == delivery.c.batch_id)
    uids = {books.names.of_lesson(row.id): row.uid for row in books.rows(now_in)}
    for mail in {mail.message_id: mail for mail in books.lessons()}.values():
        overtaken = books.post.told_ms(mail.uid, mail.attempt) is None and books.past.decisions(
            mail.message_id, uids.get(mail.message_id)
        )
        if mail.message_id not in known and not overtaken:
            yield f"the provider has it, the ledger does not: {mail}"


def _settled(books: Books) -> Iterator[str]:
    """Every batch is at its end; what is proven is what the provider accepted, where it tells of that."""
    truth = books.attempts()
    for row in books.rows(select(batch)):
        mask = sum({bit(attempt) for attempt in truth.get(row.uid, ())})
        if books.post.mail == SENDGRID and row.proven != mask:
            yield f"batch {row.uid}: attempts {row.proven:b} are proven, {mask:b} were accepted"
        if row.state in OPEN or row.state == State.FAILED:
            yield f"batch {row.uid} is {row.state}: {row.reason}"
    uids = {row.uid for row in books.rows(select(batch.c.uid))}
    yield from (f"batch {uid} was accepted and is forgotten" for uid in truth if uid not in uids)


def _unfinished(books: Books) -> Iterator[str]:
    """Every reader who wanted the notes has had each of the last course's, in order."""
    had, excused = _had_and_excused(books)
    people = {row.address_hash: row for row in books.rows(select(subscriber))}
    courses = defaultdict(list)
    for row in books.rows(select(enrollment).order_by(enrollment.c.id)):
        courses[row.subscriber_id].append(row)
    for reader in books.crowd.readers.values():
        person = people.get(books.names.hash_of(reader.address))
        theirs = courses[person.id] if person else []
        if not theirs:
            yield f"lost: {reader} has no course"
        elif not _is_refused(books, reader, theirs[-1]):
            mine = had[reader.address], excused[theirs[-1].subscriber_id]
            yield from _course_problems(books.funnel, reader, person, theirs, *mine)


def _had_and_excused(books: Books) -> tuple[dict[str, list[str]], dict[int, set[str]]]:
    """address → keys of the lessons it has had, in order; subscriber → of those that a person counted as sent."""
    keys = {row.id: row.key for row in books.rows(select(lesson.c.id, lesson.c.key))}
    lesson_of, excused = {}, defaultdict(set)
    for row in books.rows(select(delivery.c.id, delivery.c.lesson_id, delivery.c.subscriber_id)):
        message_id = books.names.of_lesson(row.id)
        lesson_of[message_id] = keys[row.lesson_id]
        if message_id in books.forgiven:
            excused[row.subscriber_id].add(keys[row.lesson_id])
    had: dict[str, list[str]] = defaultdict(list)
    for mail in sorted(books.lessons(), key=lambda mail: mail.at_ms):
        key = lesson_of.get(mail.message_id, "?")
        if key not in had[mail.to]:
            had[mail.to].append(key)
    return had, excused


def _is_refused(books: Books, reader: Reader, course: Any) -> bool:
    """Whether the provider refused this reader for good: then the course is paused, and a person knows why."""
    paused = course.state == Enrolled.PAUSED and course.reason.startswith("refused")
    return bool(paused and reader.address in books.post.refused)


def _course_problems(
    funnel: Funnel, reader: Reader, person: Any, courses: list[Any], had: list[str], excused: set[str]
) -> Iterator[str]:
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
    if missing := wanted - set(had) - excused:
        yield f"lost: {reader}, now in course {last.id} of {len(courses)}, has never had {sorted(missing)}"


def _after_leaving(books: Books) -> Iterator[str]:
    """Nobody gets a lesson of a batch that was started after the site had said that no more would come."""
    for mail in books.lessons():
        reader = books.crowd.readers.get(mail.to)
        started_ms = books.past.handed[mail.uid, mail.attempt]["started_ms"]
        if reader and reader.left_ms is not None and started_ms > reader.left_ms:
            yield f"{reader} had left, and got {mail}"


def _aftermath(books: Books) -> Iterator[str]:
    yield from (f"enrollment {id_} is in {count} places" for id_, count in misplaced(books.connection))
    for row in books.rows(select(hold).where(hold.c.until_ms.is_(None))):
        yield f"{row.scope} is held: {row.reason}"
