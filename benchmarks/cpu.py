"""CPU time and peak memory of processes with all their children, read from /proc."""

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


def peak_memory_mb(*roots: int) -> float:
    """The largest resident set that any one of these processes or their living children has had, in MiB."""
    return max((_peak_kib(pid) for pid in tree(*roots)), default=0) / 1024


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
        self._began = (self._cpu_now(), time.perf_counter())
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s = time.perf_counter() - self._began[1]
        self.cpu_s = self._cpu_now() - self._began[0]

    def _cpu_now(self) -> float:
        return time.process_time() + (cpu_seconds(*self._roots) if self._roots else 0)


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


def _peak_kib(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
