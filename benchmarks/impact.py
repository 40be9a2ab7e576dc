"""How long it takes to say what an edit means to a million people half-way through, and to move them all."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine, func, select, text

from benchmarks.bench import KEYRING, KINDS, Bench
from benchmarks.cpu import Meter
from benchmarks.crowd import Shape
from funnel import content
from funnel.core.moving import Policy
from funnel.core.progress import Reader, next_step
from funnel.flow import impact, publish, rebooking
from funnel.flow.publish import Note
from funnel.flow.tools import Tools
from funnel.store import revisions
from funnel.store.bulk import add_many
from funnel.store.db import one_big_question, reading, writing
from funnel.store.tables import batch, delivery, due, enrollment, subscriber
from tests.conftest import NAME, ROOT, make_tools

MILLION = 1_000_000
AT_ONCE = 50_000
# Every lesson was accepted in one of the minutes of the last two days, in no order.
_ACCEPTED = "UPDATE batch SET started_ms = {at}, settled_ms = {at} + 300"
_AT = ":now_ms - id * 7919 % 2880 * 60000"
_LESSON = "[[lessons]]"


def run(bench: Bench) -> None:
    readers = 2_000 if bench.quick else MILLION
    shape = Shape(readers, readers // 100, scattered=False, sealed=False)
    root = _edited(bench.folder)
    for kind in KINDS:
        known: dict[str, str | int] = {"database": kind, "enrollments": readers}
        with bench.copy(kind, shape) as url, bench.engine(url) as engine:
            tools = make_tools(engine, KEYRING)
            _await_what_follows(engine, tools, bench.now_ms)
            changed = content.parse(NAME, content.read_folder(root, NAME))
            for policy in Policy:
                with Meter() as meter:
                    found = impact.impact(tools, NAME, changed, policy, bench.now_ms)
                assert found.waiting == readers, f"{found.waiting} waiting"
                bench.report.add("impact: report of an edit", meter.wall_s, "s", **known, policy=policy.value)
            publish.publish(tools, root, bench.now_ms, Note(policy=Policy.ALONG))
            _report_moving(bench, tools, known)
        bench.forget(kind, shape)


def _report_moving(bench: Bench, tools: Tools, known: dict[str, str | int]) -> None:
    seen: list[int] = []
    with Meter() as meter:
        moved = rebooking.move_all(tools, lambda: bench.now_ms, lambda part: seen.append(part.seen) if part else None)
    said = {**known, "policy": Policy.ALONG.value, "moved": moved}
    bench.report.add("impact: moving everybody", meter.wall_s, "s", **said)
    bench.report.add("impact: moving, speed", sum(seen) / meter.wall_s, "rows/s", **said)


def _edited(folder: Path) -> Path:
    """The shipped content, but that the fourth lesson of each pattern waits four days."""
    root = folder / "edited"
    for room in ("sequences", "emails"):
        shutil.copytree(ROOT / room, root / room)
    for path in (root / "sequences" / NAME).glob("*.toml"):
        parts = path.read_text(encoding="utf-8").split(_LESSON)
        if len(parts) > 4:
            parts[4] = re.sub(r'wait = ".*"', 'wait = "4 days"', parts[4])
            path.write_text(_LESSON.join(parts), encoding="utf-8")
    return root


def _await_what_follows(engine: Engine, tools: Tools, now_ms: int) -> None:
    """Everybody who waits does so for the moment that follows from the lesson that they have had last."""
    with writing(engine) as connection:
        connection.execute(text(_ACCEPTED.format(at=_AT)), {"now_ms": now_ms})
    rows = sorted(_following(tools, now_ms))
    names = [column.name for column in due.c]
    with writing(engine) as connection:
        connection.execute(text("TRUNCATE due" if engine.dialect.name == "postgresql" else "DELETE FROM due"))
        for start in range(0, len(rows), AT_ONCE):
            columns = zip(*rows[start : start + AT_ONCE], strict=True)
            add_many(connection, due, dict(zip(names, columns, strict=True)))
    if engine.dialect.name == "postgresql":  # as the server itself would have done by and by
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in ("VACUUM (ANALYZE) due", "VACUUM (ANALYZE) batch", "CHECKPOINT"):
                connection.execute(text(statement))


def _following(tools: Tools, now_ms: int) -> Iterator[tuple[object, ...]]:
    """The due rows; whoever has had nothing waits for the first lesson now."""
    last = select(delivery.c.enrollment_id, func.max(batch.c.settled_ms).label("at_ms"))
    last = last.join_from(delivery, batch, batch.c.id == delivery.c.batch_id).group_by(delivery.c.enrollment_id)
    had = last.subquery()
    joined = due.join(enrollment, enrollment.c.id == due.c.enrollment_id)
    joined = joined.join(subscriber, subscriber.c.id == due.c.subscriber_id)
    joined = joined.outerjoin(had, had.c.enrollment_id == due.c.enrollment_id)
    with reading(tools.engine) as connection:
        funnel = tools.current(connection)[NAME][1]
        keys = {id_: key for key, id_ in revisions.lesson_ids(connection, NAME).items()}
        with one_big_question(connection):
            rows = connection.execute(select(*due.c, subscriber.c.zone, had.c.at_ms).select_from(joined)).all()
    moments: dict[tuple[int, str, int], int] = {}
    for row in rows:
        alike = row.lesson_id, row.zone, row.at_ms or now_ms
        if alike not in moments:
            lessons = list(funnel.patterns[row.pattern].places)
            reader = Reader(row.pattern, None, row.pace, row.zone)
            step = next_step(funnel, reader, lessons[: lessons.index(keys[row.lesson_id])], alike[2])
            assert step is not None
            moments[alike] = step.due_ms
        yield moments[alike], *row[1 : len(due.c)]
