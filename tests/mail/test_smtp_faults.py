"""SMTP servers in every mood: what was taken is accepted, and only what nobody can tell is unknown."""

import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from threading import Thread

import pytest

from funnel.core.delivery import ACCEPTED, Fate, Health, Report, State
from funnel.core.sequence import Funnel
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing
from funnel.mail.smtp import Smtp
from funnel.mail.smtp_window import (
    BUSY,
    EVERYBODY_REFUSED,
    LATER_MS,
    NO_ADDRESS,
    NO_CONNECTION,
    SENDER_REFUSED,
    TOO_LATE,
)
from tests.fakes.smtp import SmtpSink
from tests.fakes.smtp_server import BE_SILENT, HANG_UP, TAKE_AND_BE_SILENT, TAKE_AND_HANG_UP, Stage
from tests.mail import letters
from tests.mail.conftest import look_up_slowly

ALICE, BOB, CHARLIE = ALL = tuple(letters.PEOPLE)
IN_DOUBT = Fate(State.UNKNOWN, "connection")
A_MOMENT_S = 1.0  # long enough for a server on a busy machine, short enough to wait for


def refused(code: int) -> Fate:
    if code >= 500:
        return Fate(State.FAILED, f"refused ({code})")
    return Fate(State.PLANNED, f"refused for now ({code})", retry_ms=LATER_MS)


@pytest.fixture(params=[True, False], ids=["pipelining", "step by step"])
def sink(request: pytest.FixtureRequest) -> Iterator[SmtpSink]:
    with SmtpSink(pipelining=request.param) as server:
        yield server
        assert server.early == 0


@pytest.fixture
def provider(sink: SmtpSink) -> Iterator[Smtp]:
    with closing(to(sink)) as made:
        yield made


def to(sink: SmtpSink, **settings: float) -> Smtp:
    return Smtp(f"smtp://{sink.host}:{sink.port}", **settings)  # type: ignore[arg-type]


def reached(sink: SmtpSink) -> list[str]:
    return [address for message in sink.messages for address in message.rcpt_tos]


def crowd(mailing: Mailing, funnel: Funnel, size: int, first: int = 0) -> Mailing:
    people = {f"reader-{number}@example.org": "" for number in range(first, first + size)}
    return letters.mailing(mailing.template, funnel, people, first=first)


def test_a_server_takes_the_same_mail_with_pipelining_and_without(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, funnel: Funnel
) -> None:
    many = crowd(mailing, funnel, 50)
    assert (provider.hand_over(mailing), provider.hand_over(many)) == (Report(ACCEPTED), Report(ACCEPTED))
    assert sink.messages == [
        (mail.sender_address, [one.address], to_mime(mail, one)) for mail in (mailing, many) for one in mail.recipients
    ]
    assert sink.connections == 1


def test_a_connection_carries_its_share_and_parts_with_a_goodbye(
    sink: SmtpSink, mailing: Mailing, funnel: Funnel
) -> None:
    with closing(to(sink, limit=2)) as provider:
        assert provider.hand_over(crowd(mailing, funnel, 5)) == Report(ACCEPTED)
        assert (sink.connections, sink.goodbyes, len(sink.messages)) == (3, 2, 5)
        assert provider.hand_over(crowd(mailing, funnel, 2, first=5)) == Report(ACCEPTED)
        assert (sink.connections, sink.goodbyes, len(sink.messages)) == (4, 3, 7)
    assert sink.goodbyes == 4


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_server_that_wants_few_messages_a_connection_gets_them_all(
    mailing: Mailing, funnel: Funnel, pipelining: bool
) -> None:
    with SmtpSink(pipelining=pipelining, limit=2) as sink, closing(to(sink)) as provider:
        assert provider.hand_over(crowd(mailing, funnel, 5)) == Report(ACCEPTED)
        assert provider.hand_over(crowd(mailing, funnel, 2, first=5)) == Report(ACCEPTED)
        assert reached(sink) == [f"reader-{number}@example.org" for number in range(7)]
        assert sink.connections == 4


def test_threads_share_the_connections(sink: SmtpSink, mailing: Mailing, funnel: Funnel) -> None:
    batches = [crowd(mailing, funnel, 4, first=4 * number) for number in range(12)]
    with closing(to(sink, connections=2)) as provider, ThreadPoolExecutor(8) as pool:
        assert set(map(str, pool.map(provider.hand_over, batches))) == {str(Report(ACCEPTED))}
    assert sink.connections <= 2
    assert Counter(reached(sink)) == Counter(f"reader-{number}@example.org" for number in range(48))


@pytest.mark.parametrize(
    ("reply", "report"),
    [
        ("421 4.3.2 shutting down", Report(BUSY, health=Health.BUSY)),
        ("451 4.7.1 slow down", Report(BUSY, health=Health.BUSY)),
        ("452 4.3.1 disk full", Report(BUSY, health=Health.BUSY)),
        ("550 5.7.1 you are not welcome", Report(SENDER_REFUSED, health=Health.REFUSING)),
        ("530 5.7.0 log in first", Report(SENDER_REFUSED, health=Health.REFUSING)),
    ],
)
def test_a_refused_sender_keeps_everybody_for_later(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, reply: str, report: Report
) -> None:
    sink.refuse_sender(reply)
    assert provider.hand_over(mailing) == report
    sink.refuse_sender("")
    assert provider.hand_over(mailing) == Report(ACCEPTED)
    sink.refuse_sender(reply)  # a connection that has worked: a fresh one decides
    assert provider.hand_over(mailing) == report
    assert reached(sink) == [*ALL]


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["421 4.7.0 too many errors", "452 too many messages", "452 4.3.1 disk full"])
def test_a_server_that_has_had_enough_is_asked_once_more(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, stage: Stage, reply: str
) -> None:
    sink.fail(BOB, stage, reply)
    assert provider.hand_over(mailing) == Report(ACCEPTED)
    assert (sink.connections, reached(sink)) == (2, [*ALL])


@pytest.mark.parametrize("code", [421, 452])
def test_a_server_that_keeps_having_enough_gets_the_rest_soon(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, code: int
) -> None:
    sink.refuse(BOB, f"{code} 4.7.0 enough")
    # Bob waits longer, so that he alone cannot hold up the others again and again.
    assert provider.hand_over(mailing) == Report(ACCEPTED, {1: refused(code), 2: BUSY}, Health.BUSY)
    assert reached(sink) == [ALICE]


def test_a_fresh_connection_that_ends_with_the_first_message_is_not_followed_by_another(
    sink: SmtpSink, provider: Smtp, mailing: Mailing
) -> None:
    sink.fail(ALICE, "MESSAGE", "421 4.3.2 shutting down")
    assert provider.hand_over(mailing) == Report(ACCEPTED, {0: refused(421), 1: BUSY, 2: BUSY}, Health.BUSY)
    assert (sink.connections, reached(sink)) == (1, [])


@pytest.mark.parametrize("eager", [False, True], ids=["", "that grants DATA all the same"])
@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("who", [(ALICE,), (BOB,), (CHARLIE,), (ALICE, BOB), (BOB, CHARLIE), ALL])
def test_a_server_that_refuses_recipients_gets_no_mail_for_them(
    mailing: Mailing, who: tuple[str, ...], pipelining: bool, eager: bool
) -> None:
    with SmtpSink(pipelining=pipelining, eager=eager) as sink, closing(to(sink)) as provider:
        for address in who:
            sink.refuse(address, "550-5.1.1 there is\r\n550 5.1.1 no such user")
        report = Report(ACCEPTED, {ALL.index(address): refused(550) for address in who})
        if who == ALL:
            report = Report(ACCEPTED, dict.fromkeys(range(3), EVERYBODY_REFUSED), Health.FAILING)
        assert [provider.hand_over(mailing) for _ in range(2)] == [report, report]
        assert reached(sink) == [address for address in ALL if address not in who] * 2
        assert (sink.connections, sink.early) == (1, 0)


AFTER_ALICE: list[tuple[Stage, str, Report, list[str]]] = [
    ("RCPT", "452 4.2.2 mailbox full", Report(ACCEPTED, {1: refused(452)}), [ALICE, CHARLIE]),
    ("DATA", "554 5.7.1 no", Report(ACCEPTED, {1: refused(554)}), [ALICE, CHARLIE]),
    ("DATA", "451 4.3.0 later", Report(ACCEPTED, {1: refused(451)}), [ALICE, CHARLIE]),
    ("MESSAGE", "554 5.6.0 spam", Report(ACCEPTED, {1: refused(554)}), [ALICE, CHARLIE]),
    ("MESSAGE", "451 4.3.0 later", Report(ACCEPTED, {1: refused(451)}), [ALICE, CHARLIE]),
    ("MESSAGE", "452 4.3.1 disk full", Report(ACCEPTED, {1: refused(452)}), [ALICE, CHARLIE]),
    ("MESSAGE", "421 4.3.2 shutting down", Report(ACCEPTED, {1: refused(421)}), [ALICE, CHARLIE]),
    ("CONTENT", "421 4.4.2 too slow", Report(ACCEPTED, {1: refused(421)}), [ALICE, CHARLIE]),
    ("RCPT", HANG_UP, Report(ACCEPTED), [*ALL]),
    ("RCPT", "what?", Report(ACCEPTED), [*ALL]),
    ("DATA", HANG_UP, Report(ACCEPTED), [*ALL]),
    ("DATA", "250 that is no answer to DATA", Report(ACCEPTED), [*ALL]),
    ("CONTENT", HANG_UP, Report(ACCEPTED, {1: IN_DOUBT, 2: NO_CONNECTION}, Health.FAILING), [ALICE]),
    ("MESSAGE", HANG_UP, Report(ACCEPTED, {1: IN_DOUBT, 2: NO_CONNECTION}, Health.FAILING), [ALICE]),
    ("MESSAGE", TAKE_AND_HANG_UP, Report(ACCEPTED, {1: IN_DOUBT, 2: NO_CONNECTION}, Health.FAILING), [ALICE, BOB]),
    ("MESSAGE", "what?", Report(ACCEPTED, {1: IN_DOUBT, 2: NO_CONNECTION}, Health.FAILING), [ALICE]),
    ("MESSAGE", "350 more", Report(ACCEPTED, {1: IN_DOUBT, 2: NO_CONNECTION}, Health.FAILING), [ALICE]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "fault", "report", "got"), AFTER_ALICE, ids=[f"{stage} {fault}" for stage, fault, _, _ in AFTER_ALICE]
)
def test_what_happens_to_bob_leaves_everybody_with_the_right_fate(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, stage: Stage, fault: str, report: Report, got: list[str]
) -> None:
    sink.fail(BOB, stage, fault)
    assert provider.hand_over(mailing) == report
    assert reached(sink) == got
    assert provider.hand_over(mailing) == Report(ACCEPTED)


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
@pytest.mark.parametrize("fault", [HANG_UP, "what?", "9" * 6000])
def test_a_server_that_breaks_off_before_the_first_message_has_taken_nothing(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, stage: Stage, fault: str
) -> None:
    sink.fail(ALICE, stage, fault)
    assert provider.hand_over(mailing) == Report(NO_CONNECTION, health=Health.FAILING)
    assert reached(sink) == []
    assert provider.hand_over(mailing) == Report(ACCEPTED)


SILENT_TO_BOB: list[tuple[Stage, str, Report, list[str]]] = [
    ("RCPT", BE_SILENT, Report(ACCEPTED), [*ALL]),
    ("MESSAGE", BE_SILENT, Report(ACCEPTED, {1: IN_DOUBT, 2: NO_CONNECTION}, Health.FAILING), [ALICE]),
    ("MESSAGE", TAKE_AND_BE_SILENT, Report(ACCEPTED, {1: IN_DOUBT, 2: NO_CONNECTION}, Health.FAILING), [ALICE, BOB]),
]


@pytest.mark.parametrize(("stage", "fault", "report", "got"), SILENT_TO_BOB)
def test_a_server_that_falls_silent_is_a_line_that_broke(
    mailing: Mailing, stage: Stage, fault: str, report: Report, got: list[str]
) -> None:
    with SmtpSink() as sink, closing(to(sink, read_s=A_MOMENT_S)) as provider:
        sink.fail(BOB, stage, fault)
        assert (provider.hand_over(mailing), reached(sink)) == (report, got)
        assert provider.hand_over(mailing) == Report(ACCEPTED)


def test_whoever_is_connected_too_late_sends_nothing(sink: SmtpSink, provider: Smtp, mailing: Mailing) -> None:
    late = Report(TOO_LATE, health=Health.FAILING)
    assert [provider.hand_over(replace(mailing, in_time=lambda: False)) for _ in range(9)] == [late] * 9
    assert reached(sink) == []
    assert provider.hand_over(mailing) == Report(ACCEPTED)
    assert provider.hand_over(replace(mailing, in_time=lambda: False)) == late
    assert reached(sink) == [*ALL]


def test_the_look_up_of_a_name_counts_as_time(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = look_up_slowly(monkeypatch)
    assert provider.hand_over(replace(mailing, in_time=lambda: not looked_up)).fate == TOO_LATE
    assert (sink.connections, reached(sink)) == (1, [])


def test_what_has_begun_in_time_goes_on(sink: SmtpSink, provider: Smtp, mailing: Mailing) -> None:
    assert provider.hand_over(replace(mailing, in_time=lambda: not sink.messages)) == Report(ACCEPTED)
    assert reached(sink) == [*ALL]


def test_an_answer_too_many_is_not_taken_for_the_next_one(sink: SmtpSink, provider: Smtp, mailing: Mailing) -> None:
    sink.fail(ALICE, "MESSAGE", "451 not now\r\n250 2.0.0 OK")
    sink.refuse(BOB, "550 no")
    report = provider.hand_over(mailing)
    assert report.exceptions[0] == refused(451)
    assert [report.exceptions.get(place, report.fate) == ACCEPTED for place in (1, 2)] == [
        address in reached(sink) for address in (BOB, CHARLIE)
    ]


def test_an_answer_without_end_is_no_answer(sink: SmtpSink, provider: Smtp, mailing: Mailing) -> None:
    sink.fail(ALICE, "RCPT", "250-and\r\n" * 1000 + "250 so on")
    assert provider.hand_over(mailing) == Report(NO_CONNECTION, health=Health.FAILING)


def test_a_line_without_end_is_not_read_to_its_end(mailing: Mailing) -> None:
    with saying(b"220 hello\r\n", b"250-hello\r\n250 PIPELINING\r\n", b"2" * 50_000_000) as port:
        report = Smtp(f"smtp://127.0.0.1:{port}").hand_over(mailing)
    assert report == Report(NO_CONNECTION, health=Health.FAILING)


def test_an_address_that_could_be_a_command_is_never_spoken(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, funnel: Funnel
) -> None:
    odd = ("bob@example.org>\r\nRCPT TO:<eve@example.org", "bob @example.org", "bøb@example.org", "")
    people = dict.fromkeys((ALICE, *odd, CHARLIE), "")
    report = provider.hand_over(letters.mailing(mailing.template, funnel, people))
    assert report == Report(ACCEPTED, dict.fromkeys(range(1, 5), NO_ADDRESS))
    assert reached(sink) == [ALICE, CHARLIE]


@contextmanager
def saying(*texts: bytes) -> Iterator[int]:
    """The port of a server that says these in turn, waiting for a word before each but the first, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            # Whoever has heard enough hangs up; where that comes before our own goodbye, it is no ConnectionError.
            with server.accept()[0] as line, suppress(OSError):
                for text in texts:
                    line.sendall(text)
                    if text == texts[-1]:
                        line.shutdown(socket.SHUT_WR)
                    line.recv(1000)

        thread = Thread(target=talk)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("text", "health"),
    [
        (b"421 4.3.2 too many connections\r\n", Health.BUSY),
        (b"554 5.7.1 you are on a list\r\n", Health.REFUSING),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Health.FAILING),
        (b"220 hello\r\n", Health.FAILING),
        (b"220-hello" * 2000, Health.FAILING),
        (b"", Health.FAILING),
    ],
)
def test_a_server_that_lets_nobody_in_keeps_the_mail_for_later(mailing: Mailing, text: bytes, health: Health) -> None:
    with saying(text) as port:
        assert Smtp(f"smtp://127.0.0.1:{port}").hand_over(mailing) == Report(NO_CONNECTION, health=health)
