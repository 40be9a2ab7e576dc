"""Rounds: so many readers become due at one moment, and what it takes until all of their lessons are accepted."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from sqlalchemy import Engine, func, select, text, update

from benchmarks.cpu import cpu_seconds
from benchmarks.service import Service
from benchmarks.sql_common import DUE
from funnel.core.delivery import Kind, State
from funnel.core.schedule import DAY_MS
from funnel.flow import holding
from funnel.store.db import reading, writing
from funnel.store.holds import EVERYTHING, listed
from funnel.store.tables import batch, due, volume

PUT_OFF_MS = 400 * DAY_MS
SPREAD_MS = 10 * 60_000
LONGEST_S = 300
LOOK_S = 0.2  # reading costs the database something, too

# Drawn in random order, so that a table in the order of its writing holds no neighbors; due at scattered moments.
_DRAW = (
    "CREATE TEMPORARY TABLE drawn AS SELECT * FROM due WHERE 1 = 0",
    "INSERT INTO drawn SELECT * FROM due ORDER BY random() LIMIT :count",
    "DELETE FROM due WHERE (due_ms, enrollment_id, turn) IN (SELECT due_ms, enrollment_id, turn FROM drawn)",
    f"INSERT INTO due ({DUE}) SELECT :now_ms - 1 - due_ms % :spread_ms, {DUE.removeprefix('due_ms, ')} FROM drawn",
    "DROP TABLE drawn",
)


@dataclass(frozen=True)
class Round:
    """`count` recipients: CPU seconds by part of the service, and seconds from first planning to last answer."""

    count: int
    parts: Mapping[str, float]
    wall_s: float

    @property
    def cpu_s(self) -> float:
        return sum(self.parts.values())


class Rounds:
    """Of a seeded database of one's own, in which from now on nobody is due who has not been drawn."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        put_off(engine)

    def run(self, service: Service, count: int, server: int | None = None) -> Round:
        """Makes `count` readers due and waits for their lessons; `server` is the database server's process.

        Raises TimeoutError when they are not all accepted in time.
        """
        self._draw(count)
        roots = _roots(service, server)
        before = {name: cpu_seconds(*pids) for name, pids in roots.items()}
        began_ms = _now_ms()
        holding.resume(self._engine, EVERYTHING, began_ms)
        planned_ms, settled_ms = self._wait(count, began_ms)
        after = {name: cpu_seconds(*pids) for name, pids in roots.items()}
        return Round(count, {name: after[name] - before[name] for name in roots}, (settled_ms - planned_ms) / 1000)

    def _draw(self, count: int) -> None:
        """While all is paused; the forecast is made anew from what is due then, as at the beginning of an hour."""
        now_ms = _now_ms()
        holding.pause(self._engine, EVERYTHING, "between rounds", now_ms)
        values = {"count": count, "now_ms": now_ms, "spread_ms": SPREAD_MS}
        with writing(self._engine) as connection:
            for statement in _DRAW:
                connection.execute(text(statement), {n: v for n, v in values.items() if f":{n}" in statement})
            connection.execute(volume.delete())
        _tidy(self._engine)

    def _wait(self, count: int, began_ms: int) -> tuple[int, int]:
        """When the first of them was planned and the last one settled, in epoch milliseconds."""
        lessons = (batch.c.settled_ms >= began_ms, batch.c.kind == Kind.LESSON, batch.c.state == State.ACCEPTED)
        told = func.coalesce(func.sum(batch.c.size), 0), func.min(batch.c.planned_ms), func.max(batch.c.settled_ms)
        give_up = time.monotonic() + LONGEST_S
        while True:
            with reading(self._engine) as connection:
                accepted, planned_ms, settled_ms = connection.execute(select(*told).where(*lessons)).one()
                if accepted >= count:
                    return planned_ms, settled_ms
                if time.monotonic() > give_up:
                    held = [(row.scope, row.reason) for row in listed(connection)]
                    raise TimeoutError(f"only {accepted} of {count} lessons accepted; held: {held}")
            time.sleep(LOOK_S)


def put_off(engine: Engine) -> None:
    """Nobody is due any more for a day, nor forecast to be."""
    with writing(engine) as connection:
        soon = due.c.due_ms < _now_ms() + DAY_MS
        connection.execute(update(due).where(soon).values(due_ms=due.c.due_ms + PUT_OFF_MS))
    _tidy(engine)


def _roots(service: Service, server: int | None) -> dict[str, Sequence[int]]:
    valkey = [pid for pid in service.pids if pid not in service.workers]
    found: dict[str, Sequence[int]] = {"workers": service.workers, "Valkey": valkey}
    return {**found, "PostgreSQL": [server]} if server else found


def _tidy(engine: Engine) -> None:
    """Takes away what the drawing has left behind, so that it falls into nobody's measurement."""
    if engine.dialect.name == "sqlite":
        connection = sqlite3.connect(engine.url.database or "", isolation_level=None, timeout=20)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("VACUUM (ANALYZE) due")
        server.execute("CHECKPOINT")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
