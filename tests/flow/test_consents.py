"""The ledger of consents: written once, whole as a proof; and withdrawing, after which nothing tells the pattern."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlalchemy import Engine, LargeBinary, Table
from sqlalchemy.exc import DBAPIError

from funnel.core.consent import Action, Purpose, wording_hash
from funnel.flow import leaving, plan, reaching
from funnel.flow.proof import prove
from funnel.flow.tools import Tools
from funnel.keyring import Keyring
from funnel.store.db import writing
from funnel.store.tables import Record, consent, due, metadata, wording
from tests.conftest import Clock, make_tools
from tests.desk import Desk
from tests.flow.kitchen import Kitchen
from tests.world import ALICE, BOB, World

BUTTON = "::: event cooked\nI cooked\n:::"


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (consent, {"action": Action.CONFIRMED}),
        (consent, {"at_ms": 0}),
        (consent, {"wording_hash": "0" * 64}),
        (wording, {"text": "You may do with it as you like."}),
    ],
)
def test_the_database_itself_lets_nobody_rewrite_what_was_agreed_to(
    world: World, table: Table, change: dict[str, object]
) -> None:
    world.join(ALICE)
    before = world.rows(table)
    with pytest.raises(DBAPIError, match="is never changed"), writing(world.tools.engine) as connection:
        connection.execute(table.update().values(change))
    assert world.rows(table) == before


def test_erasing_may_delete_what_somebody_agreed_to(world: World) -> None:
    world.join(ALICE)
    world.join(BOB)
    with writing(world.tools.engine) as connection:
        connection.execute(consent.delete().where(consent.c.subscriber_id == 1))
    assert {row.subscriber_id for row in world.rows(consent)} == {2}


def test_the_ledger_has_no_place_for_where_somebody_came_from() -> None:
    assert set(consent.c.keys()) == {
        *("id", "subscriber_id", "signup_id", "purpose", "wording_hash", "revision_id", "locale", "action", "at_ms")
    }


def test_the_proof_holds_each_wording_in_full_and_every_step(world: World) -> None:
    began = world.clock()
    world.sign_up(ALICE)
    world.clock.forward(hours=1)
    world.join(ALICE)
    world.work()
    world.clock.forward(hours=1)
    leaving.unsubscribe(world.tools, 1, world.clock())
    leaving.undo_unsubscribe(world.tools, 1, world.clock())
    world.clock.forward(hours=1)
    leaving.withdraw(world.tools, 1, world.clock())
    found = prove(world.tools, " Alice@Example.org")
    assert found is not None
    texts = world.funnel().wordings
    assert [(each.purpose, each.wording) for each in found] == [*texts.items()] * 2
    assert all(each.is_proven and each.wording_hash == wording_hash(each.wording or "") for each in found)
    assert {(each.funnel, each.locale, each.revision) for each in found} == {
        ("erotic-survival-pattern", "en", world.revision_id())
    }
    hour_ms = 3_600_000
    given, confirmed = ("given", began + hour_ms), ("confirmed", began + hour_ms)
    undone = [("withdrawn", began + 2 * hour_ms), ("confirmed", began + 2 * hour_ms)]
    steps = {
        Purpose.SENSITIVE: [given, confirmed, ("withdrawn", began + 3 * hour_ms)],
        Purpose.COURSE: [given, confirmed, *undone, ("withdrawn", began + 3 * hour_ms)],
    }
    for number, each in enumerate(found):
        told = [(step.action, step.at_ms) for step in each.steps]
        assert told == ([("given", began)] if number < len(texts) else steps[Purpose(each.purpose)])
        assert not each.stands


def test_what_stands_is_told_and_nobody_is_nobody(world: World) -> None:
    assert prove(world.tools, ALICE) is None
    world.join(ALICE)
    assert [each.stands for each in prove(world.tools, ALICE) or ()] == [True, True]


def test_a_wording_that_was_forged_where_no_trigger_stood_is_not_proven(world: World) -> None:
    world.join(ALICE)
    with writing(world.tools.engine) as connection:
        [first, *_] = world.rows(wording)
        connection.execute(wording.delete().where(wording.c.hash == first.hash))
        connection.execute(wording.insert().values(hash=first.hash, text=first.text + " And more."))
    found = prove(world.tools, ALICE) or []
    assert sorted(each.is_proven for each in found) == [False, True]


# A row is somebody's when it names them, or something of theirs: column → what it names.
NAMES = {
    "subscriber_id": "subscriber",
    "enrollment_id": "enrollment",
    "signup_id": "signup",
    "delivery_id": "delivery",
    "batch_id": "batch",
    "lesson_id": "lesson",
    "old_lesson_id": "lesson",
    "new_lesson_id": "lesson",
}
THEIRS = {"subscriber", "enrollment", "signup", "delivery", "notice"}


def of_person(world: World, subscriber_id: int) -> dict[str, list[Record]]:
    """Every row in the database that is somebody's, and what those rows name in turn: by table, as far as it goes."""
    rows = [(table.name, row) for table in metadata.sorted_tables for row in world.rows(table)]
    found: dict[str, list[Record]] = defaultdict(list)
    known: set[tuple[str, object]] = {("subscriber", subscriber_id)}
    before = -1
    while len(known) + sum(map(len, found.values())) != before:
        before = len(known) + sum(map(len, found.values()))
        for name, row in rows:
            named = {(NAMES[key], value) for key, value in row._mapping.items() if key in NAMES and value is not None}
            own = (name, row._mapping.get("id"))
            theirs = own in known or any(each in known and each[0] in THEIRS for each in named)
            if theirs and row not in found[name]:
                found[name].append(row)
                known |= named | ({own} if own[1] is not None else set())
    return found


def texts(found: dict[str, list[Record]]) -> str:
    sealed = {(table.name, each.name) for table in metadata.sorted_tables for each in table.c if _is_sealed(each.type)}
    shown: Iterable[object] = (
        value
        for name, rows in found.items()
        for row in rows
        for key, value in row._mapping.items()
        if (name, key) not in sealed
    )
    return " ".join(map(str, shown))


def _is_sealed(kind: object) -> bool:
    return isinstance(kind, LargeBinary)


@pytest.fixture
def desk(engine: Engine, keyring: Keyring, clock: Clock, tmp_path: Path) -> Desk:
    found = Desk(make_tools(engine, keyring), clock, tmp_path)
    found.publish("a", "b", "c", "d", "e")
    return found


@pytest.mark.parametrize("under_way", ["planned", "with the provider"])
def test_after_withdrawing_nothing_in_the_database_tells_the_pattern(desk: Desk, under_way: str) -> None:
    """Sent, skipped, planned, waiting, moved by a change, asked for anew: all of it at once."""
    desk.join(ALICE, "planner", "improviser")
    desk.join(BOB, "planner", "improviser")
    desk.days(2)
    leaving.unsubscribe(desk.tools, 1, desk.clock())
    leaving.undo_unsubscribe(desk.tools, 1, desk.clock())
    waits = desk.next_lessons()[0]
    desk.publish(*(key for key in ("a", "b", "c", "d", "e") if key != waits))
    desk.clock.now_ms = max(row.due_ms for row in desk.rows(due))
    desk.sign_up(ALICE, "improviser")
    plan.plan(desk.tools, desk.clock())
    started = desk.start_all() if under_way != "planned" else []
    before = of_person(desk, 1)
    assert {"moved", "lesson", "batch", "ledger", "signup", "notice", "delivery"} <= {
        key for key, rows in before.items() if rows
    }
    assert "planner" in texts(before)
    assert leaving.withdraw(desk.tools, 1, desk.clock())
    for each in started:
        desk.settle(each, desk.provider.hand_over(each.mailing))
    after = of_person(desk, 1)
    assert after["lesson"] == []
    assert [row.kind for row in after["batch"] if row.kind != "notice"] == []
    assert [row.sealed for row in after["signup"] if row.sealed] == []
    assert [word for word in ("planner", "improviser", "secondary") if word in texts(after)] == []
    bob = of_person(desk, 2)
    assert bob["lesson"]
    assert bob["moved"]
    desk.days(20)
    assert [word for word in ("planner", "improviser", "secondary") if word in texts(of_person(desk, 1))] == []
    assert of_person(desk, 1)["lesson"] == []


def test_after_withdrawing_nothing_tells_what_was_pressed_or_what_else_was_waited_for(
    tools: Tools, clock: Clock, tmp_path: Path
) -> None:
    kitchen = Kitchen(tools, clock, tmp_path / "outbox")
    for name in ("kitchen", "pantry"):
        kitchen.write('a | wait = "0 days"', 'b | wait = "1 day"; at = "08:30"', name=name, a=BUTTON)
    for address in (ALICE, BOB):
        kitchen.enter(address)
        kitchen.enter(address, funnel="pantry")
    kitchen.work()
    for who in (1, 2):
        reaching.reach(kitchen.tools, kitchen.sent(who)[0].id, "cooked", clock())
    before = of_person(kitchen, 1)
    assert before["reached"]
    assert before["slot"]
    leaving.withdraw(kitchen.tools, kitchen.sent(1)[0].id, clock())
    after = of_person(kitchen, 1)
    assert [name for name in ("reached", "slot", "due", "ledger", "lesson", "moved") if after[name]] == []
    assert [word for word in ("planner", "cooked") if word in texts(after)] == []
    assert of_person(kitchen, 2)["reached"]
