"""Keeps the processes of a run alive, and kills them: at random, at labelled steps, and by a script."""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess

from funnel.flow.tools import Patience
from tests.chaos import children, steps
from tests.chaos.children import Files
from tests.chaos.journal import Journal, Told, now_ms
from tests.chaos.servers import PostgreSQL, Valkey
from tests.chaos.trap import NAP, SELF, Trap

FORKS = multiprocessing.get_context("forkserver")
ROLES = {"web": "web", "worker 1": "worker", "worker 2": "worker"}
WEIGHTS = {"web": 2.0, "worker 1": 2.0, "worker 2": 2.0, "valkey": 1.0, "postgresql": 1.5}
HUNTERS = ("web", "worker 1")  # they may wait for a step that comes seldom, and are left alone meanwhile
HUNTS, HUNT_S = 0.6, 12.0
AT_A_SERVER = 0.3  # what share of the traps kills a server instead of the process that steps on it
FORGETS = 0.3  # how often a Valkey that was killed has lost everything
LONGEST_NAP_S = 12.0
AWAKE_S = 1.5  # what somebody does who has slept over a lease shows by then


@dataclass(frozen=True)
class Planned:
    """A kill of a script: of `victim`, which is SELF, NAP or a server's name, where `role` reaches `label`."""

    role: str
    label: str
    victim: str = SELF
    onward: str = ""


@dataclass(frozen=True)
class Tempo:
    """`kills` in a run, `at_most` while a label waits for its first; seconds between random ones; a trap's sleep.

    With a `script` there are only its kills, in its order, and all of them.
    """

    kills: int
    at_most: int = 0
    gap_s: tuple[float, float] = (0.0, 0.0)
    asleep_s: tuple[float, float] = (0.0, 0.0)
    script: tuple[Planned, ...] = ()


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
        wanted: Sequence[str],
    ) -> None:
        """`wanted` are the labels that are not left out."""
        self.random_kills: Counter[str] = Counter()
        self.forgotten = 0
        self.deaths: list[str] = []
        self._tempo, self._env, self._patience = tempo, env, patience
        self._mail = env["FUNNEL_MAIL"].partition(":")[0]
        self._files, self._journal = files, journal
        self._servers = {server.name: server for server in (valkey, database) if server}
        self._valkey = valkey
        self._wanted = wanted
        self._draw = random.Random(seed + 3)
        self._processes: dict[str, ForkServerProcess] = {}
        self._expected: set[str] = set()
        self._hunting: dict[str, float] = {}
        self._script = [
            number for number, each in enumerate(tempo.script) if each.victim in (SELF, NAP, *self._servers)
        ]
        self._armed: dict[str, int] = {}
        self._woken: dict[int, float] = {}  # pid → when
        self._next = 0.0
        self._killing = False

    def begin(self) -> None:
        """Starts everything that is not running yet."""
        for name in ROLES:
            self._spawn(name)

    def attack(self) -> None:
        self._killing = True
        self._next = time.monotonic() + 1.0
        if self._tempo.script:
            for name in ROLES:
                self._end(name)

    def kills(self) -> int:
        return sum(self.random_kills.values()) + len(self._journal.lines("killed"))

    def labelled(self) -> Counter[tuple[str, str]]:
        """(label, victim) → kills."""
        return Counter((told["label"], told["victim"]) for told in self._journal.lines("killed"))

    def by_label(self) -> Counter[str]:
        return Counter(told["label"] for told in self._journal.lines("killed"))

    def naps(self) -> int:
        return len(self._journal.lines("napping"))

    def untouched(self) -> list[str]:
        """The labels that are wanted, and at which nobody has been killed."""
        killed = self.by_label()
        return [label for label in self._wanted if not killed[label]]

    def is_anybody_asleep(self) -> bool:
        return bool(self._asleep())

    def undone(self) -> list[Planned]:
        """What is left of the script."""
        return [self._tempo.script[number] for number in (*self._script, *self._pending())]

    def keep(self) -> bool:
        """Starts what has died; kills when it is time to. False once there have been enough kills."""
        self._wake()
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
        if self._killing:
            self._go_on()
        return self._killing

    def calm(self) -> None:
        """No kills any more: whoever still has a trap makes way for one without."""
        if self._killing:
            self.end()
            self._expected |= set(ROLES)
        self._killing = False

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

    def _go_on(self) -> None:
        if self._tempo.script:
            self._follow_script()
        elif time.monotonic() > self._next:
            self._next = time.monotonic() + self._draw.uniform(*self._tempo.gap_s)
            kills = self.kills()
            if kills < self._tempo.kills or (self.untouched() and kills < self._tempo.at_most):
                self._kill(self._victim())
            else:
                self.calm()

    def _follow_script(self) -> None:
        """Whose trap has killed a server makes way for the next; who has been asleep is not needed any more."""
        pending = self._pending()
        for name, number in list(self._armed.items()):
            if number not in pending and self._tempo.script[number].victim not in (SELF, NAP):
                self._kill(name)
        awake_s = time.monotonic() - max(self._woken.values(), default=0.0)
        if not pending and not self._script and not self.is_anybody_asleep() and awake_s > AWAKE_S:
            self.calm()

    def _pending(self) -> list[int]:
        done = {told["number"] for what in ("killed", "napping") for told in self._journal.lines(what)}
        return [number for number in self._armed.values() if number not in done]

    def _asleep(self) -> list[Told]:
        return [told for told in self._journal.lines("napping") if told["pid"] not in self._woken]

    def _wake(self) -> None:
        """Whoever sleeps over a batch wakes when somebody else has it in flight: the worst moment for it."""
        for nap in self._asleep():
            name = nap["uid"], nap["attempt"]
            others = [told for told in self._journal.lines("handed") if (told["uid"], told["attempt"] - 1) == name]
            if others or nap["at_ms"] < now_ms() - LONGEST_NAP_S * 1000:
                self._woken[nap["pid"]] = time.monotonic()
                if any(process.pid == nap["pid"] and process.is_alive() for process in self._processes.values()):
                    os.kill(nap["pid"], signal.SIGCONT)

    def _victim(self) -> str:
        since = time.monotonic() - HUNT_S
        names = [name for name in (*ROLES, *self._servers) if self._hunting.get(name, since) <= since]
        return self._draw.choices(names, [WEIGHTS[name] for name in names])[0]

    def _kill(self, name: str) -> None:
        if name in self._servers:
            self.random_kills[name] += self._servers[name].kill()
        elif self._processes[name].is_alive():
            self._end(name)
            self.random_kills[ROLES[name]] += 1

    def _end(self, name: str) -> None:
        self._expected.add(name)
        self._processes[name].kill()
        self._processes[name].join(10)

    def _mourn(self, name: str) -> None:
        """A process may only die of a kill. What it was to do for the script is for the next one."""
        process = self._processes[name]
        if name not in self._expected and process.exitcode != -9:
            self.deaths.append(f"{name} ended by itself with {process.exitcode}")
        self._expected.discard(name)
        pending = self._pending()
        if (number := self._armed.pop(name, None)) in pending:
            self._script.insert(0, number)

    def _spawn(self, name: str) -> None:
        role = ROLES[name]
        trap = (self._scripted(name) if self._tempo.script else self._trap(name)) if self._killing else None
        process = FORKS.Process(
            target=children.run, args=(role, dict(self._env), self._patience, trap, self._files), daemon=True
        )
        process.start()
        self._processes[name] = process

    def _scripted(self, name: str) -> Trap | None:
        number = next((each for each in self._script if self._tempo.script[each].role == ROLES[name]), None)
        if number is None:
            return None
        self._script.remove(number)
        self._armed[name] = number
        one = self._tempo.script[number]
        victim = str(self._servers[one.victim].pid_file) if one.victim in self._servers else one.victim
        onward = f"{one.role}: {one.onward}" if one.onward else ""
        return Trap(frozenset([f"{one.role}: {one.label}"]), victim=victim, onward=onward, number=number)

    def _trap(self, name: str) -> Trap:
        """Where nobody has been killed yet, and at one of the others with the fewest kills: whichever comes first.

        Steps that come seldom are reached only by those who wait for nothing else.
        """
        role, killed = ROLES[name], self.by_label()
        labels = steps.labels(role, self._mail)
        untouched = frozenset(self.untouched()).intersection(labels)
        self._hunting.pop(name, None)
        if untouched and name in HUNTERS and self._draw.random() < HUNTS:
            self._hunting[name] = time.monotonic()
            return Trap(untouched)
        least = sorted(set(labels) - untouched, key=lambda label: (killed[label], self._draw.random()))[:1]
        victim, hits = SELF, self._draw.choice((1, 1, 2, 5))
        if self._draw.random() < AT_A_SERVER:
            victim = str(self._draw.choice(list(self._servers.values())).pid_file)
        return Trap(untouched.union(least), hits, self._draw.uniform(*self._tempo.asleep_s), victim)
