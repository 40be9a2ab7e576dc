"""The least that PostgreSQL must do to plan, start and settle: raw psycopg, arrays in, no fate but acceptance."""

import secrets
from collections.abc import Sequence
from typing import Any

import psycopg

from benchmarks.sql_common import BATCH_SIZE, BATCH_VALUES, DUE, next_due

_TAKE = b"""
    WITH taken AS MATERIALIZED (
        SELECT due_ms, enrollment_id, turn FROM due WHERE due_ms <= %s
        ORDER BY due_ms, enrollment_id LIMIT %s FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM due USING taken
        WHERE due.due_ms = taken.due_ms AND due.enrollment_id = taken.enrollment_id AND due.turn = taken.turn
        RETURNING due.*
    )
    SELECT due_ms, enrollment_id, lesson_id, turn, subscriber_id, pattern, secondary, pace FROM gone
"""
_BATCH = f"""
    INSERT INTO batch (uid, kind, funnel, revision_id, lesson_id, segment, state, planned_ms, attempt, retries, size)
    VALUES (%s, {BATCH_VALUES}, %s) RETURNING id
""".encode()
_DELIVERY = b"""
    INSERT INTO delivery (subscriber_id, lesson_id, enrollment_id, turn, batch_id, position, due_ms)
    SELECT * FROM unnest(
        %b::bigint[], %b::bigint[], %b::bigint[], %b::int[], %b::bigint[], %b::smallint[], %b::bigint[]
    )
"""
_ENTER = b"""
    INSERT INTO ledger (lesson_id, subscriber_id, delivery_id)
    SELECT lesson_id, subscriber_id, id FROM delivery WHERE batch_id = %s ORDER BY lesson_id, subscriber_id
"""
_READ = b"""
    SELECT d.id, d.position, e.state, e.turn, s.state, s.zone, s.address_hash, s.sealed, k.version, k.wrapped
    FROM delivery d JOIN enrollment e ON e.id = d.enrollment_id JOIN subscriber s ON s.id = d.subscriber_id
    JOIN subscriber_key k ON k.subscriber_id = s.id
    WHERE d.batch_id = %s ORDER BY d.position
"""
_DUE = f"""
    INSERT INTO due ({DUE}) SELECT * FROM unnest(
        %b::bigint[], %b::bigint[], %b::bigint[], %b::int[], %b::bigint[], %b::text[], %b::text[], %b::text[]
    )
""".encode()


class Postgresql:
    """Works on a connection that is set up as the service's are; everything travels in binary."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._cursor = self._connection.cursor(binary=True)

    def plan(self, now_ms: int, limit: int) -> list[tuple[int, list[Any]]]:
        rows = self._cursor.execute(_TAKE, (now_ms, limit)).fetchall()
        planned = []
        for start in range(0, len(rows), BATCH_SIZE):
            part = rows[start : start + BATCH_SIZE]
            added = self._cursor.execute(_BATCH, (secrets.token_hex(16), len(part))).fetchone()
            assert added
            planned.append((added[0], part))
        given = [
            (subscriber, lesson, enrollment, turn, batch_id, position, due_ms)
            for batch_id, part in planned
            for position, (due_ms, enrollment, lesson, turn, subscriber, *_) in enumerate(part)
        ]
        self._cursor.execute(_DELIVERY, _columns(given))
        self._connection.commit()
        return planned

    def start(self, batch_id: int, now_ms: int) -> Sequence[Any]:
        changed = b"UPDATE batch SET state = 'started', attempt = 1, started_ms = %s WHERE id = %s"
        self._cursor.execute(changed, (now_ms, batch_id))
        people = self._cursor.execute(_READ, (batch_id,)).fetchall()
        self._cursor.execute(_ENTER, (batch_id,))
        self._connection.commit()
        return people

    def settle(self, batch_id: int, rows: Sequence[Any], now_ms: int) -> None:
        changed = b"UPDATE batch SET state = 'accepted', proven = 2, settled_ms = %s WHERE id = %s"
        self._cursor.execute(changed, (now_ms, batch_id))
        self._cursor.execute(_DUE, _columns(next_due(rows, now_ms)))
        self._connection.commit()


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
