"""Movers, planners and senders at the same time, in threads: nobody is mailed twice, and nobody is left behind."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Engine

from funnel.core.consent import Enrolled
from funnel.core.moving import Policy
from funnel.flow import publish, rebooking
from funnel.keyring import Keyring
from funnel.store.tables import enrollment, publication
from tests.conftest import Clock, make_tools
from tests.desk import Desk

READERS = [f"reader-{number}@example.org" for number in range(24)]
EDITS = (
    (Policy.ALONG, ("a", "b: 2 days", "c", "d")),
    (Policy.CATCH_UP, ("a", "x", "b", "d", "c")),
    (Policy.GENTLE, ("a", "b", "d")),
)


@pytest.fixture
def desk(engine: Engine, keyring: Keyring, clock: Clock, tmp_path: Path) -> Desk:
    found = Desk(make_tools(engine, keyring), clock, tmp_path)
    found.publish("a", "b", "c", "d")
    for reader in READERS:
        found.join(reader)
    return found


def test_two_movers_and_a_sender_at_once_double_and_strand_nobody(desk: Desk) -> None:
    over = Event()

    def move() -> int:
        seen = 0
        for limit in cycle((3, 7, 5)):
            found = rebooking.go_on(desk.tools, desk.clock(), limit)
            seen += found
            if over.is_set() and not found:
                return seen
        raise AssertionError("a cycle does not end")

    with ThreadPoolExecutor(2) as movers:
        moving = [movers.submit(move) for _ in range(2)]
        try:
            for policy, lessons in EDITS:
                desk.write(*lessons)
                publish.publish(desk.tools, desk.root, desk.clock(), publish.Note(policy=policy))
                for _ in range(3):
                    desk.clock.forward(hours=9)
                    desk.work()
        finally:
            over.set()
        assert sum(each.result() for each in moving) > len(READERS)
    assert {row.state for row in desk.rows(publication)} == {"done"}
    desk.days(12)
    assert {row.state for row in desk.rows(enrollment)} == {Enrolled.FINISHED}
    for reader in READERS:
        had = Counter(desk.lessons(reader))
        assert max(had.values()) == 1
        assert {"a", "b", "d"} <= had.keys()
