"""Answers on their way into the books."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from funnel import answers
from funnel.answers import Answers, Told
from funnel.core.delivery import ACCEPTED, Report


def test_whoever_brings_an_answer_waits_for_that_one_however_many_come_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "without_mails", lambda started: started)
    monkeypatch.setattr(answers, "GATHER_S", 0.0)
    recorded: list[int] = []

    async def record(told: Told) -> Sequence[bool]:
        await asyncio.sleep(0)
        recorded.extend(started.batch.id for started, _ in told)
        return [True] * len(told)

    async def whole() -> int:
        book, more = Answers(record, lambda _: None), True
        after = 0

        async def keep_bringing() -> None:
            nonlocal after
            waiting = set()
            while more:
                after += 1
                waiting.add(asyncio.create_task(book.add(named(after), Report(ACCEPTED))))
                await asyncio.sleep(0)
            await asyncio.gather(*waiting)

        others = asyncio.create_task(keep_bringing())
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await book.add(named(0), Report(ACCEPTED))
        came = after
        more = False
        await others
        assert sorted(recorded) == list(range(after + 1))
        return came

    assert asyncio.run(whole()) < 100


def named(id_: int) -> Any:
    return SimpleNamespace(batch=SimpleNamespace(id=id_), rows=())
