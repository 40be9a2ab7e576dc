"""What every provider promises, each over a real server or a real folder."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier

import orjson
import pytest

from funnel.core.delivery import Report, State
from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.mail.outbox import Outbox
from funnel.mail.provider import Mailing, Provider
from funnel.mail.sendgrid import SendGrid
from funnel.mail.smtp import Smtp
from tests.fakes.sendgrid import FakeSendGrid
from tests.fakes.smtp import SmtpSink
from tests.mail import letters
from tests.mail.letters import Arrived

OURS = ("Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Auto-Submitted", "Content-Language")
OF_MIME = ("From", "To", "Subject", "Date", "MIME-Version", "Content-Type")


@dataclass(frozen=True)
class Case:
    """A provider; the same one with nothing behind it; and what came out at the other end."""

    provider: Provider
    unreachable: Provider
    arrived: Callable[[], list[tuple[str, Arrived]]]
    learned: Callable[[], str]


def _from_mime(raws: list[bytes]) -> list[tuple[str, Arrived]]:
    messages = [letters.read_mime(raw) for raw in raws]
    return [(str(message["To"]), letters.arrived(message)) for message in messages]


@contextmanager
def _outbox(folder: Path, nobody: int) -> Iterator[Case]:
    blocked = Outbox(folder / "blocked", 200)
    (folder / "blocked").rmdir()
    (folder / "blocked").write_text("a file where the folder was")

    def raws() -> list[bytes]:
        return [path.read_bytes() for path in (folder / "outbox").glob("*.eml")]

    provider = Outbox(folder / "outbox", 200)
    yield Case(provider, blocked, lambda: _from_mime(raws()), lambda: b"".join(raws()).decode())


@contextmanager
def _smtp(folder: Path, nobody: int) -> Iterator[Case]:
    with SmtpSink(auth=("course", "se:cr/et"), require_auth=True, require_tls=True) as sink:
        tls = sink.client_context()
        provider = Smtp(f"smtp://course:se%3Acr%2Fet@{sink.host}:{sink.port}", tls)

        def raws() -> list[bytes]:
            return [message.raw for message in sink.messages]

        with closing(provider):
            unreachable = Smtp(f"smtp://{sink.host}:{nobody}", tls)
            yield Case(provider, unreachable, lambda: _from_mime(raws()), lambda: b"".join(raws()).decode())


@contextmanager
def _sendgrid(folder: Path, nobody: int) -> Iterator[Case]:
    def arrived() -> list[tuple[str, Arrived]]:
        return [(one.to, Arrived(one.subject, one.text, one.html, one.headers)) for one in fake.deliveries()]

    def learned() -> str:
        # The uid is what SendGrid's events come back with.
        return orjson.dumps(fake.requests).decode().replace(letters.UID, "")

    unreachable = SendGrid("SG.test", f"http://127.0.0.1:{nobody}", 1000)
    with FakeSendGrid() as fake, closing(SendGrid("SG.test", fake.url, 1000)) as provider:
        yield Case(provider, unreachable, arrived, learned)


@pytest.fixture(params=[_outbox, _smtp, _sendgrid], ids=["outbox", "smtp", "sendgrid"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with socket.socket() as bound:  # held, but nobody listens: connections are refused
        bound.bind(("127.0.0.1", 0))
        with request.param(tmp_path, bound.getsockname()[1]) as made:
            yield made


def test_a_batch_is_accepted_and_everybody_gets_their_own_mail(case: Case, mailing: Mailing) -> None:
    report = case.provider.hand_over(mailing)
    assert (report.fate.state, report.exceptions) == (State.ACCEPTED, {})
    came = dict(case.arrived())
    assert came.keys() == letters.PEOPLE.keys()
    for address, wanted in letters.expected(mailing).items():
        got = came[address]
        assert (got.subject, got.text, got.html) == (wanted.subject, wanted.text, wanted.html)
        assert {name: got.headers[name] for name in OURS} == wanted.headers


def test_a_name_is_markup_only_where_it_is_escaped(case: Case, desk: Tools, funnel: Funnel) -> None:
    source = letters.source("Dear {{ first_name | reader }}, hello.", "Hello {{ first_name | there }}")
    frame = {**letters.FRAME, "controller": funnel.controller}
    case.provider.hand_over(letters.mailing(desk.layouts.compile(source, {}, {}, frame), funnel))
    came = dict(case.arrived())
    assert [came[address].subject for address in letters.PEOPLE] == ["Hello Alice", 'Hello Bob <b>&"x', "Hello there"]
    assert 'Dear Bob <b>&"x, hello.' in came["bob@example.org"].text
    assert "Dear Bob &lt;b&gt;&amp;&quot;x, hello." in came["bob@example.org"].html
    assert "<b>" not in came["bob@example.org"].html
    assert "Dear reader, hello." in came["charlie@example.org"].text


def test_several_threads_hand_over_at_once(case: Case, mailing: Mailing, funnel: Funnel) -> None:
    def batch(number: int) -> Mailing:
        people = {f"{name}-{number}@example.org": name for name in ("alice", "bob", "charlie")}
        return letters.mailing(mailing.template, funnel, people, first=number * 10)

    batches = [batch(number) for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(case.provider.hand_over, batches))
    assert {report.fate.state for report in reports} == {State.ACCEPTED}
    came = case.arrived()
    wanted = {address: mail for one in batches for address, mail in letters.expected(one).items()}
    assert len(came) == len(wanted) == 36
    assert {address: mail.text for address, mail in came} == {address: mail.text for address, mail in wanted.items()}


def test_as_many_threads_as_it_is_wide_never_wait_for_one_another(case: Case, mailing: Mailing) -> None:
    """Each waits until all of them are about to send: were they to share connections, nobody would come that far."""
    width = case.provider.width
    if case.provider.name == "outbox":
        return  # it connects to nobody, and never asks
    together = Barrier(width, timeout=20)

    def in_time() -> bool:
        together.wait()
        return True

    with ThreadPoolExecutor(width) as pool:
        reports = list(pool.map(case.provider.hand_over, [replace(mailing, in_time=in_time)] * width))
    assert {report.fate.state for report in reports} == {State.ACCEPTED}


def test_nothing_but_the_mail_reaches_the_provider(case: Case, mailing: Mailing) -> None:
    case.provider.hand_over(mailing)
    for _, mail in case.arrived():
        assert mail.headers.keys() <= {*OURS, *OF_MIME}
    for inner in ("fight", mailing.recipients[0].key, "erotic", letters.UID):
        assert inner not in case.learned().lower()


def test_with_nobody_there_the_whole_batch_is_planned_again(case: Case, mailing: Mailing) -> None:
    with closing(case.unreachable):
        report = case.unreachable.hand_over(mailing)
    assert report == Report(report.fate, health=report.health)
    assert (report.fate.state, report.fate.retry_ms > 0, report.fate.reason > "") == (State.PLANNED, True, True)
    assert case.arrived() == []


def test_a_second_mailing_follows_the_first(case: Case, mailing: Mailing, funnel: Funnel) -> None:
    case.provider.hand_over(mailing)
    case.provider.hand_over(letters.mailing(mailing.template, funnel, {"dora@example.org": "Dora"}, first=9))
    assert sorted(address for address, _ in case.arrived()) == sorted([*letters.PEOPLE, "dora@example.org"])
