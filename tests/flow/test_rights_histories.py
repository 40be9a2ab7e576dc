"""Random histories of people who come, leave, withdraw, are erased and come again: never a mail without a right to it.

`make histories` runs 10,000 of them; the tests a few.
"""

import dataclasses
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine, select

from funnel.core import links
from funnel.core.delivery import ACCEPTED, Report
from funnel.core.event import Event, Why
from funnel.core.links import Use
from funnel.core.retention import periods_ms
from funnel.flow import erasing, events, leaving, retention, rotation, signup
from funnel.flow.signup import Link
from funnel.keyring import Keyring
from funnel.mail.provider import Mailing, Recipients
from funnel.store import events as told
from funnel.store.db import open_engine, reading, writing
from funnel.store.tables import delivery, notice
from tests.conftest import Clock, make_tools, with_content
from tests.world import ALICE, BOB, World

MANY = int(os.environ.get("FUNNEL_HISTORIES", "25"))
DAY_MS, HOUR_MS = 24 * 3_600_000, 3_600_000
REST_MS = 30 * DAY_MS  # after a hard bounce
MASTERS = {1: b"1" * 32, 2: b"2" * 32, 3: b"3" * 32}

people = some.sampled_from([ALICE, BOB])


@dataclasses.dataclass
class Right:
    """What may be sent to somebody, by the rules as a reader would tell them. Moments are epoch milliseconds."""

    lessons: bool = False
    never: bool = False
    not_before_ms: int = 0
    left_ms: int | None = None
    had: set[int] = dataclasses.field(default_factory=set)
    notices: list[int] = dataclasses.field(default_factory=list)
    links: list[str] = dataclasses.field(default_factory=list)
    deliveries: list[int] = dataclasses.field(default_factory=list)
    last: tuple[Mailing, int, str] | None = None

    def may_ask(self, now_ms: int) -> bool:
        return not self.never and now_ms >= self.not_before_ms

    def stop(self) -> None:
        self.lessons, self.left_ms = False, None


class Post:
    """The provider: takes everything, and holds each mail against its reader's right at this moment."""

    def __init__(self, clock: Clock, rights: dict[str, Right], keyring: Keyring) -> None:
        self.clock, self.rights, self.keyring, self.count = clock, rights, keyring, 0

    def hand_over(self, mailing: Mailing) -> Report:
        to = Recipients.of(mailing.recipients)
        for place, (address, key) in enumerate(zip(to.addresses, to.keys, strict=True)):
            right, now_ms = self.rights[address], self.clock()
            self.count += 1
            right.last = (mailing, to.places[place], key)
            if key.startswith("lesson"):
                assert right.lessons, "a lesson without a right to it"
                self._note(right, int(key.removeprefix("lesson-")), mailing)
            else:
                assert right.may_ask(now_ms), "a service mail to somebody who is not to be written to"
                right.notices.append(now_ms)
                assert sum(at_ms > now_ms - HOUR_MS for at_ms in right.notices) <= 4
                assert sum(at_ms > now_ms - DAY_MS for at_ms in right.notices) <= 8
                right.links += [url.rpartition("/")[2] for url in to.values.get("confirm_url", ())[place : place + 1]]
        return Report(ACCEPTED)

    def _note(self, right: Right, delivery_id: int, mailing: Mailing) -> None:
        right.deliveries.append(delivery_id)
        lesson = id(mailing.template.html)  # each lesson and segment is compiled once
        assert lesson not in right.had, "the same lesson twice"
        right.had.add(lesson)


class Histories(RuleBasedStateMachine):
    template: Path  # a database with the content
    engine: Engine  # of a copy of it: one for all histories, so that what it has compiled once is there

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="funnel-histories-"))
        self._begin_anew()
        self.clock = Clock()
        self.rights: dict[str, Right] = {address: Right() for address in (ALICE, BOB)}
        self.versions = 1
        keyring = Keyring({1: MASTERS[1]})
        self.post = Post(self.clock, self.rights, keyring)
        self.world = World(make_tools(self.engine, keyring), self.clock, self.folder, self.post)  # type: ignore[arg-type]

    def _begin_anew(self) -> None:
        self.engine.dispose()
        path = Path(self.engine.url.database or "")
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()
        shutil.copy(self.template, path)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(address=people, pattern=some.sampled_from(["freeze", "fawn"]))
    def subscribe(self, address: str, pattern: str) -> None:
        self.world.sign_up(address, pattern)

    @rule(address=people, pattern=some.sampled_from(["freeze", "fawn"]))
    def join(self, address: str, pattern: str) -> None:
        """The usual way in, which chance alone would seldom find."""
        self.subscribe(address, pattern)
        self.world.work()
        self.confirm(address, newest=True)
        self.world.work()

    @rule(address=people, newest=some.booleans())
    def confirm(self, address: str, newest: bool) -> None:
        right = self.rights[address]
        if not right.links:
            return
        token = right.links[-1 if newest else 0]
        if signup.look_at(self.world.tools, token, self.clock()).state == Link.OPEN and right.may_ask(self.clock()):
            right.lessons, right.left_ms = True, None
        signup.confirm(self.world.tools, token, self.clock())

    @rule(address=people)
    def not_me(self, address: str) -> None:
        right = self.rights[address]
        if right.links and signup.disown(self.world.tools, right.links[-1], self.clock()) and not right.lessons:
            right.never = True

    @rule(rounds=some.integers(1, 2))
    def send(self, rounds: int) -> None:
        for _ in range(rounds):
            self.world.work()

    @rule(hours=some.sampled_from([1, 9, 26, 24 * 8, 24 * 31]), works=some.booleans())
    def wait(self, hours: int, works: bool) -> None:
        self.clock.forward(hours=hours)
        if works:
            self.world.work()

    @rule(address=people, newest=some.booleans())
    def unsubscribe(self, address: str, newest: bool) -> None:
        right = self.rights[address]
        if found := self._delivery(right, newest=newest):
            leaving.unsubscribe(self.world.tools, found, self.clock())
            if right.lessons:
                right.lessons, right.left_ms = False, self.clock()

    @rule(address=people)
    def undo(self, address: str) -> None:
        right = self.rights[address]
        found = self._delivery(right, newest=True)
        if found and leaving.undo_unsubscribe(self.world.tools, found, self.clock()):
            recent = right.left_ms is not None and right.left_ms >= self.clock() - DAY_MS
            assert right.lessons or recent, "taken back what cannot be"
            right.lessons, right.left_ms = True, None

    @rule(address=people)
    def withdraw(self, address: str) -> None:
        right = self.rights[address]
        if found := self._delivery(right, newest=True):
            leaving.withdraw(self.world.tools, found, self.clock())
            right.stop()
            right.had.clear()

    @rule(address=people, complaint=some.booleans())
    def told(self, address: str, complaint: bool) -> None:
        """The last mail has bounced for good, or its reader has called it spam."""
        right = self.rights[address]
        if right.last is None:
            return
        mailing, position, key = right.last
        kind, why = ("spamreport", Why.COMPLAINT) if complaint else ("bounce", Why.BOUNCED)
        with writing(self.engine) as connection:
            ids = told.batch_ids(connection, [mailing.uid])
            event = Event(mailing.uid, mailing.attempt, position, kind, why, self.clock())
            told.add(connection, [(id_, event) for id_ in ids.values()], self.clock())
        there = self._is_there(key, reached=True)
        events.apply(self.world.tools, self.clock())
        if there:
            right.stop()
            right.never |= complaint
            right.not_before_ms = max(right.not_before_ms, self.clock() + (0 if complaint else REST_MS))

    @rule(address=people)
    def erase(self, address: str) -> None:
        right = self.rights[address]
        erasing.erase(self.world.tools, address, self.clock())
        right.stop()
        right.had.clear()
        right.notices.clear()  # nothing is left that could count; and only who reads their mail can have asked for it

    @rule()
    @precondition(lambda self: self.versions < len(MASTERS))
    def rotate(self) -> None:
        self.versions += 1
        keyring = Keyring({number: MASTERS[number] for number in range(1, self.versions + 1)})
        self.world.tools = dataclasses.replace(self.world.tools, keyring=keyring)
        rotated = rotation.rotate(self.world.tools, self.clock(), limit=1)
        assert rotated is not None
        assert rotated.lost == 0

    @rule()
    def tidy(self) -> None:
        retention.clear(self.world.tools, periods_ms({}), self.clock())
        self._forget_the_unconfirmed()

    def _forget_the_unconfirmed(self) -> None:
        """Whoever retention has erased begins anew."""
        for right in self.rights.values():
            if not right.lessons and not any(self._is_there(f"lesson-{each}") for each in right.deliveries):
                right.had.clear()

    def _delivery(self, right: Right, *, newest: bool) -> int | None:
        """The delivery that a lesson's link opens, as a reader's mail has it."""
        if not right.deliveries:
            return None
        chosen = right.deliveries[-1 if newest else 0]
        ring = self.world.tools.keyring
        token = links.token(ring.link_key, Use.UNSUBSCRIBE, chosen)
        return links.subject_of(ring.link_keys, Use.UNSUBSCRIBE, token) if self._is_there(f"lesson-{chosen}") else None

    def _is_there(self, key: str, *, reached: bool = False) -> bool:
        """With `reached`: and what a provider tells of it still finds its reader, who has not withdrawn."""
        kind, _, number = key.partition("-")
        table = delivery if kind == "lesson" else notice
        with reading(self.engine) as connection:
            found = connection.execute(select(table.c.batch_id).where(table.c.id == int(number))).one_or_none()
        return found is not None and (found.batch_id is not None or not reached)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("histories") / "funnel.db"
    engine = open_engine(f"sqlite:///{path}")
    with_content(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


def test_nobody_is_ever_mailed_without_a_right(template: Path, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    class Counted(Histories):
        def teardown(self) -> None:
            if hasattr(self, "post"):
                seen["mails"] += self.post.count
            super().teardown()

    Counted.template, Counted.engine = template, open_engine(f"sqlite:///{tmp_path / 'funnel.db'}")
    checks = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
    run_state_machine_as_test(
        Counted,
        settings=settings(max_examples=MANY, stateful_step_count=30, deadline=None, suppress_health_check=checks),
    )
    assert seen["mails"] > MANY
