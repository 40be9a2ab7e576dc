"""One run on one database: a crowd, a provider that misbehaves, a killer; then peace, and the account of it all."""

import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from funnel import settings
from funnel.cli import release
from funnel.flow.compose import domain_of
from funnel.flow.tools import Patience, Tools
from funnel.keyring import Keyring
from funnel.runtime import assemble
from funnel.settings import ROOT
from funnel.store.db import reading
from funnel.store.tables import batch
from tests.chaos.account import Account, misplaced, open_work, settle_account
from tests.chaos.children import Files
from tests.chaos.crowd import Crowd
from tests.chaos.journal import Journal
from tests.chaos.killer import Killer
from tests.chaos.later import Later
from tests.chaos.names import Names
from tests.chaos.operator import Operator
from tests.chaos.outbox_post import OutboxPost
from tests.chaos.person import Person
from tests.chaos.plans import Plan
from tests.chaos.post import Post
from tests.chaos.sendgrid_post import SendGridPost
from tests.chaos.servers import PostgreSQL, Valkey, running
from tests.chaos.smtp_post import SmtpPost
from tests.databases import _free_port

KEYS = "1:" + "A" * 43 + "="
DOUBT_MS = 3_600_000  # an assumption never fires: all there is, is evidence
CENSUS_S = 0.7
NUDGE_S = 0.3
FIRST_S = 30.0
ENOUGH = 20  # problems of the same kind: nothing new is to be learned


class Run:
    """`problems` are what must not be; a run without any has passed."""

    def __init__(self, plan: Plan, kind: str, seed: int, folder: Path, database: PostgreSQL | None, valkey: Valkey):
        web = f"http://127.0.0.1:{_free_port()}"
        self.plan, self.kind = plan, kind
        self.problems: list[str] = []
        self.censuses = 0
        self._look_at = self._nudge_at = 0.0
        self.seconds: Counter[str] = Counter()
        self.later = Later(10)
        self.journal = Journal(folder / "journal")
        self.post = self._post(seed, web, folder / "home")
        env = self._env(web, folder, database.url if database else f"sqlite:///{folder / 'funnel.db'}", valkey.url)
        known = settings.load(env)
        release(known)
        self.runtime = assemble(known)
        self.tools: Tools = self.runtime.tools
        with reading(self.engine) as connection:
            self.funnel = next(iter(self.tools.current(connection).values()))[1]
        self.names = Names(Keyring.parse(KEYS), domain_of(self.funnel))
        self.crowd = Crowd(seed, self.later, web, self.funnel.slug, tuple(self.funnel.patterns))
        self.post.on_mail = self.crowd.receive
        self.person = self._person()
        self.operator = Operator(self.engine, self.funnel.name)
        patience, files = Patience(plan.silence_ms, DOUBT_MS), Files(folder / "journal", folder / "log")
        self.killer = Killer(seed, plan.tempo, env, patience, files, self.journal, valkey, database, plan.wanted)

    @property
    def engine(self) -> Engine:
        return self.tools.engine

    @property
    def is_told(self) -> bool:
        """Whether this provider tells later what became of a mail."""
        return self.plan.mail == "sendgrid"

    def go(self) -> Account:
        with self.post.server:
            try:
                self.killer.begin()
                for phase in (self._calm, self._storm, self._peace):
                    began = time.monotonic()
                    phase()
                    self.seconds[phase.__name__.strip("_")] = round(time.monotonic() - began)
            finally:
                self.killer.end()
                self.later.end()
        with reading(self.engine) as connection:
            books = (connection, self.names, self.funnel, self.post, self.crowd, self.journal)
            account = settle_account(*books, self.plan.silence_ms)
        self.problems += [*account.problems, *self.later.faults, *self.killer.deaths]
        self.problems += [f"nobody was ever killed at: {label}" for label in self.killer.untouched()]
        self.problems += [f"never came to pass: {each}" for each in self.killer.undone()]
        return account

    def close(self) -> None:
        self.runtime.close()
        self.journal.close()

    def _env(self, web: str, folder: Path, database: str, redis: str) -> dict[str, str]:
        return {
            "FUNNEL_HOME": str(folder / "home"),
            "FUNNEL_CONTENT": str(_content(folder / "content", self.plan.policy)),
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "FUNNEL_HOST": "127.0.0.1",
            "PORT": web.rpartition(":")[2],
            "FUNNEL_BASE_URL": web,
            "FUNNEL_KEYS": KEYS,
            "FUNNEL_BATCH": str(self.plan.batch),
            "FUNNEL_DAY": f"{self.plan.day_ms}ms",
            "FUNNEL_LEASE": "1200ms",
            "FUNNEL_FORM_RATE": "1000/s",
            "FUNNEL_USUAL_RATE": "1000/s",
            **self.post.env(),
        }

    def _post(self, seed: int, web: str, home: Path) -> Post:
        if self.is_told:
            return SendGridPost(seed, self.later, web, self.plan.silence_ms, self.journal, mute=self.plan.mute)
        return SmtpPost(seed) if self.plan.mail == "smtp" else OutboxPost(home)

    def _person(self) -> Person:
        patience_ms = self.plan.margin_ms + (self.plan.silence_ms if self.is_told else 0)
        holds = self.plan.mail == "smtp" and self.plan.policy == "hold"
        return Person(self.tools, self.names, self.post, self.journal, patience_ms, holds)

    def _calm(self) -> None:
        """The webhook has been heard before: without that, its silence is no evidence."""
        self.crowd.pass_by()
        deadline = time.monotonic() + FIRST_S
        while not self._heard() and time.monotonic() < deadline:
            self._look()

    def _heard(self) -> bool:
        if not self.is_told:
            return bool(self.post.taken)
        with reading(self.engine) as connection:
            return connection.scalar(select(batch.c.id).where(batch.c.seen_ms.is_not(None)).limit(1)) is not None

    def _storm(self) -> None:
        for number in range(self.plan.readers):
            self.crowd.join(self.plan.join_s * number / self.plan.readers)
        self.post.rate = self.plan.faults
        self.killer.attack()
        deadline = time.monotonic() + self.plan.longest_s
        while self.killer.keep() and time.monotonic() < deadline and len(self.problems) < ENOUGH:
            self._look()
            if not self.plan.tempo.script:
                with self._trying():
                    self.operator.look()
            self.post.lull = self.killer.is_anybody_asleep()  # a fault would end what the sleeper is to come back to

    def _peace(self) -> None:
        """The provider behaves, nobody is killed; whatever was begun comes to its end."""
        self.post.rate = 0.0
        self.killer.calm()
        deadline = time.monotonic() + self.plan.drain_s
        waiting = "everything"
        while waiting and time.monotonic() < deadline and len(self.problems) < ENOUGH:
            self.killer.keep()
            if self._look():
                with self._trying():
                    self.operator.resume()
                    waiting = self._waiting()
        if waiting:
            self.killer.ask()
            self.problems.append(f"not done after {self.plan.drain_s:.0f} s of peace: {waiting}")

    def _waiting(self) -> str:
        with reading(self.engine) as connection:
            work = open_work(connection)
        if "unknown" in work:
            self.crowd.pass_by()
        if not all(reader.confirmed for reader in self.crowd.readers.values()):
            return f"confirmations, {work}"
        return work or (f"{len(self.later)} tasks" if len(self.later) else "")

    def _look(self) -> bool:
        """Now and then a census, and a person who decides. Whether it was the time for it."""
        time.sleep(0.02)
        self._nudge()
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + CENSUS_S
        with self._trying():
            with reading(self.engine) as connection:
                wrong = misplaced(connection)
            self.censuses += 1
            self.problems += [f"enrollment {id_} is in {count} places" for id_, count in wrong]
            self.person.decide()
        return True

    def _nudge(self) -> None:
        if self.plan.nudged and time.monotonic() > self._nudge_at:
            self._nudge_at = time.monotonic() + NUDGE_S
            self.runtime.nudge()

    @contextlib.contextmanager
    def _trying(self) -> Iterator[None]:
        with contextlib.suppress(SQLAlchemyError):  # the database may have been killed just now
            yield


def _content(folder: Path, policy: str) -> Path:
    """A copy of the content, with this policy for unknown batches."""
    for name in ("sequences", "emails"):
        shutil.copytree(ROOT / name, folder / name)
    for settings_of in folder.glob("sequences/*/funnel.toml"):
        settings_of.write_text(f'{settings_of.read_text()}\n[sending]\nunknown = "{policy}"\n')
    return folder


@contextlib.contextmanager
def prepared(plan: Plan, kind: str, seed: int, *, keep: bool = False) -> Iterator[Run]:
    """A run that is ready to go. Everything of it is below one folder, and gone at the end unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="funnel-chaos-"))
    folder.chmod(0o755)  # PostgreSQL runs as somebody else
    try:
        with contextlib.ExitStack() as stack:
            place = {name: folder / name for name in ("run", "valkey", "postgresql")}
            for each in place.values():
                each.mkdir()
            valkey, database = Valkey(place["valkey"]), None
            stack.enter_context(running(valkey))
            if kind == "postgresql":
                database = PostgreSQL(place["postgresql"])
                stack.enter_context(running(database))
            one = Run(plan, kind, seed, place["run"], database, valkey)
            stack.callback(one.close)
            yield one
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
