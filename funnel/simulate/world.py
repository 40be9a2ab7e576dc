"""The service with a clock that jumps: a database of its own in a temporary folder, and the real flow functions."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from funnel.core.consent import wording_hash
from funnel.core.lesson import Source
from funnel.core.schedule import HOUR_MS
from funnel.core.sequence import Funnel
from funnel.flow import course, people, plan, settle, start, sweep
from funnel.flow.holding import Breaker
from funnel.flow.people import Person as Known
from funnel.flow.publish import publish
from funnel.flow.start import Broken, Started
from funnel.flow.tools import Tools
from funnel.keyring import Keyring, new_key
from funnel.mail.compile import Layouts
from funnel.simulate.cohort import Person, sign_ups
from funnel.simulate.post import Post
from funnel.store import batches, cohort
from funnel.store.cohort import Confirmed
from funnel.store.db import migrate, open_engine, reading, writing

BASE_URL = "https://simulation.invalid"
OWNER = "simulation"
BATCHES_AT_ONCE = 200


@dataclass
class World:
    """`now_ms` moves by itself, to whatever comes next. `faults` are batches that could not be built, by kind."""

    tools: Tools
    current: Mapping[str, tuple[str, Funnel]]
    now_ms: int
    post: Post = field(init=False)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.post = Post(self.tools.batch_size, lambda: self.now_ms)

    def live(self, cohort_: Sequence[Person], end_ms: int, show: Callable[[int], object]) -> None:
        """Lets time go by until `end_ms`, from one moment at which something happens to the next."""
        waiting = sign_ups(cohort_)
        swept_ms = self.now_ms
        while True:
            if joining := waiting.pop(self.now_ms, None):
                self._join(joining)
            if self.now_ms >= swept_ms + HOUR_MS:
                sweep.sweep(self.tools, self.now_ms)
                swept_ms = self.now_ms
            self._work()
            show(self.now_ms)
            upcoming = self._next(waiting)
            if upcoming is None or upcoming > end_ms:
                self.now_ms = end_ms
                return
            self.now_ms = upcoming

    def _next(self, waiting: Mapping[int, object]) -> int | None:
        with reading(self.tools.engine) as connection:
            moments = [cohort.next_moment(connection, self.now_ms), next(iter(waiting), None)]
        return min((each for each in moments if each is not None), default=None)

    def _work(self) -> None:
        """What a worker does at a tick, until there is nothing left to do."""
        while True:
            planned = plan.plan(self.tools, self.now_ms)
            with reading(self.tools.engine) as connection:
                ids = [row.id for row in batches.startable(connection, self.now_ms, BATCHES_AT_ONCE)]
            if not planned.lessons and not ids:
                return
            self._send(ids)

    def _send(self, ids: Sequence[int]) -> None:
        begun = start.start(self.tools, ids, OWNER, self.now_ms)
        self.faults += [each.fault for each in begun if isinstance(each, Broken)]
        started = [each for each in begun if isinstance(each, Started)]
        answers = [(each, self.post.hand_over(each.mailing)) for each in started]
        settle.settle(self.tools, answers, self.now_ms)

    def _join(self, joining: Sequence[Person]) -> None:
        """They confirm: from here on all is as for anybody who has pressed the button."""
        with writing(self.tools.engine) as connection:
            for name, (revision_id, funnel) in self.current.items():
                theirs = [person for person in joining if person.funnel == name]
                if theirs:
                    self._enroll(connection, revision_id, funnel, theirs)

    def _enroll(self, connection: Connection, revision_id: str, funnel: Funnel, joining: Sequence[Person]) -> None:
        wordings = {purpose: wording_hash(text) for purpose, text in funnel.wordings.items()}
        sealed = [_sealed(self.tools.keyring, person, funnel.locale) for person in joining]
        cohort.add_confirmed(connection, sealed, revision_id, wordings, self.now_ms)
        zones = {person.number: person.zone for person in joining}
        entered = cohort.enrollments(connection, zones)
        course.schedule_next(connection, self.tools, funnel, [(row, zones[row.id]) for row in entered], self.now_ms)


@contextmanager
def world(root: Path, layouts: Layouts, notices: Mapping[str, Source], now_ms: int) -> Iterator[World]:
    """A world in which the content below `root` has just been published. Raises ContentError with its problems."""
    with tempfile.TemporaryDirectory(prefix="funnel-simulate-") as folder:
        engine = _engine(Path(folder))
        try:
            migrate(engine)
            tools = Tools(engine, Keyring({1: new_key()}), layouts, notices, BASE_URL, breaker=Breaker(Post.name))
            publish(tools, root, now_ms)
            with reading(engine) as connection:
                current = tools.current(connection)
            yield World(tools, current, now_ms)
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


def _sealed(keyring: Keyring, person: Person, locale: str) -> Confirmed:
    hash_, key = keyring.address_hashes(person.address)[0], new_key()
    version, wrapped = keyring.wrap(key, hash_)
    return Confirmed(
        id=person.number,
        address_hash=hash_,
        sealed=people.seal_person(key, hash_, Known(person.address, "")),
        version=version,
        wrapped=wrapped,
        zone=person.zone,
        locale=locale,
        funnel=person.funnel,
        pattern=person.pattern,
        secondary=person.secondary,
        pace=person.pace,
    )
