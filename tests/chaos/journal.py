"""What the processes under attack tell before they do it: lines in a file, which no kill can take back."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """Appends whole lines; many processes may write at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, what: str, **more: Any) -> None:
        os.write(self._file, (json.dumps({"what": what, "at_ms": now_ms(), **more}) + "\n").encode())

    def lines(self, what: str) -> Iterator[dict[str, Any]]:
        with self.path.open() as file:
            for line in file:
                told = json.loads(line)
                if told["what"] == what:
                    yield told

    def close(self) -> None:
        os.close(self._file)
