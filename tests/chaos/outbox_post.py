"""The local outbox: a file for each message, named for its delivery. Nothing can arrive twice."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.post import Post, read_mail

LOOK_S = 0.1
COARSE_MS = 20  # a file's time may be that much behind the clock


class OutboxPost(Post):
    """Reads what is new in the outbox below `home`."""

    mail = "outbox"

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._folder = home / "outbox"
        self._seen: set[str] = set()
        self._ended = threading.Event()

    @property
    def server(self) -> contextlib.AbstractContextManager[None]:
        return self._watching()

    def env(self) -> dict[str, str]:
        return {"FUNNEL_MAIL": "outbox"}

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            for path in sorted(self._folder.glob("*.eml")):
                if path.name not in self._seen:
                    self._seen.add(path.name)
                    self._take(path)

    def _take(self, path: Path) -> None:
        at_ms = path.stat().st_mtime_ns // 1_000_000 + COARSE_MS
        mail = read_mail(path.read_bytes(), at_ms)
        self.taken.append(mail)
        self.on_mail(mail)
