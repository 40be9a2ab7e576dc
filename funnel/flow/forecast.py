"""What will be sent: what the due table says, and what would follow if all went as it is written now."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from sqlalchemy import Connection

from funnel.core.calendar import steps
from funnel.core.progress import Reader
from funnel.core.schedule import HOUR_MS
from funnel.flow.tools import Tools
from funnel.store import forecasts, holds, positions, reached, revisions
from funnel.store.db import reading
from funnel.store.tables import Record

ROWS_AT_ONCE = 5_000
Hours = Mapping[int, int]  # an hour's beginning, in epoch milliseconds → lessons


@dataclass(frozen=True)
class Forecast:
    """`due`, `projected`: lessons by the hour. `overdue`: due by now, not planned yet; the oldest since `oldest_ms`.

    `under_way`: planned, started, or nobody knows. `held`: why a scope is not sent at the moment.
    """

    due: Hours
    overdue: int = 0
    oldest_ms: int | None = None
    under_way: int = 0
    projected: Hours | None = None


@dataclass(frozen=True)
class Outlook:
    """Funnel → what is coming; and scope → why nothing of it is sent at the moment."""

    funnels: Mapping[str, Forecast]
    held: Mapping[str, str]


def forecast(tools: Tools, now_ms: int, until_ms: int, *, project: bool = False) -> Outlook:
    """What is coming by `until_ms`, funnel by funnel.

    With `project`, what follows on the lessons that are due by then too, as the current revisions have it and as if
    each were accepted when it is due. Nobody who signs up later is among them, nor what follows on a lesson under way.
    """
    with reading(tools.engine) as connection:
        late = {row.funnel: row for row in forecasts.overdue(connection, now_ms)}
        due: dict[str, dict[int, int]] = {}
        for row in forecasts.by_hour(connection, now_ms, until_ms):
            due.setdefault(row.funnel, {})[row.hour_ms] = row.lessons
        open_: Counter[str] = Counter()
        for row in forecasts.under_way(connection):
            open_[row.funnel] += row.lessons
        held = {row.scope: row.reason for row in holds.listed(connection)}
        projected = _project(connection, tools, now_ms, until_ms) if project else {}
        names = sorted(revisions.current(connection))
    return Outlook(
        {
            name: Forecast(
                due=due.get(name, {}),
                overdue=late[name].lessons if name in late else 0,
                oldest_ms=late[name].oldest_ms if name in late else None,
                under_way=open_[name],
                projected=dict(sorted(projected.get(name, {}).items())) if project else None,
            )
            for name in names
        },
        held,
    )


def _project(connection: Connection, tools: Tools, now_ms: int, until_ms: int) -> dict[str, Counter[int]]:
    current = {name: funnel for name, (_, funnel) in tools.current(connection).items()}
    found: dict[str, Counter[int]] = {name: Counter() for name in current}
    known: dict[tuple[object, ...], list[int]] = {}
    for rows in _positions(connection, until_ms):
        for name, funnel in current.items():
            theirs = [row for row in rows if row.funnel == name]
            had = _had(connection, name, {row.subscriber_id for row in theirs})
            events = reached.of(connection, [row.enrollment_id for row in theirs]) if "event" in funnel.reads else {}
            for row in theirs:
                before = {*had.get(row.subscriber_id, ()), row.lesson_key}
                whose = (row.pattern, row.secondary, row.pace, row.zone, row.locale)
                pressed = events.get(row.enrollment_id, {})
                from_ms = max(row.due_ms, now_ms)
                alike = (name, *whose, frozenset(before), frozenset(pressed.items()), from_ms)
                if alike not in known:
                    following = steps(funnel, Reader(*whose, pressed, (from_ms,)), before, from_ms, tools.day_ms)
                    moments = takewhile(until_ms.__ge__, (step.due_ms for step in following))
                    known[alike] = [at_ms - at_ms % HOUR_MS for at_ms in moments]
                found[name].update(known[alike])
    return found


def _had(connection: Connection, funnel: str, readers: Collection[int]) -> dict[int, set[str]]:
    """subscriber → the keys of the lessons that they have had."""
    keys = {id_: key for key, id_ in revisions.lesson_ids(connection, funnel).items()}
    had: dict[int, set[str]] = {}
    for row in positions.had(connection, keys, readers):
        had.setdefault(row.subscriber_id, set()).add(keys[row.lesson_id])
    return had


def _positions(connection: Connection, until_ms: int) -> Iterator[Sequence[Record]]:
    after = (-1, -1, -1)
    while rows := forecasts.positions(connection, until_ms, after, ROWS_AT_ONCE):
        yield rows
        after = (rows[-1].due_ms, rows[-1].enrollment_id, rows[-1].turn)
