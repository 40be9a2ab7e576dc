"""The service with a clock that jumps: a database of its own in a temporary folder, and the real flow functions."""

import random
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from funnel.core.consent import Standing, wording_hash
from funnel.core.lesson import Source
from funnel.core.progress import goal_reached
from funnel.core.schedule import HOUR_MS
from funnel.core.sequence import Funnel
from funnel.flow import course, holding, leaving, people, plan, reaching, settle, start, sweep
from funnel.flow.holding import Breaker
from funnel.flow.people import Person
from funnel.flow.publish import publish
from funnel.flow.start import Broken, Started
from funnel.flow.tools import Tools
from funnel.keyring import Keyring, new_key
from funnel.mail.compile import Layouts
from funnel.simulate.cohort import Act, Course
from funnel.simulate.post import Post
from funnel.store import batches, cohort, subscribers
from funnel.store.cohort import Entering, Sealed
from funnel.store.db import migrate, open_engine, reading, writing
from funnel.store.tables import Record

BASE_URL = "https://simulation.invalid"
OWNER = "simulation"
BATCHES_AT_ONCE = 200
PRESSING = 0.5  # of those whose lesson has a button press it
READING_MS = 3 * HOUR_MS  # until a reader does something about a lesson


@dataclass(frozen=True)
class Departure:
    """A reader left at `at_ms`: everything, or the courses of one funnel but for `pattern`, which they chose."""

    number: int
    at_ms: int
    funnel: str | None = None
    pattern: str | None = None


@dataclass
class World:
    """`now_ms` moves by itself, to whatever comes next.

    `faults` are batches that could not be built, by kind; `reached` the events, as (reader, funnel, event).
    """

    tools: Tools
    current: Mapping[str, tuple[str, Funnel]]
    now_ms: int
    chance: random.Random
    post: Post = field(init=False)
    faults: list[str] = field(default_factory=list)
    departures: list[Departure] = field(default_factory=list)
    reached: set[tuple[int, str, str]] = field(default_factory=set)
    _readers: set[int] = field(default_factory=set)
    _acts: dict[tuple[int, str], Act] = field(default_factory=dict)
    _had: Counter[tuple[int, str]] = field(default_factory=Counter)
    _coming: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _deeds: Iterator[int] = field(default_factory=count)
    _events: dict[int, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.post = Post(self.tools.batch_size, lambda: self.now_ms)

    def live(self, courses: Sequence[Course], end_ms: int, show: Callable[[int], object]) -> None:
        """Lets time go by until `end_ms`, from one moment at which something happens to the next."""
        waiting = deque(courses)
        swept_ms = self.now_ms
        while self.now_ms <= end_ms:
            joining = [waiting.popleft() for _ in range(sum(1 for _ in takewhile(self._is_now, waiting)))]
            self._join(joining)
            self._act()
            if self.now_ms >= swept_ms + HOUR_MS:
                sweep.sweep(self.tools, self.now_ms)
                swept_ms = self.now_ms
            self._work()
            show(self.now_ms)
            upcoming = self._next(waiting)
            if upcoming is None:
                break
            self.now_ms = upcoming
        self.now_ms = end_ms

    def _is_now(self, course_: Course) -> bool:
        return course_.joined_ms <= self.now_ms

    def _next(self, waiting: Sequence[Course]) -> int | None:
        with reading(self.tools.engine) as connection:
            moments = [cohort.next_moment(connection, self.now_ms)]
        moments += [waiting[0].joined_ms] if waiting else []
        moments += [self._coming[0][0]] if self._coming else []
        return min((each for each in moments if each is not None), default=None)

    def _work(self) -> None:
        """What a worker does at a tick, until there is nothing left to do."""
        while True:
            planned = plan.plan(self.tools, self.now_ms)
            with reading(self.tools.engine) as connection:
                held = holding.current(connection, self.now_ms).funnels
                ids = [row.id for row in batches.startable(connection, self.now_ms, BATCHES_AT_ONCE, held)]
            begun = start.start(self.tools, ids, OWNER, self.now_ms) if ids else []
            if not planned.lessons and not begun:
                return
            self._send(begun)

    def _send(self, begun: Sequence[Started | Broken]) -> None:
        self.faults += [each.fault for each in begun if isinstance(each, Broken)]
        started = [each for each in begun if isinstance(each, Started)]
        answers = [(each, self.post.hand_over(each.mailing)) for each in started]
        settle.settle(self.tools, answers, self.now_ms)
        for each in started:
            for row in each.rows:
                self._read(row.subscriber_id, each.batch, row.id)

    def _read(self, number: int, batch: Record, delivery_id: int) -> None:
        """Somebody has had one more lesson; perhaps it makes them do something, a while later."""
        offered = self._offered(batch)
        if offered and self.chance.random() < PRESSING:
            event = self.chance.choice(offered)
            self._later(partial(self._press, number, batch, delivery_id, event))
        act = self._acts.get((number, batch.funnel))
        if act is not None:
            self._had[number, batch.funnel] += 1
            if self._had[number, batch.funnel] == act.after:
                self._later(partial(self._leave, number, batch.funnel, delivery_id, act))

    def _offered(self, batch: Record) -> list[str]:
        """The events that a batch's lesson has buttons for."""
        if batch.lesson_id not in self._events:
            with reading(self.tools.engine) as connection:
                key = self.tools.lesson_key(connection, batch.lesson_id)
            found = self.current[batch.funnel][1].lesson(key)
            self._events[batch.lesson_id] = sorted(found[1].source.events) if found else []
        return self._events[batch.lesson_id]

    def _later(self, deed: Callable[[], None]) -> None:
        heappush(self._coming, (self.now_ms + READING_MS, next(self._deeds), deed))

    def _act(self) -> None:
        while self._coming and self._coming[0][0] <= self.now_ms:
            heappop(self._coming)[2]()

    def _press(self, number: int, batch: Record, delivery_id: int, event: str) -> None:
        if not reaching.reach(self.tools, delivery_id, event, self.now_ms):
            return
        self.reached.add((number, batch.funnel, event))
        with reading(self.tools.engine) as connection:
            found = self.current[batch.funnel][1].lesson(self.tools.lesson_key(connection, batch.lesson_id))
        goal = goal_reached(found[0], {event}) if found else None
        if goal:
            self.departures.append(Departure(number, self.now_ms, batch.funnel, goal.to))

    def _leave(self, number: int, funnel: str, delivery_id: int, act: Act) -> None:
        if act.pattern is None:
            leaving.unsubscribe(self.tools, delivery_id, self.now_ms)
            self.departures.append(Departure(number, self.now_ms))
        elif course.choose(self.tools, delivery_id, act.pattern, self.now_ms):
            self.departures.append(Departure(number, self.now_ms, funnel, act.pattern))

    def _join(self, joining: Sequence[Course]) -> None:
        """They confirm: from here on all is as for anybody who has pressed the button."""
        if not joining:
            return
        with writing(self.tools.engine) as connection:
            for name, (revision_id, funnel) in self.current.items():
                if theirs := [each for each in joining if each.funnel == name]:
                    self._enroll(connection, revision_id, funnel, theirs)

    def _enroll(self, connection: Connection, revision_id: str, funnel: Funnel, joining: Sequence[Course]) -> None:
        self._acts |= {(each.number, each.funnel): each.act for each in joining if each.act}
        strangers = [each for each in joining if each.number not in self._readers]
        if strangers:
            self._welcome(connection, revision_id, funnel, strangers)
        for each in joining:
            if each not in strangers:  # they are readers already, and their courses must know of each other
                reader = subscribers.by_id(connection, each.number, lock=True)
                assert reader is not None
                if reader.state == Standing.ACTIVE:
                    course.enroll(connection, self.tools, reader, funnel, each.pattern, each.secondary, self.now_ms)

    def _welcome(self, connection: Connection, revision_id: str, funnel: Funnel, strangers: Sequence[Course]) -> None:
        """New readers, many at once."""
        self._readers |= {each.number for each in strangers}
        sealed = [_sealed(self.tools.keyring, each, funnel.locale) for each in strangers]
        cohort.add_readers(connection, sealed, self.now_ms)
        wordings = {purpose: wording_hash(text) for purpose, text in funnel.wordings.items()}
        entering = [Entering(each.number, each.funnel, each.pattern, each.secondary, each.pace) for each in strangers]
        entered = cohort.add_courses(connection, entering, revision_id, funnel.locale, wordings, self.now_ms)
        zones = {each.number: each.zone for each in strangers}
        placed = [(row, zones[row.subscriber_id]) for row in entered]
        course.schedule_next(connection, self.tools, funnel, placed, self.now_ms)


@contextmanager
def world(
    root: Path, layouts: Layouts, notices: Mapping[str, Source], now_ms: int, chance: random.Random
) -> Iterator[World]:
    """A world in which the content below `root` has just been published. Raises ContentError with its problems."""
    with tempfile.TemporaryDirectory(prefix="funnel-simulate-") as folder:
        engine = _engine(Path(folder))
        try:
            migrate(engine)
            tools = Tools(engine, Keyring({1: new_key()}), layouts, notices, BASE_URL, breaker=Breaker(Post.name))
            publish(tools, root, now_ms)
            with reading(engine) as connection:
                current = tools.current(connection)
            yield World(tools, current, now_ms, chance)
        finally:
            engine.dispose()


def _engine(folder: Path) -> Engine:
    engine = open_engine(f"sqlite:///{folder / 'simulation.db'}")
    event.listen(engine, "connect", _keep_nothing)
    return engine


def _keep_nothing(raw: Any, _record: object) -> None:
    """Nothing of this database outlives the process: no write needs to reach the disk."""
    cursor = raw.cursor()
    for pragma in ("synchronous=OFF", "secure_delete=OFF", "cache_size=-65536"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sealed(keyring: Keyring, course_: Course, locale: str) -> Sealed:
    hash_, key = keyring.address_hashes(course_.address)[0], new_key()
    version, wrapped = keyring.wrap(key, hash_)
    person = people.seal_person(key, hash_, Person(course_.address, ""))
    return Sealed(course_.number, hash_, person, version, wrapped, course_.zone, locale)
