"""What must be of today even where everything else is restored from an old backup: keys, and whom not to mail.

Whoever was erased since has no key any more, so that nothing sealed about them can be read; the rest of them goes here.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection

from funnel.core.consent import Suppressed
from funnel.flow import leaving
from funnel.flow.tools import Tools
from funnel.store import backup, erasing, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import suppression

AT_ONCE = 1_000
Line = Sequence[Any]


class Restored(NamedTuple):
    """How many people can be read, and how many were erased since the backup."""

    people: int
    erased: int


def apart(tools: Tools) -> Iterator[Line]:
    """Everything that a backup keeps apart: (table, values…), bytes as a list of their base64."""
    with reading(tools.engine) as connection:
        for table, row in backup.apart(connection):
            yield [table, *(_text(value) for value in row)]


def _text(value: Any) -> Any:
    return [base64.b64encode(value).decode()] if isinstance(value, bytes) else value


def _values(line: Line) -> Line:
    return [base64.b64decode(*value) if isinstance(value, list) else value for value in line[1:]]


def bring_up_to_date(tools: Tools, lines: Iterable[Line], now_ms: int) -> Restored:
    """Gives restored people the keys that are left of theirs, and stops the mail of whom not to mail any more."""
    left = iter(lines)
    while some := list(islice(left, AT_ONCE)):
        with writing(tools.engine) as connection:
            for table in {line[0] for line in some}:
                _take_in(connection, table, [_values(line) for line in some if line[0] == table], now_ms)
    with writing(tools.engine) as connection:
        backup.drop_strays(connection)
        backup.leap(connection)
        people, erased = backup.counts(connection)
    _erase_again(tools)
    return Restored(people, erased)


def _take_in(connection: Connection, table: str, rows: Sequence[Line], now_ms: int) -> None:
    if table == suppression.name:
        for address_hash, reason, at_ms in rows:
            _suppress(connection, address_hash, reason, at_ms, now_ms)
    else:
        backup.put_back(connection, table, rows)


def _suppress(connection: Connection, address_hash: bytes, reason: str, at_ms: int, now_ms: int) -> None:
    for reader in subscribers.locked_by_hash(connection, [address_hash]):
        leaving.suppress(connection, reader, Suppressed(reason), at_ms, now_ms)
        return
    subscribers.suppress(connection, address_hash, reason, at_ms)


def _erase_again(tools: Tools) -> None:
    """Deletes everybody who was erased since the backup."""
    after = 0
    while True:
        with writing(tools.engine) as connection:
            rows = backup.without_key(connection, after, AT_ONCE)
            for row in rows:
                erasing.delete_person(connection, row.id, erasing.traces(connection, row.id))
        if not rows:
            return
        after = rows[-1].id
