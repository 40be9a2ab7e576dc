"""The worker's jobs, with real threads and a real database: no answer of a provider is thrown away."""

import asyncio
import dataclasses
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.exc import OperationalError

from funnel import answers, settings, worker
from funnel.bucket import connect
from funnel.core.delivery import ACCEPTED, Report, State, Unknowns
from funnel.core.schedule import HOUR_MS
from funnel.flow import plan, settle, start, sweep
from funnel.flow.holding import Breaker
from funnel.flow.start import Started
from funnel.flow.sweep import Attention
from funnel.flow.tools import Tools
from funnel.hands import TOO_LATE, Hands
from funnel.mail.provider import Mailing
from funnel.runtime import Runtime
from funnel.store import batches, db
from funnel.store.db import reading, writing
from funnel.store.tables import Record, batch, due, subscriber
from tests.conftest import Clock
from tests.world import ALICE, BOB, CHARLIE, World


class Gate:
    """A provider that answers when it is told to."""

    name, batch_size, unknowns = "smtp", 50, Unknowns.POLICY

    def __init__(self, width: int = 16, *, together: bool = False) -> None:
        self.width, self.together = width, together
        self.open = threading.Event()
        self.reached = threading.Event()
        self.all_reached = threading.Barrier(width + 1, timeout=30)
        self.handed: list[str] = []

    def hand_over(self, mailing: Mailing) -> Report:
        self.reached.set()
        if self.together:
            self.all_reached.wait()
        assert self.open.wait(30)
        self.handed.append(mailing.uid)
        return Report(ACCEPTED)

    def close(self) -> None:
        """Nothing is held open."""


@pytest.fixture
def world(tools: Tools, tmp_path: Any) -> World:
    """With the machine's own clock, which the worker reads."""
    now_ms = Runtime.now_ms() - 10_000
    return World(dataclasses.replace(tools, batch_size=1), Clock(now_ms), tmp_path / "outbox")


def lesson_batches(world: World, *addresses: str) -> list[int]:
    world.join_all(*addresses)
    plan.plan(world.tools, world.clock())
    return [row.id for row in world.rows(batch) if row.kind == "lesson"]


def hands(world: World, provider: Gate, lease_ms: int = 15_000) -> Hands:
    tools = dataclasses.replace(
        world.tools, lease_ms=lease_ms, unknowns=Unknowns.POLICY, breaker=Breaker(provider.name)
    )
    return Hands(Runtime(settings.load({}), tools, provider, connect("redis://127.0.0.1:1")))


def states(world: World) -> list[str]:
    return [row.state for row in world.rows(batch) if row.kind == "lesson"]


def test_an_answer_counts_though_its_job_was_cut_off(world: World) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()

    async def cut_off() -> None:
        busy = hands(world, gate)
        job = asyncio.create_task(worker.send_batches({"hands": busy}, ids))
        await asyncio.to_thread(gate.reached.wait, 30)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        gate.open.set()
        await busy.rest()

    asyncio.run(cut_off())
    assert states(world) == [State.ACCEPTED]


def test_an_answer_counts_though_the_lease_could_not_be_renewed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()

    def away(*_: object) -> set[int]:
        gate.open.set()
        raise OperationalError("SELECT 1", {}, Exception("the database is away for a moment"))

    monkeypatch.setattr("funnel.hands.renew", away)
    send(hands(world, gate, lease_ms=600), ids)
    assert states(world) == [State.ACCEPTED]


def test_a_lease_that_could_not_be_renewed_in_time_is_renewed_before_it_is_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    away = threading.Event()
    away.set()

    def renewing(*arguments: Any) -> set[int]:
        if away.is_set():
            raise OperationalError("BEGIN", {}, Exception("the database is away for a moment"))
        return settle.renew(*arguments)

    monkeypatch.setattr("funnel.hands.renew", renewing)

    async def whole() -> list[str]:
        busy = hands(world, gate, lease_ms=300)
        await busy.begin([row for row in world.rows(batch) if row.id in ids])
        while not busy._behind:
            await asyncio.sleep(0.01)
        away.clear()
        monkeypatch.setattr(Runtime, "now_ms", staticmethod(lambda: world.clock() + 60_000))
        await busy.catch_up()
        sweep.sweep(busy.runtime.tools, Runtime.now_ms())
        there = states(world)
        gate.open.set()
        await busy.rest()
        return there

    assert asyncio.run(whole()) == [State.STARTED]
    assert states(world) == [State.ACCEPTED]


def test_a_lease_is_renewed_while_the_provider_takes_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    leases = []

    def noting(*arguments: Any) -> set[int]:
        leases.append(settle.renew(*arguments))
        if len(leases) == 3:
            gate.open.set()
        return leases[-1]

    monkeypatch.setattr("funnel.hands.renew", noting)
    send(hands(world, gate, lease_ms=600), ids)
    assert leases[:3] == [set(ids)] * 3
    assert states(world) == [State.ACCEPTED]


def test_a_batch_that_cannot_be_built_keeps_nobody_else_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB), Gate()
    gate.open.set()
    build = start._mailing

    def broken(tools: Any, funnel: Any, row: Any, *others: Any) -> Any:
        if row.id == ids[0]:
            raise RuntimeError("a layout that does not render")
        return build(tools, funnel, row, *others)

    monkeypatch.setattr(start, "_mailing", broken)
    send(hands(world, gate), ids)
    assert states(world) == [State.PLANNED, State.ACCEPTED]


def test_one_answer_that_cannot_be_recorded_keeps_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB), Gate()

    def broken(tools: Any, answers: Any, now_ms: int) -> list[bool]:
        if any(started.batch.id == ids[0] for started, _ in answers):
            raise RuntimeError("something about this one")
        return settle.settle(tools, answers, now_ms)

    monkeypatch.setattr("funnel.hands.settle", broken)
    gate.open.set()
    send(hands(world, gate), ids)
    assert states(world) == [State.STARTED, State.ACCEPTED]


def test_a_start_that_came_too_late_to_its_own_lease_sends_nothing(world: World) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    gate.open.set()
    busy = hands(world, gate)
    late = start.start(busy.runtime.tools, ids, busy.owner, Runtime.now_ms() - 8000)
    assert [busy._hand_over(each) for each in late if isinstance(each, Started)] == [TOO_LATE]
    assert gate.handed == []


def test_no_more_batches_are_started_than_the_provider_carries_at_once(world: World) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB, CHARLIE, "dora@example.org"), Gate(width=2, together=True)

    async def whole() -> list[str]:
        busy = hands(world, gate)
        job = asyncio.create_task(worker.send_batches({"hands": busy}, ids))
        await asyncio.to_thread(gate.all_reached.wait)
        there = states(world)
        gate.open.set()
        await asyncio.to_thread(gate.all_reached.wait)
        await job
        await busy.rest()
        return there

    assert sorted(asyncio.run(whole())) == [State.PLANNED] * 2 + [State.STARTED] * 2
    assert states(world) == [State.ACCEPTED] * 4


def test_a_provider_may_ask_again_whether_it_is_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    busy, asked = hands(world, gate), []

    def connect_slowly(mailing: Mailing) -> Report:
        asked.append(mailing.in_time())
        monkeypatch.setattr(Runtime, "now_ms", staticmethod(lambda: late_ms + 1))
        asked.append(mailing.in_time())
        return Report(ACCEPTED)

    monkeypatch.setattr(gate, "hand_over", connect_slowly)
    [begun] = start.start(busy.runtime.tools, ids, busy.owner, Runtime.now_ms())
    assert isinstance(begun, Started)
    late_ms = begun.late_ms
    busy._hand_over(begun)
    assert asked == [True, False]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be recorded is tried again at once."""
    monkeypatch.setattr(answers, "PAUSES_S", (0.0,) * 9)


def failing(monkeypatch: pytest.MonkeyPatch, times: int, meanwhile: Callable[..., object] = lambda *_: None) -> None:
    """The database is away for that many tries to record answers."""
    left = itertools.count(times, -1)

    def settling(tools: Tools, told: Any, now_ms: int) -> list[bool]:
        if next(left) > 0:
            meanwhile(tools, told)
            raise OperationalError("BEGIN", {}, Exception("the database is away for a moment"))
        return settle.settle(tools, told, now_ms)

    monkeypatch.setattr("funnel.hands.settle", settling)


@pytest.mark.usefixtures("hasty")
def test_an_answer_waits_for_a_database_that_is_away_for_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB), Gate()
    gate.open.set()
    failing(monkeypatch, 7)
    busy = hands(world, gate)
    send(busy, ids)
    assert states(world) == [State.ACCEPTED] * 2
    assert (busy._flights, len(busy._answers)) == ({}, 0)


@pytest.mark.usefixtures("hasty")
def test_acceptance_counts_though_the_lease_ran_out_before_it_could_be_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    gate.open.set()
    seen = []

    def lose(tools: Tools, _told: object) -> None:
        sweep.sweep(tools, Runtime.now_ms() + 60_000)
        seen.extend(states(world))

    failing(monkeypatch, 2, lose)
    send(hands(world, gate), ids)
    assert seen == [State.UNKNOWN] * 2
    assert states(world) == [State.ACCEPTED]
    assert len(world.rows(due)) == 1


@pytest.mark.usefixtures("hasty")
def test_what_can_never_be_recorded_is_given_up_and_holds_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    gate.open.set()
    failing(monkeypatch, 1_000)
    busy = hands(world, gate)
    send(busy, ids)
    assert states(world) == [State.STARTED]
    assert (busy._flights, len(busy._answers)) == ({}, 0)


def test_a_worker_that_stops_waits_for_the_database_only_so_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    gate.open.set()
    monkeypatch.setattr(answers, "PAUSES_S", (0.0, *(0.1,) * 1_000_000))
    monkeypatch.setattr("funnel.hands.REST_S", 0.3)
    monkeypatch.setattr("funnel.hands.LONGEST_S", 0.1)
    failing(monkeypatch, 1_000_000)
    send(hands(world, gate), ids)
    assert states(world) == [State.STARTED]


@pytest.mark.usefixtures("hasty")
def test_while_answers_cannot_be_recorded_no_more_are_kept_than_a_few_and_no_mail_of_theirs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB, CHARLIE, "dora@example.org"), Gate(width=1)
    kept: list[int] = []
    gate.open.set()
    monkeypatch.setattr("funnel.hands.UNRECORDED_PER_HAND", 1)
    monkeypatch.setattr(gate, "hand_over", lambda _: Report(ACCEPTED))

    def look(_tools: Tools, told: Any) -> None:
        kept.append(states(world).count(State.STARTED))
        assert not any(started.mailing.recipients for started, _ in told)

    failing(monkeypatch, 6, look)
    send(hands(world, gate), ids)
    assert max(kept) <= 2  # one more may have been on its way
    assert states(world) == [State.ACCEPTED] * 4


def test_while_as_many_mails_as_may_be_in_memory_are_on_their_way_no_more_are_started(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB, CHARLIE), Gate()
    monkeypatch.setattr("funnel.line.RECIPIENTS_AT_ONCE", 1)
    monkeypatch.setattr("funnel.hands.ON_THEIR_WAY", 1)
    under_way: list[str] = []
    most: list[int] = []

    def hand_over(mailing: Mailing) -> Report:
        under_way.append(mailing.uid)
        gate.open.wait(0.2)  # never opened: time for another one to come
        most.append(len(under_way))
        under_way.remove(mailing.uid)
        return Report(ACCEPTED)

    monkeypatch.setattr(gate, "hand_over", hand_over)
    send(hands(world, gate), ids)
    assert most == [1, 1, 1]
    assert states(world) == [State.ACCEPTED] * 3


def test_a_start_that_broke_off_after_it_had_claimed_gives_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB), Gate()
    gate.open.set()
    calls = itertools.count()

    def breaking(*arguments: Any) -> Any:
        found = start.start(*arguments)
        if next(calls) == 0:
            raise OperationalError("COMMIT", {}, Exception("nobody heard whether it was done"))
        return found

    monkeypatch.setattr("funnel.hands.start", breaking)
    send(hands(world, gate), ids)
    assert states(world) == [State.PLANNED] * 2
    assert gate.handed == []
    send(hands(world, gate), ids)
    assert states(world) == [State.ACCEPTED] * 2


def test_a_check_that_breaks_off_sends_nothing_and_leaves_nothing_in_doubt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    gate.open.set()

    def away(*_: object) -> int:
        raise OperationalError("SELECT 1", {}, Exception("the database is away for a moment"))

    monkeypatch.setattr("funnel.hands.seen_twice", away)
    send(hands(world, gate), ids)
    assert states(world) == [State.PLANNED]
    assert gate.handed == []


def test_whoever_is_told_to_stop_begins_nothing_more(world: World) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB, CHARLIE), Gate(width=1)

    async def whole() -> None:
        busy = hands(world, gate)
        job = asyncio.create_task(worker.send_batches({"hands": busy}, ids))
        await asyncio.to_thread(gate.reached.wait, 30)
        resting = asyncio.create_task(busy.rest())
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(job, resting)

    asyncio.run(whole())
    assert sorted(states(world)) == [State.ACCEPTED, State.PLANNED, State.PLANNED]
    assert len(gate.handed) == 1


def test_what_waits_in_the_line_is_not_put_there_again(world: World) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB, CHARLIE), Gate(width=1)

    async def whole() -> int:
        busy = hands(world, gate)
        found = [row for row in world.rows(batch) if row.id in ids]
        for _ in range(20):
            await busy.begin(found)
        await asyncio.to_thread(gate.reached.wait, 30)
        for _ in range(20):
            await busy.begin(found)
        waiting = len(busy._line)
        gate.open.set()
        await busy.rest()
        return waiting

    assert asyncio.run(whole()) <= 2


def test_who_waits_for_a_mail_of_their_own_does_not_wait_behind_all_the_lessons_in_the_line(world: World) -> None:
    lesson_batches(world, ALICE, BOB, CHARLIE, "dora@example.org")
    gate = Gate(width=1)

    def startable() -> Sequence[Record]:
        with reading(world.tools.engine) as connection:
            return batches.startable(connection, Runtime.now_ms(), 100)

    async def whole() -> None:
        busy = hands(world, gate)
        await busy.begin(startable())
        await asyncio.to_thread(gate.reached.wait, 30)
        world.sign_up("new@example.org")
        plan.plan(world.tools, world.clock())
        await busy.begin(startable())
        gate.open.set()
        while busy._line or busy._flights:
            await asyncio.sleep(0.01)
        await busy.rest()

    asyncio.run(whole())
    kinds = {row.uid: row.kind for row in world.rows(batch)}
    assert [kinds[uid] for uid in gate.handed] == ["lesson", "notice", "lesson", "lesson", "lesson"]


def test_by_a_wrong_clock_nothing_is_started_whoever_asks_for_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    gate.open.set()
    right = Runtime.now_ms
    for skew_ms in (-3_000, 3_000):
        monkeypatch.setattr(Runtime, "now_ms", staticmethod(lambda skew_ms=skew_ms: right() + skew_ms))
        send(hands(world, gate), ids)
    assert (states(world), gate.handed) == ([State.PLANNED], [])
    monkeypatch.setattr(Runtime, "now_ms", staticmethod(right))
    send(hands(world, gate), ids)
    assert states(world) == [State.ACCEPTED]


def test_an_answer_waits_as_long_as_another_program_keeps_the_database_to_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    url = world.tools.engine.url
    if url.get_backend_name() != "sqlite":
        pytest.skip("PostgreSQL has many writers")
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 50)

    async def whole() -> int:
        busy = hands(world, gate)
        await busy.begin([row for row in world.rows(batch) if row.id in ids])
        await asyncio.to_thread(gate.reached.wait, 30)
        with closing(sqlite3.connect(str(url.database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            gate.open.set()
            while busy._flights and not any(each.failures for each in busy._answers._waiting):
                await asyncio.sleep(0.01)
            waiting = len(busy._answers)
        await busy.rest()
        return waiting

    assert asyncio.run(whole()) == 1
    assert states(world) == [State.ACCEPTED]


def send(busy: Hands, ids: list[int]) -> None:
    async def whole() -> None:
        await worker.send_batches({"hands": busy}, ids)
        await busy.rest()

    asyncio.run(whole())


@pytest.mark.parametrize("hours", [1, 5])
def test_after_a_time_without_any_worker_what_is_late_comes_at_its_readers_hour(world: World, hours: int) -> None:
    world.join_all(ALICE)
    world.work()
    moment = Runtime.now_ms() - hours * HOUR_MS
    west = (time.gmtime().tm_hour + 9) % 24 - 12
    asleep = f"Etc/GMT{west:+d}"  # where it is three at night
    with writing(world.tools.engine) as connection:
        connection.execute(due.update().values(due_ms=moment))
        connection.execute(subscriber.update().values(zone=asleep))

    async def tick() -> None:
        busy = hands(world, Gate())
        away = worker.connect("redis://127.0.0.1:1")
        context = {"hands": busy, "redis": away, "ticking": asyncio.Lock(), "attention": Attention(15_000)}
        await worker._tick(context, busy.begin)
        await busy.rest()

    asyncio.run(tick())
    assert [row.state for row in world.rows(batch) if row.kind == "lesson"] == [State.ACCEPTED]
    assert [local(row.due_ms, asleep) for row in world.rows(due)] == ["08:30"]


def journal(world: World) -> int:
    """How many bytes SQLite's journal has."""
    url = world.tools.engine.url
    path = Path(f"{url.database}-wal")
    return path.stat().st_size if url.get_backend_name() == "sqlite" else 0


def local(instant_ms: int, zone: str) -> str:
    return datetime.fromtimestamp(instant_ms / 1000, ZoneInfo(zone)).strftime("%H:%M")


def test_a_worker_deletes_what_is_too_old_follows_up_erasures_and_leaves_nothing_in_the_journal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "TIDY_S", 0.0)
    monkeypatch.setattr(worker, "JOURNAL_MS", 0)
    world.clock.now_ms = Runtime.now_ms() - 8 * 24 * HOUR_MS
    world.sign_up(ALICE)
    world.work()
    assert world.mails(ALICE)

    async def whole() -> None:
        busy = hands(world, Gate())
        home = dataclasses.replace(busy.runtime.settings, home=world.folder.parent)
        busy.runtime = dataclasses.replace(busy.runtime, settings=home)
        tidying = asyncio.create_task(worker.tidy({"hands": busy}))
        while [*world.folder.glob("*.eml")] or world.rows(subscriber) or journal(world):
            await asyncio.sleep(0)
            assert not tidying.done()
        tidying.cancel()
        await busy.rest()

    asyncio.run(asyncio.wait_for(whole(), 20))
