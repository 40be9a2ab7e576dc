"""Retention: what has been kept long enough is deleted, some at a time, as funnel/core/retention.py tells."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, Table

from funnel.core.retention import RULES
from funnel.flow import erasing
from funnel.flow.erasing import By
from funnel.flow.tools import Tools
from funnel.store import retention, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import event, notice, request

AT_ONCE = 500
PEOPLE_AT_ONCE = 50  # an erasure keeps every start waiting


class _Duty(NamedTuple):
    """How many there are from before a moment; and the deletion of the next ones, which returns how many it met."""

    number: Callable[[Connection, int], int]
    clear: Callable[[Connection, Tools, int, int], int]


def counts(tools: Tools, periods_ms: Mapping[str, int], now_ms: int) -> dict[str, int]:
    """How many things each rule would delete now; what two rules name counts for both. Deletes nothing."""
    with reading(tools.engine) as connection:
        return {
            name: sum(duty.number(connection, now_ms - periods_ms[name]) for duty in duties)
            for name, duties in DUTIES.items()
        }


def clear(
    tools: Tools, periods_ms: Mapping[str, int], now_ms: int, show: Callable[[str, int], None] = lambda *_: None
) -> dict[str, int]:
    """Everything that is too old. Returns how many things each rule has deleted."""
    found = dict.fromkeys(RULES, 0)
    while some := clear_some(tools, periods_ms, now_ms):
        for name, count in some.items():
            found[name] += count
            show(name, count)
    return found


def clear_some(tools: Tools, periods_ms: Mapping[str, int], now_ms: int) -> dict[str, int]:
    """The next part of what is too old, in a short transaction: (rule → how many). Empty once nothing is left, or while
    somebody else is at it."""
    for name, duties in DUTIES.items():
        for duty in duties:
            with writing(tools.engine) as connection:
                if not retention.is_alone(connection):
                    return {}
                count = duty.clear(connection, tools, now_ms - periods_ms[name], now_ms)
            if count:
                return {name: count}
    return {}


def _count_sign_ups(connection: Connection, before_ms: int) -> int:
    return retention.count(connection, retention.old_sign_ups(before_ms))


def _clear_sign_ups(connection: Connection, _tools: Tools, before_ms: int, _now_ms: int) -> int:
    rows = connection.execute(retention.old_sign_ups(before_ms).limit(AT_ONCE)).all()
    retention.delete_sign_ups(connection, rows)
    return len(rows)


def _count_strangers(connection: Connection, before_ms: int) -> int:
    return retention.count(connection, retention.old_strangers(before_ms))


def _clear_strangers(connection: Connection, tools: Tools, before_ms: int, now_ms: int) -> int:
    ids = list(connection.scalars(retention.old_strangers(before_ms).limit(PEOPLE_AT_ONCE)))
    for reader in subscribers.locked(connection, ids):
        erasing.erase_reader(connection, tools, reader, By.UNCONFIRMED, now_ms)
    return len(ids)


def _count_courses(connection: Connection, before_ms: int) -> int:
    return retention.count(connection, retention.old_courses(before_ms))


def _clear_courses(connection: Connection, _tools: Tools, before_ms: int, _now_ms: int) -> int:
    rows = connection.execute(retention.old_courses(before_ms).limit(AT_ONCE)).all()
    retention.forget_courses(connection, rows)
    return len(rows)


def _count_tokens(connection: Connection, before_ms: int) -> int:
    return retention.count(connection, retention.old_tokens(before_ms))


def _clear_tokens(connection: Connection, _tools: Tools, before_ms: int, _now_ms: int) -> int:
    ids = list(connection.scalars(retention.old_tokens(before_ms).limit(AT_ONCE)))
    retention.forget_tokens(connection, ids)
    return len(ids)


def _count_erasures(connection: Connection, before_ms: int) -> int:
    return retention.count(connection, retention.old_erasures(before_ms))


def _clear_erasures(connection: Connection, _tools: Tools, before_ms: int, now_ms: int) -> int:
    ids = list(connection.scalars(retention.old_erasures(before_ms).limit(AT_ONCE)))
    return sum(erasing.give_up(connection, id_, now_ms) for id_ in ids)


def _oldest(table: Table, moment: str) -> _Duty:
    """Of a table whose rows come in the order of time."""

    def count(connection: Connection, before_ms: int) -> int:
        return retention.count_old(connection, table, moment, before_ms)

    def clear(connection: Connection, _tools: Tools, before_ms: int, _now_ms: int) -> int:
        return retention.delete_old(connection, table, moment, before_ms, AT_ONCE)

    return _Duty(count, clear)


# Every rule of RULES, in an order in which the later ones find what the earlier ones have left.
DUTIES: Mapping[str, tuple[_Duty, ...]] = {
    "pending": (_Duty(_count_strangers, _clear_strangers), _Duty(_count_sign_ups, _clear_sign_ups)),
    "pattern": (_Duty(_count_courses, _clear_courses),),
    "links": (),  # they are kept nowhere: whoever opens one is told
    "events": (_oldest(event, "received_ms"),),
    "tokens": (_Duty(_count_tokens, _clear_tokens),),
    "mails": (_oldest(notice, "created_ms"), _oldest(request, "created_ms")),
    "erasures": (_Duty(_count_erasures, _clear_erasures),),
}
