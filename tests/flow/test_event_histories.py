"""Random histories of events on real databases, compared with a model of a few lines."""

import secrets
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some
from sqlalchemy import select

from funnel.core.consent import Standing, Suppressed
from funnel.core.delivery import EVIDENCE, Cause, Kind, State, after
from funnel.core.event import CAUSES, KNOWN, SUPPRESSES, why
from funnel.flow import events
from funnel.flow.events import Receipt
from funnel.flow.tools import Tools
from funnel.store import events as store
from funnel.store import revisions
from funnel.store.db import reading, writing
from funnel.store.tables import batch, delivery, due, enrollment, subscriber, suppression
from tests.conftest import NAME, NOON_MS
from tests.fakes.webhook import MORE, Signer, dump
from tests.fakes.webhook import event as told

SIGNER = Signer()
READERS = 3
KINDS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in sorted(KNOWN)),
    ("bounce", {"type": "blocked"}),
    ("dropped", {"reason": "Spam Reporting Address"}),
    ("dropped", {"reason": "Unsubscribed Address"}),
    ("dropped", {"reason": "Spam Content"}),
    ("brand_new", {}),
]


@dataclass(frozen=True)
class Told:
    position: int
    kind: str
    more: dict[str, Any]
    attempt: int
    second: int

    def written(self, uid: str) -> dict[str, Any]:
        # One kind at one moment is one event, whatever its reason: another reason comes at another moment.
        moment = NOON_MS + (10 * KINDS.index((self.kind, self.more)) + self.second) * 1000
        return told(uid, self.position, self.kind, moment, self.attempt, **self.more)

    @property
    def suppresses(self) -> Suppressed | None:
        said = {**MORE.get(self.kind, {}), **self.more}
        words = (said.get(name, "") for name in ("type", "reason", "status"))
        return SUPPRESSES.get(why(self.kind, *words))


@dataclass(frozen=True)
class Start:
    """How a batch stands before its first event: its own state, and its recipients' states."""

    state: State
    own: tuple[State | None, ...]


tellings = some.builds(
    lambda position, kind, attempt, second: Told(position, kind[0], kind[1], attempt, second),
    some.integers(0, READERS),  # one place too many: nobody is there
    some.sampled_from(KINDS),
    some.integers(1, 2),
    some.integers(0, 3),
)
histories = some.lists(some.lists(tellings, max_size=6), min_size=1, max_size=5)
starts = some.builds(
    Start,
    some.sampled_from([State.STARTED, State.UNKNOWN, State.PLANNED, State.ACCEPTED]),
    some.tuples(*[some.sampled_from([None, None, State.SKIPPED, State.FAILED])] * READERS),
)


def begin(tools: Tools, start: Start) -> tuple[str, int]:
    """(uid, id) of a batch with three readers in the first lesson of a course, tried twice."""
    uid = secrets.token_hex(16)
    with writing(tools.engine) as connection:
        revision_id, funnel = tools.current(connection)[NAME]
        pattern = next(iter(funnel.patterns.values()))
        lesson_id = revisions.lesson_ids(connection, NAME)[pattern.lessons[0].key]
        row: dict[str, Any] = {"uid": uid, "kind": "lesson", "funnel": NAME, "revision_id": revision_id}
        row |= {"lesson_id": lesson_id, "segment": "", "state": start.state, "planned_ms": NOON_MS, "attempt": 2}
        row |= {"retries": 0, "provider": "sendgrid", "started_ms": NOON_MS, "size": READERS, "due_ms": NOON_MS}
        batch_id = connection.scalar(batch.insert().values(row).returning(batch.c.id))
        for position, own in enumerate(start.own):
            person: dict[str, Any] = {"address_hash": secrets.token_bytes(32), "sealed": b"-", "state": Standing.ACTIVE}
            person |= {"zone": "Europe/Berlin", "locale": "en", "created_ms": 0, "changed_ms": 0}
            reader = connection.scalar(subscriber.insert().values(person).returning(subscriber.c.id))
            course: dict[str, Any] = {
                "subscriber_id": reader,
                "funnel": NAME,
                "pattern": pattern.key,
                "pace": "as-written",
            }
            course |= {"state": "active", "turn": 1, "created_ms": 0, "changed_ms": 0}
            entered = connection.scalar(enrollment.insert().values(course).returning(enrollment.c.id))
            sent: dict[str, Any] = {
                "subscriber_id": reader,
                "lesson_id": lesson_id,
                "enrollment_id": entered,
                "turn": 1,
            }
            sent |= {"batch_id": batch_id, "position": position, "due_ms": NOON_MS, "state": own}
            connection.execute(delivery.insert().values(sent))
    return uid, int(batch_id or 0)


def tell(tools: Tools, uid: str, found: list[Told]) -> Receipt:
    body, stamp = dump(*(each.written(uid) for each in found)), str(NOON_MS // 1000)
    checks = events.webhook(SIGNER.public)
    assert checks is not None
    return events.receive(tools, checks, SIGNER.sign(stamp, body), stamp, body, NOON_MS)


def stands(tools: Tools, batch_id: int) -> tuple[Any, list[Any]]:
    """What the database says: of the batch, and of each reader."""
    with reading(tools.engine) as connection:
        row = connection.execute(select(batch).where(batch.c.id == batch_id)).one()
        joined = delivery.join(subscriber, subscriber.c.id == delivery.c.subscriber_id).join(
            enrollment, enrollment.c.id == delivery.c.enrollment_id
        )
        columns = (delivery.c.state, subscriber.c.state.label("standing"), subscriber.c.address_hash, enrollment.c.id)
        found = select(*columns, enrollment.c.turn, enrollment.c.state.label("course")).select_from(joined)
        people = []
        for one in connection.execute(found.where(delivery.c.batch_id == batch_id).order_by(delivery.c.position)):
            reasons = select(suppression.c.reason).where(suppression.c.address_hash == one.address_hash)
            to_come = select(due.c.turn).where(due.c.enrollment_id == one.id)
            live = [turn for turn in connection.scalars(to_come) if turn == one.turn and one.course == "active"]
            people.append((one.state, one.standing, one.course, connection.scalar(reasons), len(live)))
        return (row.state, row.proven, row.seen_ms is not None), people


def expected(start: Start, found: list[Told]) -> tuple[Any, list[Any]]:
    """The same, thought out."""
    heard = [each for each in found if each.kind in KNOWN]
    proven = 0
    for each in heard:
        proven |= 1 << each.attempt
    people = []
    for position, own in enumerate(start.own):
        mine = [each for each in heard if each.position == position]
        causes = [CAUSES[each.kind] for each in mine if each.kind in CAUSES]
        state = after(own or State.ACCEPTED, max(causes, key=EVIDENCE.index)) if causes else own
        ranks = list(Suppressed)
        reason = max((each.suppresses for each in mine if each.suppresses), key=ranks.index, default=None)
        standing = {None: Standing.ACTIVE, Suppressed.UNSUBSCRIBED: Standing.UNSUBSCRIBED}.get(
            reason, Standing.SUPPRESSED
        )
        goes_on = bool(heard) and start.state != State.ACCEPTED and own is None and not reason
        shown = None if own is None and state == State.ACCEPTED else state
        people.append((shown, standing, "ended" if reason else "active", reason, int(goes_on)))
    return (State.ACCEPTED if heard else start.state, proven, bool(heard)), people


@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(start=starts, history=histories, repeated=some.randoms(use_true_random=False))
def test_events_in_any_order_twice_or_of_a_forgotten_attempt_leave_everything_right(
    tools: Tools, start: Start, history: list[list[Told]], repeated: Any
) -> None:
    uid, batch_id = begin(tools, start)
    for body in history:
        tell(tools, uid, body)
        if repeated.random() < 0.7:
            events.apply(tools, NOON_MS)
    events.apply(tools, NOON_MS)
    every = [each for body in history for each in body]
    assert stands(tools, batch_id) == expected(start, every)
    repeated.shuffle(every)
    assert tell(tools, uid, every) == (Receipt.REPEATED if every else Receipt.STORED)
    assert events.apply(tools, NOON_MS) == 0
    assert stands(tools, batch_id) == expected(start, every)


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_within_one_body_does_not_matter(tools: Tools, order: int) -> None:
    every = [Told(0, kind, more, 1, 0) for kind, more in KINDS if kind in CAUSES and "reason" not in more][::order]
    start = Start(State.UNKNOWN, (None,) * READERS)
    uid, batch_id = begin(tools, start)
    tell(tools, uid, every)
    events.apply(tools, NOON_MS)
    assert stands(tools, batch_id) == expected(start, every)


def test_who_was_planned_anew_meanwhile_is_not_moved_by_what_is_told_of_before(tools: Tools) -> None:
    start = Start(State.ACCEPTED, (None,) * READERS)
    _, batch_id = begin(tools, start)
    with writing(tools.engine) as connection:
        for id_ in connection.scalars(select(delivery.c.id).where(delivery.c.batch_id == batch_id)).all():
            store.move(connection, Kind.LESSON, Cause.BOUNCE, [(id_, batch_id + 1, None)])
    assert stands(tools, batch_id)[1] == expected(start, [])[1]
