"""A kill at a labelled step: of the process that reaches it, or of the server that it works with."""

import functools
import inspect
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from tests.chaos.journal import Journal
from tests.chaos.steps import steps

SELF, NAP = "self", "nap"


@dataclass(frozen=True)
class Trap:
    """Strikes `victim` when one of `labels` is reached for the `hits`-th time, `after_s` seconds after the start.

    With `onward`, it strikes when that label is reached next. `victim` is SELF, or a file that holds the process id of
    a server; NAP does not kill: the process stands still until somebody wakes it. `number`: of a script's kill.
    """

    labels: frozenset[str]
    hits: int = 1
    after_s: float = 0.0
    victim: str = SELF
    onward: str = ""
    number: int | None = None


class Traps:
    """The steps of one process, each with its trap."""

    def __init__(self, role: str, mail: str, trap: Trap | None, journal: Journal) -> None:
        self._role = role
        self._mail = mail
        self._trap = trap
        self._journal = journal
        self._hits = 0
        self._struck = False
        self._lock = threading.Lock()
        self._from = time.monotonic() + (trap.after_s if trap else 0)

    def lay(self) -> None:
        for step, (home, name) in steps(self._role, self._mail).items():
            setattr(home, name, self._around(step, getattr(home, name)))

    def lay_in_sql(self, engine: Engine) -> None:
        """Before and after each statement, and each commit."""
        event.listen(engine, "before_cursor_execute", lambda *_: self._reached("before statement"))
        event.listen(engine, "after_cursor_execute", lambda *_: self._reached("after statement"))
        engine.dialect.do_commit = self._around("commit", engine.dialect.do_commit)  # type: ignore[method-assign]

    def _around(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        before, after = f"before {step}", f"after {step}"

        @functools.wraps(function)
        def plain(*arguments: Any, **named: Any) -> Any:
            self._reached(before, arguments)
            found = function(*arguments, **named)
            self._reached(after, arguments)
            return found

        @functools.wraps(function)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            self._reached(before, arguments)
            found = await function(*arguments, **named)
            self._reached(after, arguments)
            return found

        return awaited if inspect.iscoroutinefunction(function) else plain

    def _reached(self, place: str, about: tuple[Any, ...] = ()) -> None:
        label = f"{self._role}: {place}"
        if self._trap and self._is_time(self._trap, label):
            self._strike(self._trap, label, about)

    def _is_time(self, trap: Trap, label: str) -> bool:
        waits = label != trap.onward and label not in trap.labels
        if waits or self._struck or time.monotonic() < self._from:
            return False
        with self._lock:
            if self._struck:
                return False
            here = self._hits >= trap.hits and label == trap.onward
            self._hits += label in trap.labels
            self._struck = here if trap.onward else self._hits == trap.hits
            return self._struck

    def _strike(self, trap: Trap, label: str, about: tuple[Any, ...]) -> None:
        if trap.victim == NAP:
            uid, attempt = next((one.uid, one.attempt) for one in about if hasattr(one, "uid"))
            self._journal.note("napping", label=label, number=trap.number, pid=os.getpid(), uid=uid, attempt=attempt)
            os.kill(os.getpid(), signal.SIGSTOP)
        elif trap.victim == SELF:
            self._journal.note("killed", label=label, number=trap.number, victim=self._role)
            os.kill(os.getpid(), signal.SIGKILL)
        elif kill_family(Path(trap.victim)):
            self._journal.note("killed", label=label, number=trap.number, victim=Path(trap.victim).stem)


def kill_family(pid_file: Path) -> bool:
    """Kills a server and the processes it has forked, all at one moment. False when it was not running."""
    try:
        pid = int(pid_file.read_text())
        pid_file.unlink()  # whoever succeeds is the one who kills
    except (OSError, ValueError):
        return False
    return kill_all(pid)


def kill_all(pid: int) -> bool:
    """Kills a process that forks, with its children. False when it had gone."""
    try:
        os.kill(pid, signal.SIGSTOP)  # it forks no more
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return False
    for each in (pid, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    return True
