"""The line of batches that wait for a hand."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from funnel.line import RECIPIENTS_AT_ONCE, Line


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30):
            await scene()

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("sizes", "hands", "together"),
    [
        pytest.param([200, 200, 200], 8, [0, 1, 2], id="all that find a hand"),
        pytest.param([200, 200, 200], 2, [0, 1], id="no more than there are hands"),
        pytest.param([1_000, 1_000, 1_000, 1], 8, [0, 1, 2], id="no more recipients than a start reads"),
        pytest.param([1_000, 2_001, 1], 8, [0], id="nobody is passed over for being large"),
        pytest.param([RECIPIENTS_AT_ONCE + 1, 1], 8, [0], id="what is too large for any start goes alone"),
    ],
)
def test_batches_are_let_in_together_in_their_order(sizes: list[int], hands: int, together: list[int]) -> None:
    async def scene() -> None:
        line = Line(hands, ())
        for number, size in enumerate(sizes):
            line.join(number, size)
        assert list(await line.let_in()) == together
        assert line.waiting() == set(range(len(sizes))) - set(together)

    run(scene)


def test_a_batch_that_is_under_way_or_given_up_or_there_twice_is_let_in_once_at_most() -> None:
    async def scene() -> None:
        line = Line(8, {1})
        asked = [line.join(id_, 1) for id_ in (1, 2, 2, 3)]
        asked[3].cancel()
        assert line.waiting() == {1, 2}
        assert await line.let_in() == {2: asked[1]}
        assert [each.done() for each in asked] == [True, False, True, True]
        assert len(line) == 0

    run(scene)


def test_half_of_the_hands_rest_for_each_other_and_then_start_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funnel.line.REST_AT_MOST_S", 3_600)

    async def scene() -> None:
        line = Line(4, ())
        for number in range(8):
            line.join(number, 1)
        assert list(await line.let_in()) == [0, 1, 2, 3]
        line.free()
        waiting = asyncio.create_task(line.let_in())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        line.free()
        assert list(await waiting) == [4, 5]

    run(scene)


def test_a_batch_waits_for_its_own_hand_but_not_for_long_for_those_of_others() -> None:
    async def scene() -> None:
        line = Line(4, ())
        for number in range(6):
            line.join(number, 1)
        assert list(await line.let_in()) == [0, 1, 2, 3]
        line.free()
        assert list(await line.let_in()) == [4]
        assert line.waiting() == {5}

    run(scene)


def test_an_urgent_batch_goes_before_all_that_are_not_and_behind_those_that_are() -> None:
    async def scene() -> None:
        line = Line(1, ())
        line.join(1, 1)
        waiting = asyncio.create_task(line.let_in())
        assert list(await waiting) == [1]
        line.join(2, 1)
        waiting = asyncio.create_task(line.let_in())
        await asyncio.sleep(0)
        line.join(3, 1, urgent=True)
        line.join(4, 1, urgent=True)
        line.join(5, 1)
        for expected in (3, 4, 2, 5):
            line.free()
            assert list(await waiting) == [expected]
            waiting = asyncio.create_task(line.let_in())

    run(scene)


def test_a_closed_line_lets_nobody_in_and_keeps_nobody_waiting() -> None:
    async def scene() -> None:
        line = Line(1, ())
        asked = [line.join(id_, 1) for id_ in (1, 2)]
        assert list(await line.let_in()) == [1]
        waiting = asyncio.create_task(line.let_in())
        await asyncio.sleep(0)
        line.close()
        line.free()
        assert await waiting == {}
        assert asked[1].done()
        assert line.join(3, 1).done()
        assert len(line) == 0

    run(scene)


def test_a_hand_that_was_taken_for_who_gave_up_is_there_for_the_next() -> None:
    async def scene() -> None:
        line = Line(1, ())
        line.join(1, 1)
        await line.let_in()
        second, _ = line.join(2, 1), line.join(3, 1)
        waiting = asyncio.create_task(line.let_in())
        await asyncio.sleep(0)
        second.cancel()
        line.free()
        assert list(await waiting) == [3]

    run(scene)
