"""What the processes under attack tell before they do it: lines in a file, which no kill can take back."""

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Told = dict[str, Any]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """Appends whole lines; many processes may write at once, and each line is read once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._reader = path.open("rb")
        self._lock = threading.Lock()
        self._told: defaultdict[str, list[Told]] = defaultdict(list)
        self._fates: dict[tuple[str, int], str] = {}

    def note(self, what: str, **more: Any) -> None:
        os.write(self._file, (json.dumps({"what": what, "at_ms": now_ms(), **more}) + "\n").encode())

    def lines(self, what: str) -> Sequence[Told]:
        """In order; what is told from now on is added to it."""
        with self._lock:
            self._read_on()
            return self._told[what]

    def fate(self, uid: str, attempt: int) -> str | None:
        """What was recorded of an attempt, if anything was."""
        self.lines("settled")
        return self._fates.get((uid, attempt))

    def close(self) -> None:
        os.close(self._file)
        self._reader.close()

    def _read_on(self) -> None:
        for line in self._reader:
            if not line.endswith(b"\n"):
                self._reader.seek(-len(line), os.SEEK_CUR)  # somebody is writing it
                return
            told = json.loads(line)
            self._told[told["what"]].append(told)
            if told["what"] == "settled":
                self._fates[told["uid"], told["attempt"]] = told["state"]
