"""What must be known of a delivery once its mail is built. Address, name and key are kept no longer than that."""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from funnel.store.tables import Record


class Alike(NamedTuple):
    """Whoever shares these has the same next step."""

    lesson_id: int
    pattern: str
    secondary: str | None
    pace: str
    zone: str


class Sent(NamedTuple):
    """A delivery on its way. `id`, `turn` and the others are those of its row."""

    id: int
    enrollment_id: int
    turn: int
    subscriber_id: int
    alike: Alike


_own, _shared = attrgetter("id", "enrollment_id", "turn", "subscriber_id"), attrgetter(*Alike._fields)


def sent(rows: Sequence[Record]) -> tuple[Sent, ...]:
    """The deliveries of rows as `deliveries.readers` reads them. The few kinds of readers there are, are shared."""
    kinds: dict[tuple[object, ...], Alike] = {}
    found = []
    for row in rows:
        shared = _shared(row)
        if shared not in kinds:
            kinds[shared] = Alike(*shared)
        found.append(Sent(*_own(row), kinds[shared]))
    return tuple(found)
