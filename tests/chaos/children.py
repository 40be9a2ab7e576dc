"""The real web and worker processes, forked from a parent that has imported everything, in a faster time."""

import dataclasses
import faulthandler
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn.loops.auto
import uvicorn.protocols.http.auto  # noqa: F401 -- loaded before the fork, as all of these
from sqlalchemy import Engine

from funnel import cli, hands, runtime, worker
from funnel.core import pace
from funnel.core.delivery import Cause, Health, Report
from funnel.core.pace import Patience as Bearing
from funnel.flow import holding, sweep
from funnel.flow.settle import settle
from funnel.flow.start import Started
from funnel.flow.tools import Patience, Tools
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid import SendGrid
from funnel.settings import Settings
from funnel.store.db import open_engine
from funnel.store.tables import Record
from funnel.web import app as _app  # noqa: F401
from tests.chaos.journal import Journal
from tests.chaos.trap import Trap, Traps

STALE_MS = 4_000


@dataclasses.dataclass(frozen=True)
class Files:
    """Of one run: what the processes tell, and what they say."""

    journal: Path
    log: Path


def run(role: str, env: Mapping[str, str], patience: Patience, trap: Trap | None, files: Files) -> None:
    """Runs `funnel web` or `funnel worker` until it is killed."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    log = os.open(files.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.register(signal.SIGUSR1)  # whoever does not come to an end tells where it stands
    for name in [name for name in os.environ if name.startswith(("FUNNEL_", "DATABASE_", "REDIS_", "SENDGRID_"))]:
        del os.environ[name]
    os.environ.update(env)
    journal = Journal(files.journal)
    traps = Traps(role, trap, journal)
    _tell(journal)
    traps.lay()
    _hasten(patience, traps)
    cli.main([role], standalone_mode=False)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _hasten(patience: Patience, traps: Traps) -> None:
    """Waits that are minutes in life are seconds here. Nothing else differs."""
    _put(sweep, STALE_MS=STALE_MS)
    _put(holding, PROBE_MS=1_500)
    _put(worker, HINT_SLOT_MS=1_000, JOB_TIMEOUT_S=10)
    _put(pace, PATIENCE={Health.REFUSING: Bearing(1, 1_000, 2_000), Health.FAILING: Bearing(5, 500, 2_000)})
    assemble = runtime.assemble

    def opened(url: str) -> Engine:
        engine = open_engine(url)
        traps.lay_in_sql(engine)
        return engine

    def assembled(settings: Settings) -> runtime.Runtime:
        whole = assemble(settings)
        return dataclasses.replace(whole, tools=dataclasses.replace(whole.tools, patience=patience))

    _put(runtime, open_engine=opened, assemble=assembled)
    _put(cli, assemble=assembled)


def _tell(journal: Journal) -> None:
    """Notes what no database row keeps: each attempt, what became of it, and who decided what of the unknown ones."""
    hand_over, decide = SendGrid.hand_over, sweep._decide

    def handing_over(provider: SendGrid, mailing: Mailing) -> Report:
        journal.note("handed", uid=mailing.uid, attempt=mailing.attempt, started_ms=mailing.date_ms)
        return hand_over(provider, mailing)

    def settling(tools: Tools, answers: list[tuple[Started, Report]], now_ms: int) -> list[bool]:
        kept = settle(tools, answers, now_ms)
        for started, report in answers:
            fate = {"state": report.fate.state, "reason": report.fate.reason}
            journal.note("settled", uid=started.batch.uid, attempt=started.batch.attempt, **fate)
        return kept

    def deciding(tools: Tools, row: Record, cause: Cause, values: dict[str, Any], now_ms: int) -> bool:
        journal.note("decided", uid=row.uid, attempt=row.attempt, cause=cause, now_ms=now_ms)
        return decide(tools, row, cause, values, now_ms)

    _put(SendGrid, hand_over=handing_over)
    _put(hands, settle=settling)
    _put(sweep, _decide=deciding)


def _put(home: Any, **others: Any) -> None:
    for name, other in others.items():
        setattr(home, name, other)
