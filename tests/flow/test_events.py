"""The provider's events, from the signed request to what they change. On real databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from funnel.core.delivery import State
from funnel.flow import events, leaving
from funnel.flow.events import Receipt
from funnel.flow.tools import Tools
from funnel.store import events as store
from funnel.store.db import reading, writing
from funnel.store.tables import (
    Record,
    batch,
    delivery,
    due,
    enrollment,
    event,
    metadata,
    subscriber,
    suppression,
)
from tests.fakes.webhook import Signer, dump
from tests.fakes.webhook import event as told
from tests.flow.test_course import subjects
from tests.world import ALICE, BOB, CHARLIE, World

SIGNER = Signer()
CHECKS = events.webhook(SIGNER.public)
UNHEARD = "f" * 32


def tell(world: World, *found: Any, body: bytes | None = None) -> Receipt:
    """What SendGrid posts, received."""
    body = body or dump(*found)
    stamp = str(world.clock() // 1000)
    assert CHECKS is not None
    return events.receive(world.tools, CHECKS, SIGNER.sign(stamp, body), stamp, body, world.clock())


def hear(world: World, *found: Any) -> None:
    """Received and applied."""
    assert tell(world, *found) == Receipt.STORED
    assert events.apply(world.tools, world.clock()) == len(found)


def everything(tools: Tools) -> dict[str, list[tuple[Any, ...]]]:
    with reading(tools.engine) as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }


def lesson_batch(world: World) -> Record:
    return [row for row in world.rows(batch) if row.kind == "lesson"][-1]


@pytest.fixture
def mailed(world: World) -> World:
    """Alice, Bob and Charlie have had their first lesson, out of one batch."""
    world.join_all(ALICE, BOB, CHARLIE)
    world.work()
    return world


@pytest.mark.parametrize(
    ("kind", "more", "state", "standing", "reason"),
    [
        ("processed", {}, None, "active", None),
        ("deferred", {}, "deferred", "active", None),
        ("delivered", {}, "delivered", "active", None),
        ("bounce", {}, "bounced", "suppressed", "bounced"),
        ("bounce", {"type": "blocked"}, "bounced", "active", None),
        ("dropped", {}, "dropped", "suppressed", "bounced"),
        ("dropped", {"reason": "Spam Reporting Address"}, "dropped", "suppressed", "complaint"),
        ("dropped", {"reason": "Unsubscribed Address"}, "dropped", "unsubscribed", "unsubscribed"),
        ("dropped", {"reason": "Invalid"}, "dropped", "suppressed", "bounced"),
        ("dropped", {"reason": "Spam Content"}, "dropped", "active", None),
        ("spamreport", {}, "complained", "suppressed", "complaint"),
        ("unsubscribe", {}, None, "unsubscribed", "unsubscribed"),
        ("group_unsubscribe", {}, None, "unsubscribed", "unsubscribed"),
        ("group_resubscribe", {}, None, "active", None),
        ("open", {}, None, "active", None),
        ("click", {}, None, "active", None),
        ("account_status_change", {}, None, "active", None),
    ],
)
def test_what_an_event_does(
    mailed: World, kind: str, more: dict[str, Any], state: str | None, standing: str, reason: str | None
) -> None:
    hear(mailed, told(lesson_batch(mailed).uid, 1, kind, mailed.clock(), **more))
    assert [row.state for row in mailed.rows(delivery)] == [None, state, None]
    assert [row.state for row in mailed.rows(subscriber)] == ["active", standing, "active"]
    ended = ("ended", reason) if reason else ("active", None)
    assert [(row.state, row.reason) for row in mailed.rows(enrollment)] == [("active", None), ended, ("active", None)]
    bob = mailed.rows(subscriber)[1]
    found = [(row.address_hash, row.reason) for row in mailed.rows(suppression)]
    assert found == ([(bob.address_hash, reason)] if reason else [])
    mailed.days(20)
    assert len(mailed.lessons(BOB)) == (1 if reason else len(subjects(mailed, "freeze")))
    assert mailed.lessons(ALICE) == subjects(mailed, "freeze")


def test_the_next_lesson_is_not_sent_though_it_was_planned_and_even_due(mailed: World) -> None:
    mailed.clock.now_ms = max(row.due_ms for row in mailed.rows(due))
    uid = lesson_batch(mailed).uid
    assert len(mailed.start_all()) == 1  # the second lesson: in the air already
    mailed.days(1)
    mailed.clock.now_ms = max(row.due_ms for row in mailed.rows(due))
    hear(mailed, told(uid, 0, "spamreport", mailed.clock()))
    before = len(mailed.lessons(ALICE))
    mailed.days(20)
    assert len(mailed.lessons(ALICE)) == before
    assert mailed.lessons(BOB) == subjects(mailed, "freeze")


def test_an_exact_repetition_is_told_apart_and_changes_nothing(mailed: World) -> None:
    uid = lesson_batch(mailed).uid
    body = dump(*(told(uid, place, "delivered", mailed.clock()) for place in range(3)))
    assert tell(mailed, body=body) == Receipt.STORED
    events.apply(mailed.tools, mailed.clock())
    before = everything(mailed.tools)
    assert tell(mailed, body=body) == Receipt.REPEATED
    assert events.apply(mailed.tools, mailed.clock()) == 0
    assert everything(mailed.tools) == before


def test_one_new_event_among_old_ones_is_kept(mailed: World) -> None:
    uid = lesson_batch(mailed).uid
    old, new = (told(uid, place, "delivered", mailed.clock()) for place in range(2))
    assert tell(mailed, old, old) == Receipt.STORED
    assert tell(mailed, old, new) == Receipt.STORED
    assert [row.position for row in mailed.rows(event)] == [0, 1]


def test_batches_that_are_none_of_ours_change_nothing(mailed: World) -> None:
    before = everything(mailed.tools)
    strange = told(UNHEARD, 0, "spamreport", mailed.clock())
    assert tell(mailed, strange) == Receipt.STRANGE
    assert tell(mailed, strange, {**strange, "batch": "nonsense"}, {"event": "open"}) == Receipt.STRANGE
    assert everything(mailed.tools) == before


def test_what_is_ours_is_kept_in_whatever_company(mailed: World) -> None:
    good = told(lesson_batch(mailed).uid, 2, "delivered", mailed.clock())
    strange = [{**good, "batch": f"{UNHEARD}.1"}, {**good, "position": "1000"}, {**good, "timestamp": "now"}]
    assert tell(mailed, *strange, good, {"event": "open"}) == Receipt.STORED
    assert [(row.position, row.kind) for row in mailed.rows(event)] == [(2, "delivered")]


@pytest.mark.parametrize("body", [b"[]", b'[{"event": "open", "email": "canary@example.org"}]'])
def test_somebody_elses_mail_is_fine_and_nothing_of_it_is_kept(mailed: World, body: bytes) -> None:
    assert tell(mailed, body=body) == Receipt.STORED
    assert mailed.rows(event) == []


def test_nothing_of_the_providers_words_is_kept_anywhere(mailed: World) -> None:
    uid = lesson_batch(mailed).uid
    kinds = ("processed", "deferred", "bounce", "dropped", "spamreport", "unsubscribe", "canary@example.org")
    hear(mailed, *(told(uid, place % 3, kind, mailed.clock()) for place, kind in enumerate(kinds)))
    kept = repr(everything(mailed.tools))
    for word in ("canary", "550 5.1.1", "nobody here", "filter0001", "203.0.113", "c2VjcmV0"):
        assert word not in kept, word
    assert "other" in kept


def test_a_thousand_events_in_one_body(mailed: World) -> None:
    uid = lesson_batch(mailed).uid
    hear(mailed, *(told(uid, place, "processed", mailed.clock()) for place in range(1000)))
    assert len(mailed.rows(event)) == 1000
    assert {row.handled_ms for row in mailed.rows(event)} == {mailed.clock()}


@pytest.mark.parametrize(("kind", "handled"), [("open", [8, 3, 0]), ("bounce", [2, 1, 0])])
def test_what_costs_more_than_one_call_may_is_left_for_the_next(
    mailed: World, monkeypatch: pytest.MonkeyPatch, kind: str, handled: list[int]
) -> None:
    monkeypatch.setattr(events, "COST_AT_ONCE", 4)
    monkeypatch.setattr(events, "COST_AT_MOST", 8)
    monkeypatch.setattr(events, "SUPPRESSING_COSTS", 4)
    uid = lesson_batch(mailed).uid
    count = sum(handled)
    assert tell(mailed, *(told(uid, place, kind, mailed.clock()) for place in range(count))) == Receipt.STORED
    assert [events.apply(mailed.tools, mailed.clock()) for _ in handled] == handled
    assert {row.handled_ms for row in mailed.rows(event)} == {mailed.clock()}


# Doubt, settled by evidence


@pytest.fixture
def doubtful(world: World) -> World:
    """Alice's and Bob's first lesson was handed over, and the worker was killed before it could say so."""
    world.join_all(ALICE, BOB)
    assert len(world.start_all()) == 1
    world.clock.forward(seconds=16)
    with writing(world.tools.engine) as connection:
        connection.execute(batch.update().where(batch.c.kind == "lesson").values(state=State.UNKNOWN))
    return world


def test_any_event_of_a_batch_proves_all_of_it_and_the_courses_go_on(doubtful: World) -> None:
    hear(doubtful, told(lesson_batch(doubtful).uid, 1, "deferred", doubtful.clock()))
    row = lesson_batch(doubtful)
    assert (row.state, row.proven, row.seen_ms) == (State.ACCEPTED, 0b10, doubtful.clock())
    assert len(doubtful.rows(due)) == 2


def test_an_event_of_a_kind_that_nobody_knows_proves_nothing(doubtful: World) -> None:
    hear(doubtful, told(lesson_batch(doubtful).uid, 1, "account_status_change", doubtful.clock()))
    row = lesson_batch(doubtful)
    assert (row.state, row.proven, row.seen_ms) == (State.UNKNOWN, 0, None)


def test_evidence_of_a_forgotten_attempt_stops_the_second_one(doubtful: World) -> None:
    with writing(doubtful.tools.engine) as connection:
        planned = {"state": State.PLANNED, "planned_ms": doubtful.clock(), "owner": None}
        connection.execute(batch.update().where(batch.c.kind == "lesson").values(planned))
    hear(doubtful, told(lesson_batch(doubtful).uid, 0, "processed", doubtful.clock(), attempt=1))
    doubtful.work()
    assert doubtful.lessons(ALICE) == []  # that is: not once more
    assert lesson_batch(doubtful).attempt == 1


def test_evidence_of_two_attempts_is_two_bits(doubtful: World) -> None:
    with writing(doubtful.tools.engine) as connection:
        connection.execute(batch.update().where(batch.c.kind == "lesson").values(attempt=2))
    uid = lesson_batch(doubtful).uid
    hear(doubtful, *(told(uid, 0, "delivered", doubtful.clock(), attempt=attempt) for attempt in (1, 2)))
    assert lesson_batch(doubtful).proven == 0b110


def test_the_first_event_of_a_batch_is_remembered_by_when_it_came(mailed: World) -> None:
    first = mailed.clock()
    uid = lesson_batch(mailed).uid
    tell(mailed, told(uid, 0, "processed", first - 60_000))
    mailed.clock.forward(hours=1)
    tell(mailed, told(uid, 0, "delivered", mailed.clock()))
    events.apply(mailed.tools, mailed.clock())
    assert lesson_batch(mailed).seen_ms == first


def test_an_event_of_somebody_who_has_withdrawn_is_done_with(mailed: World) -> None:
    uid = lesson_batch(mailed).uid
    leaving.withdraw(mailed.tools, mailed.rows(delivery)[0].id, mailed.clock())
    before = mailed.rows(delivery)[0]
    hear(mailed, told(uid, 0, "delivered", mailed.clock()))
    assert mailed.rows(delivery)[0] == before


def test_nobody_applies_events_while_somebody_else_does(mailed: World) -> None:
    if mailed.tools.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time anyway")
    tell(mailed, told(lesson_batch(mailed).uid, 0, "delivered", mailed.clock()))
    with writing(mailed.tools.engine) as connection:
        assert store.is_alone(connection)
        assert events.apply(mailed.tools, mailed.clock()) == 0
    assert events.apply(mailed.tools, mailed.clock()) == 1


def test_requests_that_tell_the_same_at_once_do_not_get_in_each_others_way(mailed: World) -> None:
    uid = lesson_batch(mailed).uid
    found = [told(uid, place, "processed", mailed.clock()) for place in range(300)]
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(lambda part: tell(mailed, *part), [found, found[::-1], found[100:], found[:200]] * 3))
    assert set(receipts) <= {Receipt.STORED, Receipt.REPEATED}
    assert len(mailed.rows(event)) == 300


# What it costs


def test_the_next_events_are_found_by_index_alone(tools: Tools) -> None:
    shown = explained(tools, lambda connection: store.new(connection, 2000))
    for index in ("ix_event_new", "ix_delivery_batch_id_position", "ix_notice_batch_id_position"):
        assert index in shown
    assert "SCAN event\n" not in shown
    assert "Seq Scan" not in shown


def explained(tools: Tools, run: Callable[[Connection], object]) -> str:
    """The plan of the last statement that `run` executes."""
    with writing(tools.engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        statements: list[tuple[str, Any]] = []
        original = connection.exec_driver_sql

        from sqlalchemy import event as hooks

        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, _many: bool) -> None:
            statements.append((statement, parameters))

        hooks.listen(connection, "before_cursor_execute", note)
        run(connection)
        statement, parameters = statements[-1]
        prefix = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        rows = original(prefix + statement, parameters)
        return "\n".join(str(row[-1]) for row in rows) + "\n"
