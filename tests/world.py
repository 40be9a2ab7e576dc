"""The whole service without its processes: real database, real mails in a folder, and a clock that the test moves."""

from pathlib import Path

from sqlalchemy import Table, select

from funnel.core.delivery import SETTLED, Report
from funnel.core.sequence import Funnel
from funnel.flow import admission, plan, rights, settle, signup, start, sweep
from funnel.flow.people import Request
from funnel.flow.start import Started
from funnel.flow.tools import Tools
from funnel.mail.outbox import Outbox
from funnel.mail.provider import Provider
from funnel.store import batches, revisions
from funnel.store.db import reading
from funnel.store.tables import Record, batch, due
from tests.conftest import BASE_URL, NAME, Clock
from tests.robot import Mail, mails

ALICE, BOB, CHARLIE = "alice@example.org", "bob@example.org", "charlie@example.org"


class World:
    def __init__(self, tools: Tools, clock: Clock, folder: Path, provider: Provider | None = None) -> None:
        self.tools = tools
        self.clock = clock
        self.folder = folder
        self.provider = provider or Outbox(folder, tools.batch_size)

    def revision_id(self) -> str:
        with reading(self.tools.engine) as connection:
            return revisions.current(connection)[NAME]

    def funnel(self) -> Funnel:
        with reading(self.tools.engine) as connection:
            return self.tools.current(connection)[NAME][1]

    def sign_up(self, address: str, pattern: str = "freeze", secondary: str | None = None, name: str = "") -> int:
        """Asks, and is taken in."""
        asked = Request(name, pattern, secondary, "Europe/Berlin", "en")
        found = signup.sign_up(self.tools, self.revision_id(), address, asked, self.clock())
        admission.admit(self.tools, self.clock())
        return found

    def start_all(self, owner: str = "worker") -> list[Started]:
        """Sweeps and plans, and starts whatever can be started."""
        sweep.sweep(self.tools, self.clock())
        rights.answer(self.tools, self.clock())
        plan.plan(self.tools, self.clock())
        with reading(self.tools.engine) as connection:
            ids = [row.id for row in batches.startable(connection, self.clock(), 1000)]
        found = [start.start(self.tools, [id_], owner, self.clock()) for id_ in ids]
        return [each for part in found for each in part if isinstance(each, Started)]

    def settle(self, started: Started, report: Report) -> bool:
        """Records an answer; False when it does not count any more."""
        return settle.settle(self.tools, [(started, report)], self.clock())[0]

    def work(self) -> list[Report]:
        """One round of the worker: everything that is due is handed over and settled."""
        reports = []
        for started in self.start_all():
            report = self.provider.hand_over(started.mailing)
            self.settle(started, report)
            reports.append(report)
        return reports

    def mails(self, to: str | None = None) -> list[Mail]:
        """What has arrived, in the order of arrival."""
        return mails(self.folder, to)

    def lessons(self, to: str) -> list[str]:
        """The subjects of the lessons that have arrived."""
        return [mail.subject for mail in self.mails(to) if mail.path.name.startswith("lesson")]

    def token(self, mail: Mail, words: str) -> str:
        return mail.link(words).removeprefix(BASE_URL).split("/")[2]

    def join_all(self, *addresses: str, pattern: str = "freeze") -> None:
        """Several people confirm before the worker wakes: their first lessons share a batch."""
        for address in addresses:
            self.sign_up(address, pattern)
        self.work()
        for address in addresses:
            signup.confirm(self.tools, self.token(self.mails(address)[-1], "onfirm"), self.clock())

    def join(self, address: str, pattern: str = "freeze", secondary: str | None = None, name: str = "") -> None:
        """Signs up, receives the confirm mail and presses its button."""
        self.sign_up(address, pattern, secondary, name)
        self.work()
        token = self.token(self.mails(address)[-1], "onfirm")
        assert signup.confirm(self.tools, token, self.clock()).state == signup.Link.DONE

    def days(self, count: int) -> None:
        """Lets days go by; the worker wakes when something is due, and once an hour while batches are open."""
        end = self.clock() + count * 24 * 3_600_000
        while self.clock() < end:
            self.work()
            moments = [max(row.due_ms, self.clock()) for row in self.rows(due)]
            if any(row.state not in SETTLED for row in self.rows(batch)):
                moments.append(self.clock() + 3_600_000)
            self.clock.now_ms = min([*moments, end])
        self.work()

    def rows(self, table: Table) -> list[Record]:
        with reading(self.tools.engine) as connection:
            return list(connection.execute(select(table).order_by(*table.primary_key)))
