"""CPU time of processes with all their children, and memory of processes, read from /proc."""

import os
import time
from pathlib import Path

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(*roots: int) -> float:
    """User and system time of these processes and everything below them, the children that have ended included.

    A root must still be there: with it goes what its ended children have used. Raises ProcessLookupError.
    """
    return sum(_own_seconds(pid) + _ended_seconds(pid) for pid in tree(*roots))


def memory_mb(pid: int) -> float:
    """The resident set of a process now, in MiB.

    Without the pages of a database file that it has mapped: those are the system's cache, which others share.
    """
    kib, counts = 0, False
    for line in (PROC / str(pid) / "smaps").read_text().splitlines():
        if not line.partition(" ")[0].endswith(":"):
            counts = ".db" not in line  # a mapping's own line: its addresses, and the file behind it
        elif counts and line.startswith("Rss:"):
            kib += int(line.split()[1])
    return kib / 1024


def tree(*roots: int) -> set[int]:
    """These processes and their living children, down to the last. Raises ProcessLookupError."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    ends = set(roots)
    while ends:
        found |= ends
        ends = {child for pid in ends for child in children.get(pid, ())} - found
    if gone := [pid for pid in roots if not _stat(pid)]:
        raise ProcessLookupError(f"no process {gone[0]}")
    return found


class Meter:
    """Measures a `with` block: `cpu_s` of this process and of the trees below `roots`, and `wall_s`.

    Of this process only what itself uses counts: its children are counted where they are named as roots.
    """

    def __init__(self, *roots: int) -> None:
        self._roots = roots
        self.cpu_s = self.wall_s = 0.0

    def __enter__(self) -> "Meter":
        # Reading /proc takes time of our own: it lies outside what is measured, before the beginning and after the end.
        self._others_s = self._others()
        self._own_s, self._began_s = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        own_s, ended_s = time.process_time(), time.perf_counter()
        self.wall_s = ended_s - self._began_s
        self.cpu_s = own_s - self._own_s + self._others() - self._others_s

    def _others(self) -> float:
        return cpu_seconds(*self._roots) if self._roots else 0.0


def _own_seconds(pid: int) -> float:
    fields = _stat(pid)
    counted = (int(fields[11]) + int(fields[12])) * TICK_S if fields else 0.0
    # Ticks are coarse but know the threads that have ended; the scheduler's nanoseconds know only those that live.
    return max(counted, _scheduled_seconds(pid))


def _ended_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) * TICK_S if fields else 0.0


def _scheduled_seconds(pid: int) -> float:
    try:
        tasks = [(task / "schedstat").read_text() for task in (PROC / str(pid) / "task").iterdir()]
    except OSError:
        return 0.0
    return sum(int(task.split()[0]) for task in tasks) / 1e9


def _stat(pid: int) -> list[str]:
    """What follows the name in parentheses: state, parent, …; nothing once the process has gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
