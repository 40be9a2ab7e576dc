"""Fills a database with readers in the real mix, what is due to them, and everything they have been sent."""

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from benchmarks.cpu import Meter
from benchmarks.crowd import Crowd, Shape, draw, due_moments, groups, received
from benchmarks.load import Load, loading
from benchmarks.mix import STEPS, Mix, read
from benchmarks.readers import (
    CONSENT,
    KEY,
    SUBSCRIBER,
    Rows,
    consent_rows,
    key_rows,
    same_for_all,
    seal_readers,
    subscriber_rows,
)
from funnel.core.consent import Enrolled
from funnel.core.delivery import Kind, State
from funnel.core.schedule import DAY_MS
from funnel.keyring import Keyring
from funnel.store.tables import batch, consent, delivery, due, enrollment, ledger, subscriber, subscriber_key

AT_ONCE = 50_000
BATCH_SIZE = 200
ENROLLMENT = (
    *("id", "subscriber_id", "funnel", "pattern", "secondary", "pace", "state", "turn", "created_ms", "changed_ms"),
)
DUE = ("due_ms", "enrollment_id", "lesson_id", "turn", "subscriber_id", "pattern", "secondary", "pace")
BATCH = (
    *("id", "uid", "kind", "funnel", "revision_id", "lesson_id", "segment", "state", "planned_ms", "attempt"),
    *("retries", "started_ms", "settled_ms", "provider", "size", "due_ms", "proven"),
)
LEDGER = ("lesson_id", "subscriber_id", "delivery_id")
DELIVERY = ("id", "subscriber_id", "lesson_id", "enrollment_id", "turn", "batch_id", "position", "due_ms")


@dataclass(frozen=True)
class Seeded:
    """What there is, and how long it took: on the wall, and in CPU of this process (a server's comes on top)."""

    readers: int
    deliveries: int
    wall_s: float
    cpu_s: float


def seed(engine: Engine, keyring: Keyring, shape: Shape, now_ms: int) -> Seeded:
    """Fills a database that is migrated and holds nothing but the shipped content. Only keys differ between calls."""
    chance = random.Random(shape.readers)
    with Meter() as meter:
        mix, crowd = read(engine), draw(shape, chance)
        with loading(engine) as load:
            _load_people(load, shape, mix, crowd, keyring, now_ms)
            moments = due_moments(shape, crowd, chance, now_ms)
            # SQLite keeps them in order anyhow; in PostgreSQL they stay as they come in.
            ordered = engine.dialect.name == "sqlite" or not shape.scattered
            load(due, DUE, _due_rows(mix, crowd, sorted(moments) if ordered else moments))
            deliveries = _load_past(load, mix, crowd, chance, now_ms)
    return Seeded(len(crowd.kinds), deliveries, meter.wall_s, meter.cpu_s)


def _load_people(load: Load, shape: Shape, mix: Mix, crowd: Crowd, keyring: Keyring, now_ms: int) -> None:
    joined_ms = now_ms - 60 * DAY_MS
    for start in range(1, len(crowd.kinds) + 1, AT_ONCE):
        ids = range(start, min(start + AT_ONCE, len(crowd.kinds) + 1))
        sealed = seal_readers(ids, keyring) if shape.sealed else same_for_all(ids, keyring)
        load(subscriber, SUBSCRIBER, subscriber_rows(ids, sealed, joined_ms))
        load(enrollment, ENROLLMENT, _enrollment_rows(ids, mix, crowd, joined_ms))
        if shape.sealed:
            load(subscriber_key, KEY, key_rows(ids, sealed))
            load(consent, CONSENT, consent_rows(ids, mix, joined_ms))


def _enrollment_rows(ids: Sequence[int], mix: Mix, crowd: Crowd, joined_ms: int) -> Rows:
    states = (Enrolled.FINISHED.value, Enrolled.ACTIVE.value)
    for id_ in ids:
        pattern, secondary = mix.kinds[crowd.kinds[id_ - 1]]
        state = states[id_ > crowd.finished]
        yield id_, id_, mix.funnel, pattern, secondary, "as-written", state, 1, joined_ms, joined_ms


def _due_rows(mix: Mix, crowd: Crowd, moments: Iterable[tuple[int, int]]) -> Rows:
    for due_ms, id_ in moments:
        kind = crowd.kinds[id_ - 1]
        yield due_ms, id_, mix.lessons[kind][crowd.steps[id_ - 1]], 1, id_, *mix.kinds[kind], "as-written"


def _load_past(load: Load, mix: Mix, crowd: Crowd, chance: random.Random, now_ms: int) -> int:
    """Batches, all accepted, of first lessons, then of second ones and so on, the last of them a day ago."""
    began_ms = now_ms - 50 * DAY_MS
    readers = received(crowd)
    entries: list[tuple[int, int, int]] = []
    count = sent = 0
    for step in range(STEPS):
        cut = _cut(groups(step, mix, readers), chance)
        started_ms = [
            began_ms + (step * len(cut) + place) * 49 * DAY_MS // (STEPS * len(cut)) for place in range(len(cut))
        ]
        ids = range(count + 1, count + len(cut) + 1)
        numbered = list(zip(ids, started_ms, cut, strict=True))
        load(batch, BATCH, (_batch_row(id_, at_ms, mix, chance, *part) for id_, at_ms, part in numbered))
        load(delivery, DELIVERY, _delivery_rows(numbered, sent + 1))
        entries += _entries(numbered, sent + 1)
        count += len(cut)
        sent += sum(len(members) for _, _, members in cut)
    load(ledger, LEDGER, sorted(entries))
    return sent


def _cut(groups: Mapping[tuple[int, str], list[int]], chance: random.Random) -> list[tuple[int, str, list[int]]]:
    """(lesson, segment, readers) of every batch, in random order and of random readers."""
    cut = []
    for (lesson_id, name), members in groups.items():
        chance.shuffle(members)
        cut += [(lesson_id, name, members[at : at + BATCH_SIZE]) for at in range(0, len(members), BATCH_SIZE)]
    chance.shuffle(cut)
    return cut


def _batch_row(
    id_: int, at_ms: int, mix: Mix, chance: random.Random, lesson_id: int, name: str, members: list[int]
) -> tuple[Any, ...]:
    uid = chance.randbytes(16).hex()
    said = (Kind.LESSON.value, mix.funnel, mix.revision_id, lesson_id, name, State.ACCEPTED.value)
    return id_, uid, *said, at_ms, 1, 0, at_ms, at_ms + 300, "sendgrid", len(members), at_ms, 1 << 1


def _entries(numbered: Sequence[tuple[int, int, tuple[int, str, list[int]]]], first_id: int) -> Rows:
    ids = itertools.count(first_id)
    return ((lesson_id, reader, next(ids)) for _, _, (lesson_id, _, members) in numbered for reader in members)


def _delivery_rows(numbered: Sequence[tuple[int, int, tuple[int, str, list[int]]]], first_id: int) -> Rows:
    id_ = first_id
    for batch_id, at_ms, (lesson_id, _, members) in numbered:
        for position, reader in enumerate(members):
            yield id_, reader, lesson_id, reader, 1, batch_id, position, at_ms
            id_ += 1
