"""The form does the same for every address: the same bytes by the same SQL. `make enumeration` measures time, too."""

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy import event

from tests.web.conftest import Site
from tests.web.enumeration import STATES, Stranger, accuracies, by_neighbors, by_threshold, gather
from tests.web.everybody import invite

EACH = 12


@pytest.fixture
def known(site: Site) -> Site:
    invite(site)
    return site


@pytest.mark.parametrize("published", ["sqlite", "postgresql"], indirect=True)
def test_every_state_of_an_address_gets_the_same_bytes_by_the_same_sql(known: Site) -> None:
    said, ran, running = set(), defaultdict(set), list[str]()
    event.listen(known.world.tools.engine, "before_cursor_execute", lambda *sent: running.append(_text(sent)))

    async def look() -> None:
        stranger = Stranger(known)
        await stranger.sample(STATES[0])
        for _ in range(EACH):
            for state in STATES:
                running.clear()
                said.add((await stranger.sample(state)).said)
                ran[tuple(running)].add(state)

    asyncio.run(look())
    assert len(said) == 1
    assert list(ran.values()) == [set(STATES)]
    writes = [each for each in next(iter(ran)) if not each.startswith(("SELECT", "BEGIN"))]
    assert [each.split()[:3] for each in writes] == [["INSERT", "INTO", "signup"]]


def _text(sent: tuple[Any, ...]) -> str:
    return str(sent[2])


def test_what_was_measured_can_be_told_apart_only_when_it_differs(known: Site) -> None:
    samples = asyncio.run(gather(known, 4))
    assert {name for _, _, name, _ in accuracies(samples)} == {"threshold", "neighbors"}
    assert {share for _, feature, _, share in accuracies(samples) if feature == "bytes"} == {0.5}
    apart = [(float(value), value >= 50) for value in range(100)]
    draw = random.Random(3)
    alike, again = ([(draw.random(), draw.random() < 0.5) for _ in range(1_000)] for _ in range(2))
    for classify in (by_threshold, by_neighbors):
        assert classify(apart, apart) >= 95
        assert 450 <= classify(alike, again) <= 550
