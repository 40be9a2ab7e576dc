"""The least that SQLite must do to plan, start and settle: raw sqlite3, no fate but acceptance."""

import secrets
import sqlite3
from collections.abc import Sequence
from typing import Any

from benchmarks.sql_common import BATCH_SIZE, BATCH_VALUES, DUE, next_due

_TAKE = """
    SELECT due_ms, enrollment_id, lesson_id, turn, subscriber_id, pattern, secondary, pace
    FROM due WHERE due_ms <= ? ORDER BY due_ms, enrollment_id LIMIT ?
"""
_BATCH = f"""
    INSERT INTO batch (uid, kind, funnel, revision_id, lesson_id, segment, state, planned_ms, attempt, retries, size)
    VALUES (?, {BATCH_VALUES}, ?)
"""
_DELIVERY = """
    INSERT INTO delivery (subscriber_id, lesson_id, enrollment_id, turn, batch_id, position, due_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_ENTER = """
    INSERT INTO ledger (lesson_id, subscriber_id, delivery_id)
    SELECT lesson_id, subscriber_id, id FROM delivery WHERE batch_id = ? ORDER BY lesson_id, subscriber_id
"""
_READ = """
    SELECT d.id, d.position, e.state, e.turn, s.state, s.zone, s.address_hash, s.sealed, k.version, k.wrapped
    FROM delivery d CROSS JOIN enrollment e ON e.id = d.enrollment_id CROSS JOIN subscriber s ON s.id = d.subscriber_id
    CROSS JOIN subscriber_key k ON k.subscriber_id = s.id WHERE d.batch_id = ? ORDER BY d.position
"""


class Sqlite:
    """Works on a connection that is set up as the service's are."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def plan(self, now_ms: int, limit: int) -> list[tuple[int, list[Any]]]:
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        rows = run(_TAKE, (now_ms, limit)).fetchall()
        run("DELETE FROM due WHERE due_ms <= ?1 AND (due_ms, enrollment_id) <= (?1, ?2)", rows[-1][:2])
        planned = []
        for start in range(0, len(rows), BATCH_SIZE):
            part = rows[start : start + BATCH_SIZE]
            batch_id = run(_BATCH, (secrets.token_hex(16), len(part))).lastrowid or 0
            planned.append((batch_id, part))
        self._connection.executemany(
            _DELIVERY,
            [
                (subscriber, lesson, enrollment, turn, batch_id, position, due_ms)
                for batch_id, part in planned
                for position, (due_ms, enrollment, lesson, turn, subscriber, *_) in enumerate(part)
            ],
        )
        run("COMMIT")
        return planned

    def start(self, batch_id: int, now_ms: int) -> Sequence[Any]:
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        run("UPDATE batch SET state = 'started', attempt = 1, started_ms = ? WHERE id = ?", (now_ms, batch_id))
        people = run(_READ, (batch_id,)).fetchall()
        run(_ENTER, (batch_id,))
        run("COMMIT")
        return people

    def settle(self, batch_id: int, rows: Sequence[Any], now_ms: int) -> None:
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        run("UPDATE batch SET state = 'accepted', proven = 2, settled_ms = ? WHERE id = ?", (now_ms, batch_id))
        self._connection.executemany(f"INSERT INTO due ({DUE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", next_due(rows, now_ms))
        run("COMMIT")
