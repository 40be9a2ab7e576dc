"""What a scrape of /metrics costs: every query goes by an index, however much has been sent."""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, text
from sqlalchemy import event as events

from funnel.flow.tools import Tools
from funnel.store.db import reading, writing
from funnel.store.tables import batch, delivery, due, enrollment, event
from tests.conftest import NAME, NOON_MS
from tests.web.conftest import Site
from tests.web.test_metrics import DAY_MS, batch_row, on_both, scrape


def grow(connection: Connection, first: int, count: int) -> None:
    """A past of so many lessons: all settled long ago, told of by events, and none of them due."""
    old_ms = NOON_MS - 40 * DAY_MS
    numbers = range(first, first + count)
    long_ago = {"settled_ms": old_ms, "due_ms": old_ms, "proven": 2, "seen_ms": old_ms, "started_ms": old_ms}
    connection.execute(insert(batch), [batch_row("accepted", 1, id=number, **long_ago) for number in numbers])
    told = {"position": 0, "attempt": 1, "kind": "delivered", "reason": "", "at_ms": old_ms, "received_ms": old_ms}
    connection.execute(insert(event), [{"id": n, "batch_id": n, "handled_ms": old_ms, **told} for n in numbers])
    sent = {"lesson_id": 1, "turn": 1, "position": 0, "due_ms": old_ms}
    connection.execute(
        insert(delivery), [{"subscriber_id": n, "enrollment_id": n, "batch_id": n, **sent} for n in numbers]
    )
    course = {"funnel": NAME, "pattern": "p", "pace": "as-written", "state": "active", "turn": 1}
    course |= {"created_ms": old_ms, "changed_ms": old_ms}
    connection.execute(insert(enrollment), [{"subscriber_id": n, **course} for n in numbers])
    later = {"due_ms": NOON_MS + DAY_MS, "lesson_id": 1, "turn": 1, "pattern": "p", "pace": "as-written"}
    connection.execute(insert(due), [{"enrollment_id": n, "subscriber_id": n, **later} for n in numbers])


@pytest.fixture
def statements(tools: Tools) -> Iterator[list[tuple[str, Any]]]:
    """Every statement with its parameters, as the database is given them."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    events.listen(tools.engine, "before_cursor_execute", note)
    yield seen
    events.remove(tools.engine, "before_cursor_execute", note)


@on_both
def test_every_query_goes_by_an_index(site: Site, statements: list[tuple[str, Any]]) -> None:
    engine = site.world.tools.engine
    with writing(engine) as connection:
        grow(connection, 1, 5_000)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    statements.clear()
    scrape(site)
    asked = [each for each in statements if each[0].startswith("SELECT")]
    assert len(asked) >= 10
    scanned = {line for statement, given in asked for line in scans(engine, statement, given)}
    assert scanned == set()


def scans(engine: Engine, statement: str, given: Any) -> list[str]:
    """The lines of a statement's plan that read a table that grows from end to end."""
    how = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with reading(engine) as connection:
        plan = [str(row[-1]) for row in connection.exec_driver_sql(how + statement, given)]
    tables = "due|batch|event|delivery|enrollment"
    if engine.dialect.name == "sqlite":
        # One that is read in the order of its key, until its LIMIT, is named without an index.
        ordered = "LIMIT" in statement and not any("TEMP B-TREE FOR ORDER" in line for line in plan)
        return [line for line in plan if re.match(rf"SCAN ({tables})\b(?!.* INDEX )", line) and not ordered]
    return [line for line in plan if re.search(rf"Seq Scan on ({tables})\b", line)]


def test_a_scrape_costs_the_same_however_long_the_past_is(site: Site) -> None:
    """Counted in steps of SQLite's machine, which no other process disturbs."""
    engine = site.world.tools.engine
    costs = []
    for first, count in ((1, 1_000), (1_001, 9_000)):
        with writing(engine) as connection:
            grow(connection, first, count)
        costs.append(steps(engine, lambda: scrape(site)))
    assert 0 < costs[1] <= costs[0] * 1.1, costs


def steps(engine: Engine, work: Callable[[], object]) -> int:
    """How many hundreds of virtual machine steps SQLite takes for `work`."""
    counted = itertools.count()

    def count() -> int:
        next(counted)
        return 0

    def watch(raw: Any, *_: Any) -> None:
        raw.set_progress_handler(count, 100)

    events.listen(engine, "checkout", watch)
    work()
    events.remove(engine, "checkout", watch)
    return next(counted)
