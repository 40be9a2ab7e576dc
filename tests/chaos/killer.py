"""Keeps the processes of a run alive, and kills them: at random, and at labelled steps."""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess

from funnel.flow.tools import Patience
from tests.chaos import children, steps
from tests.chaos.children import Files
from tests.chaos.journal import Journal
from tests.chaos.servers import PostgreSQL, Valkey
from tests.chaos.trap import Trap

FORKS = multiprocessing.get_context("forkserver")
ROLES = {"web": "web", "worker 1": "worker", "worker 2": "worker"}
WEIGHTS = {"web": 2.0, "worker 1": 2.0, "worker 2": 2.0, "valkey": 1.0, "postgresql": 1.5}
AT_A_SERVER = 0.3  # what share of the traps kills a server instead of the process that steps on it
FORGETS = 0.3  # how often a Valkey that was killed has lost everything


@dataclass
class Tempo:
    """`kills` in a run, `at_most` while a label waits for its first; seconds between random ones; a trap's sleep."""

    kills: int
    at_most: int
    gap_s: tuple[float, float]
    asleep_s: tuple[float, float]


class Killer:
    def __init__(
        self,
        seed: int,
        tempo: Tempo,
        env: Mapping[str, str],
        patience: Patience,
        files: Files,
        journal: Journal,
        valkey: Valkey,
        database: PostgreSQL | None,
    ) -> None:
        self.random_kills: Counter[str] = Counter()
        self.forgotten = 0
        self.deaths: list[str] = []
        self._tempo, self._env, self._patience = tempo, env, patience
        self._files, self._journal = files, journal
        self._servers = {server.name: server for server in (valkey, database) if server}
        self._valkey = valkey
        self._draw = random.Random(seed + 3)
        self._processes: dict[str, ForkServerProcess] = {}
        self._expected: set[str] = set()
        self._next = 0.0
        self._killing = False

    def begin(self) -> None:
        """Starts everything that is not running yet."""
        for name in ROLES:
            self._spawn(name)

    def attack(self) -> None:
        self._killing = True
        self._next = time.monotonic() + 1.0

    def kills(self) -> int:
        return sum(self.random_kills.values()) + sum(self.labelled().values())

    def labelled(self) -> Counter[tuple[str, str]]:
        """(label, victim) → kills."""
        return Counter((told["label"], told["victim"]) for told in self._journal.lines("killed"))

    def untouched(self) -> list[str]:
        """The labels at which nobody has been killed."""
        killed = self._by_label()
        return [label for role in steps.ROLES for label in steps.labels(role) if not killed[label]]

    def keep(self) -> bool:
        """Starts what has died; kills when it is time to. False once there have been enough kills."""
        for name in ROLES:
            if not self._processes[name].is_alive():
                self._mourn(name)
                self._spawn(name)
        for server in self._servers.values():
            if not server.alive():
                if server is self._valkey and self._draw.random() < FORGETS:
                    self._valkey.forget()
                    self.forgotten += 1
                server.start()
        if not self._killing:
            return False
        if time.monotonic() > self._next:
            self._next = time.monotonic() + self._draw.uniform(*self._tempo.gap_s)
            kills = self.kills()
            if kills < self._tempo.kills or (self.untouched() and kills < self._tempo.at_most):
                self._kill(self._victim())
            else:
                self.calm()
        return self._killing

    def ask(self) -> None:
        """Has every process write into its log where its threads stand."""
        for process in self._processes.values():
            if process.pid and process.is_alive():
                os.kill(process.pid, signal.SIGUSR1)
        time.sleep(0.5)

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.join(30)

    def _by_label(self) -> Counter[str]:
        killed: Counter[str] = Counter()
        for (label, _), count in self.labelled().items():
            killed[label] += count
        return killed

    def _victim(self) -> str:
        names = [*ROLES, *self._servers]
        return self._draw.choices(names, [WEIGHTS[name] for name in names])[0]

    def _kill(self, name: str) -> None:
        if name in self._servers:
            self.random_kills[name] += self._servers[name].kill()
        elif self._processes[name].is_alive():
            self._expected.add(name)
            self._processes[name].kill()
            self._processes[name].join(10)
            self.random_kills[ROLES[name]] += 1

    def calm(self) -> None:
        """No kills any more: whoever still has a trap makes way for one without."""
        if self._killing:
            self.end()
            self._expected |= set(ROLES)
        self._killing = False

    def _mourn(self, name: str) -> None:
        """A process may only die of a kill."""
        process = self._processes[name]
        if name not in self._expected and process.exitcode != -9:
            self.deaths.append(f"{name} ended by itself with {process.exitcode}")
        self._expected.discard(name)

    def _spawn(self, name: str) -> None:
        role = ROLES[name]
        trap = self._trap(role) if self._killing else None
        process = FORKS.Process(
            target=children.run, args=(role, dict(self._env), self._patience, trap, self._files), daemon=True
        )
        process.start()
        self._processes[name] = process

    def _trap(self, role: str) -> Trap:
        """Where nobody has been killed yet, and at one of the others with the fewest kills: whichever comes first."""
        killed = self._by_label()
        untouched = frozenset(label for label in steps.labels(role) if not killed[label])
        others = sorted(set(steps.labels(role)) - untouched)
        least = sorted(others, key=lambda label: (killed[label], self._draw.random()))[:1]
        victim, hits = "self", self._draw.choice((1, 1, 2, 5))
        if self._draw.random() < AT_A_SERVER:
            victim = str(self._draw.choice(list(self._servers.values())).pid_file)
        return Trap(untouched.union(least), hits, self._draw.uniform(*self._tempo.asleep_s), victim)
