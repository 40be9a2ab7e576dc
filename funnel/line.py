"""The line of batches that wait for a free hand: first come, first served, but for those that somebody waits for.

Several are let in together.
"""

import asyncio
from collections import deque
from collections.abc import Container
from contextlib import suppress
from time import perf_counter
from typing import NamedTuple

RECIPIENTS_AT_ONCE = 3_000  # that a start reads in one transaction: others want to write, too
# So long half of the hands may rest until there are as many, so that their batches start together: they share a commit,
# and the pages that it writes.
REST_AT_MOST_S = 0.1


class _Asked(NamedTuple):
    """A batch in the line. `done` ends with its sending; cancelled, it is passed over."""

    batch_id: int
    size: int
    urgent: bool
    done: asyncio.Future[None]


class Line:
    """Batches waiting for one of so many hands. Of those `under_way` none is let in a second time."""

    def __init__(self, hands: int, under_way: Container[int]) -> None:
        self._free = asyncio.Semaphore(hands)
        self._at_rest = hands // 2
        self._under_way = under_way
        self._waiting: deque[_Asked] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting(self) -> set[int]:
        """Ids of the batches that are still wanted."""
        return {each.batch_id for each in self._waiting if not each.done.cancelled()}

    def join(self, batch_id: int, size: int, *, urgent: bool = False) -> asyncio.Future[None]:
        """Puts a batch of so many recipients at the end; an urgent one before all that are not. What is returned ends
        with its sending, or without any.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closed:
            end(done)
        else:
            place = sum(each.urgent for each in self._waiting) if urgent else len(self._waiting)
            self._waiting.insert(place, _Asked(batch_id, size, urgent, done))
        return done

    def close(self) -> None:
        """Nobody is let in any more. For good."""
        self._closed = True
        while self._waiting:
            end(self._waiting.popleft().done)

    async def let_in(self) -> dict[int, asyncio.Future[None]]:
        """The next batch, once a hand is free, and as many more as find theirs in a moment. Each has taken one."""
        found: dict[int, asyncio.Future[None]] = {}
        room, until_s = RECIPIENTS_AT_ONCE, 0.0
        while self._waiting and not (found and self._waiting[0].size > room):
            batch_id, size, _, done = asked = self._waiting[0]
            if done.done() or batch_id in found or batch_id in self._under_way:
                end(self._waiting.popleft().done)
                continue
            if not await self._take(len(found), until_s):
                break
            until_s = until_s or perf_counter() + REST_AT_MOST_S
            if done.done() or self._waiting[0] is not asked:  # told to stop, given up or overtaken while it waited
                self.free()
                continue
            self._waiting.popleft()
            found[batch_id] = done
            room -= size
        return found

    def free(self) -> None:
        """A hand is free again."""
        self._free.release()

    async def _take(self, taken: int, until_s: float) -> bool:
        """Takes one: the first whenever it is free, a few more until then, and any others if they are free now."""
        longest_s = until_s - perf_counter() if taken and self._free.locked() else None
        if longest_s is not None and (longest_s <= 0 or taken >= self._at_rest):
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                return await self._free.acquire()
        return False


def end(done: asyncio.Future[None]) -> None:
    """Lets whoever waits for it go on."""
    if not done.done():
        done.set_result(None)
