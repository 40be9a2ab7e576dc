"""Editing a running course: the worst published bugs of this field, each as a promise."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from funnel.core.consent import Enrolled
from funnel.core.delivery import ACCEPTED, Report
from funnel.core.moving import Policy
from funnel.core.schedule import DAY_MS, HOUR_MS
from funnel.flow import publish, rebooking
from funnel.flow.publish import UNDO_MS
from funnel.keyring import Keyring
from funnel.store import publications
from funnel.store.db import reading
from funnel.store.tables import delivery, due, enrollment, moved, publication
from tests.conftest import Clock, make_tools
from tests.desk import KITCHEN, MORNING, Desk
from tests.world import ALICE, BOB, CHARLIE

GENTLE, NEW_ONLY, ALONG, CATCH_UP = Policy
each_policy = pytest.mark.parametrize("policy", Policy)


@pytest.fixture
def desk(engine: Engine, keyring: Keyring, clock: Clock, tmp_path: Path) -> Desk:
    """Alice has had a and b, and waits for c; Bob has had a, and waits for b."""
    found = Desk(make_tools(engine, keyring), clock, tmp_path)
    found.publish("a", "b", "c", "d", "e")
    found.join(ALICE)
    found.days(1)
    found.join(BOB)
    found.work()
    assert found.next_lessons() == ["b", "c"] or found.next_lessons() == ["c", "b"]
    return found


def moment(desk: Desk, key: str) -> float:
    return dict(desk.waits())[key]


def end(desk: Desk) -> tuple[str, str]:
    """What Alice and Bob have had once all is over, as one letter a lesson."""
    desk.days(20)
    assert {row.state for row in desk.rows(enrollment)} == {Enrolled.FINISHED}
    assert desk.rows(due) == []
    return "".join(desk.lessons(ALICE)), "".join(desk.lessons(BOB))


@each_policy
def test_deleting_the_lesson_that_people_wait_for_sends_them_on_and_repeats_nothing(desk: Desk, policy: Policy) -> None:
    before = moment(desk, "c")
    desk.publish("a", "b", "d", "e", policy=policy)
    assert sorted(desk.next_lessons()) == ["b", "d"]
    assert moment(desk, "d") >= before
    assert end(desk) == ("abde", "abde")


@each_policy
def test_deleting_a_lesson_that_was_had_restarts_nobody(desk: Desk, policy: Policy) -> None:
    before = desk.rows(due)
    desk.publish("b", "c", "d", "e", policy=policy)
    assert desk.rows(due) == before
    assert end(desk) == ("abcde", "abcde")


@each_policy
def test_deleting_all_that_is_left_finishes_who_has_had_the_rest(desk: Desk, policy: Policy) -> None:
    desk.publish("a", "b", policy=policy)
    assert desk.next_lessons() == ["b"]
    assert end(desk) == ("ab", "ab")


@pytest.mark.parametrize(
    ("policy", "alice", "bob"),
    [(GENTLE, "abdec", "adebc"), (NEW_ONLY, "abcde", "abdec"), (ALONG, "abdec", "adebc"), (CATCH_UP, "abdec", "adebc")],
)
def test_reordering_repeats_nothing_and_the_rest_comes_in_the_new_order(
    desk: Desk, policy: Policy, alice: str, bob: str
) -> None:
    desk.publish("a", "d", "e", "b", "c", policy=policy)
    assert end(desk) == (alice, bob)


@pytest.mark.parametrize(
    ("where", "policy", "alice", "bob"),
    [
        # Before b: Bob stands there, and Alice is past it.
        ("axbcde", GENTLE, "abcde", "axbcde"),
        ("axbcde", NEW_ONLY, "abcde", "abcde"),
        ("axbcde", ALONG, "abcde", "axbcde"),
        ("axbcde", CATCH_UP, "abxcde", "axbcde"),
        # Before c: Alice stands there, and Bob has it to come.
        ("abxcde", GENTLE, "abxcde", "abxcde"),
        ("abxcde", NEW_ONLY, "abcde", "abxcde"),
        ("abxcde", CATCH_UP, "abxcde", "abxcde"),
        # After both, and at the end.
        ("abcxde", GENTLE, "abcxde", "abcxde"),
        ("abcxde", NEW_ONLY, "abcxde", "abcxde"),
        ("abcdex", GENTLE, "abcdex", "abcdex"),
        # Before everything.
        ("xabcde", GENTLE, "abcde", "abcde"),
        ("xabcde", CATCH_UP, "abxcde", "axbcde"),
    ],
)
def test_an_inserted_lesson_comes_to_whom_the_policy_says(
    desk: Desk, where: str, policy: Policy, alice: str, bob: str
) -> None:
    desk.publish(*(f"{key}: 1 day; {MORNING}" for key in where), policy=policy)
    desk.join(CHARLIE)
    desk.days(20)
    assert ("".join(desk.lessons(ALICE)), "".join(desk.lessons(BOB))) == (alice, bob)
    assert "".join(desk.lessons(CHARLIE)) == where


@pytest.mark.parametrize(
    ("wait", "policy", "later"),
    [
        ("3 days", GENTLE, 0),
        ("3 days", NEW_ONLY, 0),
        ("3 days", CATCH_UP, 0),
        ("3 days", ALONG, 2),
        ("1 hour", GENTLE, 0),
        ("1 hour", NEW_ONLY, 0),
    ],
)
def test_a_longer_or_shorter_wait_moves_those_who_wait_only_along(
    desk: Desk, wait: str, policy: Policy, later: int
) -> None:
    before = moment(desk, "c")
    desk.publish("a", "b", f"c: {wait}; {MORNING}", "d", "e", policy=policy)
    assert moment(desk, "c") == pytest.approx(before + later)
    assert end(desk) == ("abcde", "abcde")


@each_policy
def test_nobody_is_moved_into_the_past_or_into_an_hour_that_has_begun(desk: Desk, policy: Policy) -> None:
    desk.publish("a", "b: 20 days", "c: 20 days", "d: 20 days", "e")
    desk.days(3)
    assert sorted(desk.next_lessons()) == ["c", "d"]
    desk.days(10)
    now_ms = desk.clock()
    desk.publish("a", "b: 1 hour", "c: 1 hour", "d: 1 hour", "e", policy=policy)
    assert min(row.due_ms for row in desk.rows(due)) >= now_ms - now_ms % HOUR_MS + HOUR_MS
    assert len(desk.lessons(ALICE)) == 3


def test_missed_lessons_are_caught_up_at_most_one_a_day(desk: Desk) -> None:
    hurried = [f"{key}: 1 hour" for key in "uvwabcde"]
    desk.publish(*hurried, policy=CATCH_UP)
    sent: list[tuple[int, int]] = []
    for _ in range(24 * 6):
        known = len(desk.lessons(ALICE))
        desk.work()
        sent.append((desk.clock(), len(desk.lessons(ALICE)) - known))
        desk.clock.forward(hours=1)
    assert "".join(desk.lessons(ALICE))[:5] == "abuvw"
    at = [at_ms for at_ms, count in sent if count][:3]
    assert at[1] - at[0] >= DAY_MS
    assert at[2] - at[1] >= DAY_MS


@each_policy
def test_a_condition_that_is_dropped_sends_nobody_back_unless_they_catch_up(desk: Desk, policy: Policy) -> None:
    only = 'only-if = { secondary = "improviser" }'
    desk.publish("a", f"b: 1 day; {MORNING}", f"x: 1 day; {only}", "c", "d", "e")
    desk.days(2)
    assert "".join(desk.lessons(ALICE)) == "abcd"
    desk.publish("a", "b", "x", "c", "d", "e", policy=policy)
    alice, _ = end(desk)
    assert alice == ("abcdxe" if policy == CATCH_UP else "abcde")


def test_whoever_waits_for_a_lesson_that_is_not_for_them_any_more_goes_on(desk: Desk) -> None:
    only = 'only-if = { secondary = "improviser" }'
    desk.publish("a", f"b: 1 day; {only}", "c", "d", "e")
    assert sorted(desk.next_lessons()) == ["c", "c"]
    assert end(desk) == ("abcde", "acde")


def test_two_publications_in_a_row_while_lessons_are_on_their_way(desk: Desk) -> None:
    desk.clock.forward(days=1)
    started = desk.start_all()
    assert sum(len(each.rows) for each in started) == 2
    desk.publish("a", "x", "b", "c", "d", "e")
    desk.publish("a", "x", "e", "d", "b", "c", policy=ALONG)
    for each in started:
        report = desk.provider.hand_over(each.mailing)
        assert report == Report(ACCEPTED)
        assert desk.settle(each, report)
    alice, bob = end(desk)
    assert (alice, bob) == ("abced", "abedc")


def test_a_lesson_that_is_on_its_way_is_sent_though_it_is_deleted_meanwhile(desk: Desk) -> None:
    desk.clock.forward(days=1)
    started = desk.start_all()
    desk.publish("a", "e")
    for each in started:
        assert desk.settle(each, desk.provider.hand_over(each.mailing))
    assert end(desk) == ("abce", "abe")


def test_a_rollback_publishes_the_old_revision_as_a_new_entry(desk: Desk) -> None:
    first = desk.revision_id()
    second = desk.publish("a", "b", "d", "e")
    assert publish.rollback(desk.tools, KITCHEN, None, desk.clock()) is None
    desk.move()
    assert desk.revision_id() == first
    assert [(row.kind, row.revision_id) for row in desk.rows(publication)] == [
        ("publish", first),
        ("publish", second),
        ("rollback", first),
    ]
    assert end(desk) == ("abcde", "abcde")


def test_a_rollback_to_nowhere_is_refused(desk: Desk) -> None:
    assert "no earlier revision" in (publish.rollback(desk.tools, KITCHEN, None, desk.clock()) or "")
    assert "already" in (publish.rollback(desk.tools, KITCHEN, desk.revision_id(), desk.clock()) or "")
    assert "no revision" in (publish.rollback(desk.tools, KITCHEN, "0" * 64, desk.clock()) or "")
    assert len(desk.rows(publication)) == 1


@each_policy
def test_undoing_puts_everybody_back_who_has_not_been_mailed_since(desk: Desk, policy: Policy) -> None:
    before, first = desk.rows(due), desk.revision_id()
    desk.publish("e", "d: 3 hours", "a", "x: 5 days", policy=policy)
    desk.clock.forward(hours=1)
    assert publish.undo(desk.tools, KITCHEN, desk.clock()) is None
    desk.move()
    assert desk.rows(due) == before
    assert desk.revision_id() == first
    assert end(desk) == ("abcde", "abcde")


def test_undoing_leaves_whoever_has_been_mailed_since_where_they_are(desk: Desk) -> None:
    desk.publish("a", "x: 1 hour", "b", "y: 9 days", "c", "d", "e", policy=ALONG)
    desk.clock.forward(hours=2)
    desk.work()
    assert desk.lessons(BOB) == ["a", "x"]
    assert sorted(desk.next_lessons()) == ["b", "y"]
    assert publish.undo(desk.tools, KITCHEN, desk.clock()) is None
    desk.move()
    assert sorted(desk.next_lessons()) == ["b", "c"]
    assert end(desk) == ("abcde", "axbcde")


def test_undoing_brings_back_whoever_the_change_had_finished(desk: Desk) -> None:
    before = desk.rows(due)
    desk.publish("a", "b")
    assert [row.state for row in desk.rows(enrollment)] == [Enrolled.FINISHED, Enrolled.ACTIVE]
    assert publish.undo(desk.tools, KITCHEN, desk.clock()) is None
    desk.move()
    assert desk.rows(due) == before


def test_what_an_undo_finds_overdue_comes_at_the_next_good_hour(desk: Desk) -> None:
    desk.publish("a", "b: 30 days", "c: 30 days", "d", "e", policy=ALONG)
    desk.clock.forward(days=5)
    assert publish.undo(desk.tools, KITCHEN, desk.clock()) is None
    desk.move()
    assert {key: 0 < days < 1 for key, days in desk.waits()} == {"b": True, "c": True}


def test_only_the_last_publications_can_be_undone_and_only_for_a_while(desk: Desk) -> None:
    assert "no publication" in (publish.undo(desk.tools, KITCHEN, desk.clock()) or "")
    first, second = desk.revision_id(), desk.publish("a", "b", "c")
    desk.publish("a", "b")
    assert publish.undo(desk.tools, KITCHEN, desk.clock()) is None
    assert desk.revision_id() == second
    assert publish.undo(desk.tools, KITCHEN, desk.clock()) is None
    assert desk.revision_id() == first
    assert "no publication" in (publish.undo(desk.tools, KITCHEN, desk.clock()) or "")
    desk.publish("a", "b")
    desk.clock.now_ms += UNDO_MS + 1
    assert "older than 14 days" in (publish.undo(desk.tools, KITCHEN, desk.clock()) or "")
    assert desk.rows(moved) != []
    for _ in range(20):
        rebooking.go_on(desk.tools, desk.clock())
    assert desk.rows(moved) == []


AFTER_ALL = f"z: 2 days; {MORNING}; after-all = true"


@pytest.mark.parametrize(("policy", "reopens"), [(GENTLE, True), (NEW_ONLY, False), (ALONG, True), (CATCH_UP, True)])
def test_only_an_after_all_lesson_reopens_who_had_finished(desk: Desk, policy: Policy, reopens: bool) -> None:
    desk.days(20)
    desk.publish("a", "b", "x", "c", "d", "e", "y", policy=policy)
    assert desk.rows(due) == []
    desk.publish("a", "b", "x", "c", "d", "e", "y", AFTER_ALL, policy=policy)
    assert desk.next_lessons() == (["z", "z"] if reopens else [])
    assert end(desk) == (("abcdez", "abcdez") if reopens else ("abcde", "abcde"))


def test_undoing_an_after_all_lesson_closes_what_it_opened(desk: Desk) -> None:
    desk.days(20)
    desk.publish("a", "b", "c", "d", "e", AFTER_ALL)
    assert desk.next_lessons() == ["z", "z"]
    assert publish.undo(desk.tools, KITCHEN, desk.clock()) is None
    desk.move()
    assert end(desk) == ("abcde", "abcde")


def test_moving_goes_on_where_it_stopped_while_sending_goes_on(desk: Desk) -> None:
    for number in range(5):
        desk.join(f"reader-{number}@example.org")
    desk.work()
    desk.write("a", "b: 9 days", "c", "d", "e")
    publish.publish(desk.tools, desk.root, desk.clock(), publish.Note(policy=ALONG))
    with reading(desk.tools.engine) as connection:
        [id_] = publications.unfinished(connection)
    looked_at = 0
    for _ in range(3):
        part = rebooking.move_some(desk.tools, id_, desk.clock(), limit=2)  # and then the process dies
        assert part is not None
        looked_at += part.seen
        desk.clock.forward(hours=12)
        desk.work()
    assert 0 < looked_at < 12
    while rebooking.go_on(desk.tools, desk.clock(), limit=2):
        pass
    assert [row.state for row in desk.rows(publication)] == ["done", "done"]
    desk.days(40)
    for number in range(5):
        assert "".join(desk.lessons(f"reader-{number}@example.org")) == "abcde"
    assert len({(row.subscriber_id, row.lesson_id) for row in desk.rows(delivery)}) == len(desk.rows(delivery))


def test_whoever_is_being_looked_at_by_another_mover_is_left_to_it(desk: Desk) -> None:
    desk.write("a", "b", "d", "e")
    publish.publish(desk.tools, desk.root, desk.clock())
    with reading(desk.tools.engine) as connection:
        [id_] = publications.unfinished(connection)
    desk.move()
    done = rebooking.move_some(desk.tools, id_, desk.clock())
    assert done == rebooking.Part(0, 0, done=True)


def test_a_text_that_changes_moves_nobody_and_looks_at_nobody(desk: Desk) -> None:
    page = desk.root / f"sequences/{KITCHEN}/landing.md"
    page.write_text(page.read_text() + "\nOne more line.\n")
    before = desk.rows(due)
    desk.publish()
    assert [row.state for row in desk.rows(publication)] == ["done", "done"]
    assert desk.rows(due) == before
