"""A run against real processes: what was asked, how it was answered, and what went wrong."""

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import click
import httpx2
from sqlalchemy import select

from funnel.keyring import fresh_entry
from funnel.store.db import open_engine
from funnel.store.tables import batch
from tests.conftest import ROOT
from tests.fakes.webhook import Signer
from tests.service.conftest import Service, running
from tests.web.fuzz.case import Case
from tests.web.fuzz.crowd import Crowd, Stumbled
from tests.web.fuzz.known import Known, targets
from tests.web.fuzz.making import request
from tests.web.fuzz.wire import ask

HANDS = 4
MOST_FAULTS = 5
LARGEST_TICK_AGE_MS = 20_000
UNLIMITED = {f"FUNNEL_{name}_RATE": "1000000/s" for name in ("VISITOR", "FORM", "USUAL", "CONFIRM")}
DIED = ("has ended; starting it again", "keeps dying", "Traceback")


@dataclass
class Run:
    service: Service
    known: Known
    seed: str
    database_url: str
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def go(self, minutes: float) -> None:
        """Until the time is up, or enough has gone wrong."""
        crowd = Crowd(self.service.url, self.service.outbox, self.known, Random(f"{self.seed} crowd"))
        for slug in self.known.slugs:
            crowd.come("first@example.org", slug)
        self.service.until_mail("first@example.org", 1)
        crowd.read_mails()
        crowd.start()
        hands = [threading.Thread(target=self._send, args=(number,), daemon=True) for number in range(HANDS)]
        for hand in hands:
            hand.start()
        self._watch(minutes)
        crowd.stop.set()
        for thread in (*hands, crowd):
            thread.join(60)
        self.faults |= {("a person", what): what for what in crowd.stumbles}
        self._still_works(crowd)

    def _send(self, number: int) -> None:
        rng, table = Random(f"{self.seed} {number}"), targets()
        while not self.over.is_set():
            case = request(rng, self.known, rng.choice(table))
            answer = ask(("127.0.0.1", self.service.port), case)
            self.counts[case.route, f"{answer.status // 100}xx" if answer.status else "none"] += 1
            if answer.fault and (case.route, answer.fault) not in self.faults:
                self.faults[case.route, answer.fault] = str(self._least(case, answer.fault))
                if len(self.faults) >= MOST_FAULTS:
                    self.over.set()

    def _least(self, case: Case, fault: str) -> Case:
        """The smallest request that still goes wrong in the same way."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for smaller in case.smaller():
                if ask(("127.0.0.1", self.service.port), smaller).fault == fault:
                    case = smaller
                    break
            else:
                return case
        return case

    def _watch(self, minutes: float) -> None:
        """Says every half minute how it goes, and learns what the worker has handed over."""
        end, said = time.monotonic() + minutes * 60, time.monotonic()
        with open_engine(self.database_url).connect() as connection:
            while time.monotonic() < end and not self.over.wait(1):
                self.known.batches.extend(connection.scalars(select(batch.c.uid).order_by(batch.c.id.desc()).limit(20)))
                connection.rollback()
                if time.monotonic() - said >= 30:
                    said = time.monotonic()
                    click.echo(f"{self.counts.total():,} requests, {len(self.faults)} faults, {end - said:,.0f} s left")
        self.over.set()

    def _still_works(self, crowd: Crowd) -> None:
        """After all that somebody signs up and gets their mail, and the worker has only just ticked."""
        try:
            crowd.come("last@example.org", self.known.slugs[0])
            self.service.until_mail("last@example.org", 1)
            age_ms = httpx2.get(f"{self.service.url}/readyz").json()["tick_age_ms"]
            if age_ms is None or age_ms > LARGEST_TICK_AGE_MS:
                self.faults["afterwards", "worker"] = f"the worker's last tick is {age_ms} ms old"
        except (Stumbled, httpx2.HTTPError, AssertionError) as error:
            self.faults["afterwards", type(error).__name__] = str(error)


def complaints(log: str) -> Iterator[str]:
    """The lines in which a process tells of a fault of its own."""
    for line in log.splitlines():
        if any(word in line for word in DIED) or line.startswith("ERROR "):
            yield line
        elif line.startswith("{"):
            told = json.loads(line)
            if told.get("level") == "error":
                yield line


@contextmanager
def started(home: Path, seed: str, day: str, database_url: str) -> Iterator[Run]:
    """A service of two funnels that limits nobody, and takes a signed provider's word."""
    signer = Signer()
    env = {**UNLIMITED, "FUNNEL_PROXIES": "1", "FUNNEL_DAY": day, "SENDGRID_WEBHOOK_KEY": signer.public}
    content = home.parent / "content"
    for folder in (ROOT, ROOT / "tests/example"):
        for part in ("sequences", "emails"):
            shutil.copytree(folder / part, content / part, dirs_exist_ok=True)
    env |= {"FUNNEL_CONTENT": str(content)}
    env |= {"DATABASE_URL": database_url, "FUNNEL_KEYS": fresh_entry(1), "FUNNEL_MAIL": "outbox"}
    with running(home, {**env, "FUNNEL_HOST": "127.0.0.1"}) as service:
        host = service.url.removeprefix("http://")
        known = Known(
            host, ("house", "kitchen"), "house", lambda body: signer.headers(body, time.time_ns() // 1_000_000)
        )
        yield Run(service, known, seed, database_url)


def report(run: Run) -> int:
    """Tells everything. Returns how much went wrong."""
    kinds = ("2xx", "3xx", "4xx", "5xx", "none")
    click.echo(f"{'route':<26}" + "".join(f"{kind:>9}" for kind in kinds))
    for target in targets():
        found = [run.counts[target.path, kind] for kind in kinds]
        idle = "  reached nothing" if not found[0] + found[1] else ""
        click.echo(f"{target.path:<26}" + "".join(f"{count:>9,}" for count in found) + idle)
    click.echo(f"{'all':<26}" + "".join(f"{sum(run.counts[t.path, kind] for t in targets()):>9,}" for kind in kinds))
    said = list(complaints(run.service.log.read_text("utf-8", "replace")))
    for (route, fault), case in run.faults.items():
        click.echo(f"\n{route}: {fault}\n{case}")
    for line in said[:20]:
        click.echo(f"\nlogged: {line}")
    wrong = f"{len(run.faults)} faults, {len(said)} complaints in the log"
    click.echo(f"\n{run.counts.total():,} requests, {wrong} (seed {run.seed})")
    return len(run.faults) + len(said)
