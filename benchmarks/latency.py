"""How long somebody waits who has just confirmed: from the button to the provider's having the first lesson."""

import random
import time

import urllib3
from sqlalchemy import Engine, func, select

from benchmarks.bench import KEYRING, KINDS, Bench
from benchmarks.ceilings import FULL, QUICK
from benchmarks.report import median
from benchmarks.rounds import put_off
from benchmarks.send import settings
from benchmarks.service import running
from benchmarks.sinks import Sink, http_sink
from funnel.core import links
from funnel.core.links import Use
from funnel.flow import signup
from funnel.flow.people import Request
from funnel.store.db import reading
from funnel.store.tables import batch, notice
from tests.conftest import NAME, make_tools
from tests.databases import _free_port

READERS = 30
LONGEST_S = 60.0
LOOK_S = 0.004


def run(bench: Bench) -> None:
    readers = 3 if bench.quick else READERS
    for kind in KINDS:
        waits = _measure(bench, kind, readers)
        for name, value in (("median", median(waits)), ("worst", max(waits))):
            figure = f"latency: confirmation to lesson 1, {name}"
            bench.report.add(figure, value * 1000, "ms", database=kind, readers=readers)


def _measure(bench: Bench, kind: str, readers: int) -> list[float]:
    """Seconds of each. The service is idle but for this one reader."""
    with (
        bench.copy(kind, QUICK if bench.quick else FULL) as url,
        bench.engine(url) as engine,
        http_sink() as sink,
        urllib3.PoolManager(maxsize=1, retries=False) as browser,
    ):
        put_off(engine)
        web, env = web_settings()
        with running([["web"], ["worker"]], url, bench.folder, {**settings("SendGrid", sink, 200), **env}):
            wait_for_web(browser, web)
            paths = _ask_all(engine, readers, time.time_ns() // 1_000_000)
            chance = random.Random(readers)
            return [_confirm(browser, f"{web}{path}", sink, chance) for path in paths]


def web_settings() -> tuple[str, dict[str, str]]:
    """Where a web process is going to answer, and what it is told for that."""
    port = _free_port()
    return f"http://127.0.0.1:{port}", {"FUNNEL_HOST": "127.0.0.1", "PORT": str(port)}


def wait_for_web(browser: urllib3.PoolManager, web: str) -> None:
    give_up = time.monotonic() + LONGEST_S
    while True:
        try:
            assert browser.request("GET", f"{web}/healthz").status == 200
        except urllib3.exceptions.HTTPError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return


def _ask_all(engine: Engine, readers: int, now_ms: int) -> list[str]:
    """Signs everybody up and waits for their confirm mails. The paths that their buttons post to."""
    tools = make_tools(engine, KEYRING)
    revision_id = signup.current_revision(tools, NAME)
    for number in range(readers):
        request = Request("Robin", "freeze", None, "Europe/Berlin", "en")
        signup.sign_up(tools, revision_id, f"newcomer.{number}@example.net", request, now_ms)
    sent = select(func.count()).select_from(notice.join(batch, batch.c.id == notice.c.batch_id))
    give_up = time.monotonic() + LONGEST_S
    while time.monotonic() < give_up:
        with reading(engine) as connection:
            if connection.scalar(sent.where(batch.c.state == "accepted")) == readers:
                rows, key = connection.execute(select(notice)), tools.keyring.link_key
                return [f"/{Use.CONFIRM}/{links.confirm_token(key, row.id, row.created_ms)}" for row in rows]
        time.sleep(0.1)
    raise TimeoutError("the confirm mails were not sent")


def _confirm(browser: urllib3.PoolManager, link: str, sink: Sink, chance: random.Random) -> float:
    time.sleep(0.3 + chance.random())  # at any moment between two ticks
    before = sink.count().requests
    began = time.perf_counter()
    answer = browser.request("POST", link)
    assert answer.status == 200, answer.status
    while sink.count().requests == before:
        if time.perf_counter() - began > LONGEST_S:
            raise TimeoutError("no lesson came")
        time.sleep(LOOK_S)
    return time.perf_counter() - began
