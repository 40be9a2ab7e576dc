"""Things to do at a later moment, in threads, tried again until they succeed: readers and webhooks do not give up."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable

Try = Callable[[], float | None]  # returns in how many seconds to try again, or None when done


class Later:
    """`faults` are what no task may raise; a run with any has failed. `ended` is set when nobody need wait any more."""

    def __init__(self, threads: int) -> None:
        self.faults: list[str] = []
        self._heap: list[tuple[float, int, Try]] = []
        self._order = itertools.count()
        self._busy = 0
        self.ended = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        with self._changed:
            return len(self._heap) + self._busy

    def after(self, seconds: float, task: Try) -> None:
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._order), task))
            self._changed.notify()

    def end(self) -> None:
        """Forgets what is left, and waits for what has begun."""
        with self._changed:
            self.ended.set()
            self._heap.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(30)

    def _work(self) -> None:
        while task := self._next():
            again = None
            try:
                again = task()
            except Exception as error:  # noqa: BLE001 -- told at the end
                self.faults.append(f"{type(error).__name__}: {error}")
            if again is not None and not self.ended.is_set():
                self.after(again, task)
            with self._changed:
                self._busy -= 1

    def _next(self) -> Try | None:
        with self._changed:
            while not self.ended.is_set():
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    self._busy += 1
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(wait)
            return None
