"""The real web and worker processes, forked from a parent that has imported everything, in a faster time."""

import dataclasses
import faulthandler
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn.loops.auto
import uvicorn.protocols.http.auto  # noqa: F401 -- loaded before the fork, as all of these
from sqlalchemy import Engine

from funnel import cli, hands, hints, runtime, worker
from funnel.core import pace
from funnel.core.delivery import Cause, Health, Report
from funnel.core.pace import Patience as Bearing
from funnel.flow import holding, sweep
from funnel.flow import settle as settling
from funnel.flow.settle import settle
from funnel.flow.start import Started
from funnel.flow.tools import Patience, Tools
from funnel.mail.outbox import Outbox
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid import SendGrid
from funnel.mail.smtp import Smtp
from funnel.settings import Settings
from funnel.store.db import open_engine
from funnel.store.tables import Record
from funnel.web import app as _app  # noqa: F401
from tests.chaos.journal import Journal
from tests.chaos.trap import Trap, Traps

STALE_MS = 2_500
LONGEST_WAIT_MS = 1_000
SMTP_READ_S = 1.5


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
    traps = Traps(role, env["FUNNEL_MAIL"].partition(":")[0], trap, journal)
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
    _put(hints, HINT_SLOT_MS=1_000)
    _put(worker, JOB_TIMEOUT_S=10)
    _put(pace, PATIENCE={Health.REFUSING: Bearing(1, 1_000, 2_000), Health.FAILING: Bearing(5, 500, 2_000)})
    _put(runtime, Smtp=partial(Smtp, read_s=SMTP_READ_S))
    wait_ms, assemble = settling._wait_ms, runtime.assemble
    _put(settling, _wait_ms=lambda *about: min(wait_ms(*about), LONGEST_WAIT_MS))

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
    decide = sweep._decide

    def recording(tools: Tools, answers: list[tuple[Started, Report]], now_ms: int) -> list[bool]:
        told = [_answer(*each) for each in answers]
        for each in told:
            journal.note("answered", **each)
        kept = settle(tools, answers, now_ms)
        for each, counted in zip(told, kept, strict=True):
            journal.note("settled", kept=counted, **each)
        return kept

    def deciding(tools: Tools, row: Record, cause: Cause, values: dict[str, Any], now_ms: int) -> bool:
        about = {"uid": row.uid, "attempt": row.attempt, "started_ms": row.started_ms}
        journal.note("decided", **about, cause=cause, by=tools.unknowns, now_ms=now_ms)
        return decide(tools, row, cause, values, now_ms)

    for provider in (SendGrid, Smtp, Outbox):
        _put(provider, hand_over=_handing_over(journal, provider.hand_over))
    _put(hands, settle=recording)
    _put(sweep, _decide=deciding)


def _handing_over(journal: Journal, hand_over: Callable[[Any, Mailing], Report]) -> Callable[[Any, Mailing], Report]:
    def handing_over(provider: Any, mailing: Mailing) -> Report:
        messages = [each.message_id for each in mailing.recipients]
        attempt = {"uid": mailing.uid, "attempt": mailing.attempt, "started_ms": mailing.date_ms}
        journal.note("handed", **attempt, messages=messages)
        return hand_over(provider, mailing)

    return handing_over


def _answer(started: Started, report: Report) -> dict[str, Any]:
    recipients = started.mailing.recipients
    differing = {recipients[place].message_id: fate.state for place, fate in report.exceptions.items()}
    about = {"uid": started.batch.uid, "attempt": started.batch.attempt}
    return {**about, "state": report.fate.state, "reason": report.fate.reason, "differing": differing}


def _put(home: Any, **others: Any) -> None:
    for name, other in others.items():
        setattr(home, name, other)
