"""SMTP: TLS, login, one connection for many messages, and what each refusal and each broken line means."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from funnel.core.delivery import ACCEPTED, Fate, Health, Report, State
from funnel.core.sequence import Funnel
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing
from funnel.mail.smtp import Smtp
from funnel.mail.smtp_window import EVERYBODY_REFUSED, LATER_MS, SOON_MS
from tests.fakes.smtp import SmtpSink
from tests.mail import letters

BROKEN = Report(Fate(State.PLANNED, "connection", retry_ms=SOON_MS), health=Health.FAILING)
STRANGER = Report(Fate(State.PLANNED, "login refused", retry_ms=LATER_MS), health=Health.REFUSING)


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink(auth=("course@example.org", "p@ss:/ %41"), require_auth=True, require_tls=True) as server:
        yield server


@pytest.fixture
def provider(sink: SmtpSink) -> Iterator[Smtp]:
    with closing(Smtp(url(sink, "course%40example.org:p%40ss%3A%2F%20%2541@"), sink.client_context())) as made:
        yield made


def url(sink: SmtpSink, login: str = "", host: str = "127.0.0.1") -> str:
    return f"smtp://{login}{host}:{sink.port}"


def reached(sink: SmtpSink) -> list[str]:
    return [address for message in sink.messages for address in message.rcpt_tos]


def test_each_person_has_an_envelope_of_their_own_and_the_bytes_arrive_as_built(
    sink: SmtpSink, provider: Smtp, mailing: Mailing
) -> None:
    assert provider.hand_over(mailing) == Report(ACCEPTED)
    assert sink.messages == [
        (mailing.sender_address, [one.address], to_mime(mailing, one)) for one in mailing.recipients
    ]


def test_lines_that_start_with_dots_arrive_whole(sink: SmtpSink, provider: Smtp, funnel: Funnel) -> None:
    text = "first\n.\n..\n...and more\n.\n"
    mail = letters.mailing(letters.template(["Dots"], [text], [text]), funnel, {"alice@example.org": ""})
    provider.hand_over(mail)
    assert letters.arrived(letters.read_mime(sink.messages[0].raw)).text == text


def test_one_connection_carries_many_mailings(sink: SmtpSink, provider: Smtp, mailing: Mailing) -> None:
    for _ in range(3):
        provider.hand_over(mailing)
    assert (sink.connections, len(sink.messages)) == (1, 9)


def test_a_connection_that_the_server_closed_is_opened_again(sink: SmtpSink, provider: Smtp, mailing: Mailing) -> None:
    provider.hand_over(mailing)
    sink.hang_up()  # what servers do to clients that idle
    assert provider.hand_over(mailing) == Report(ACCEPTED)
    assert (sink.connections, len(sink.messages)) == (2, 6)


def test_an_untrusted_certificate_gets_nothing(sink: SmtpSink, mailing: Mailing) -> None:
    with closing(Smtp(url(sink, "course%40example.org:p%40ss%3A%2F%20%2541@"))) as provider:
        assert provider.hand_over(mailing) == BROKEN
    assert sink.messages == []


def test_a_certificate_for_another_name_gets_nothing(sink: SmtpSink, mailing: Mailing) -> None:
    login = "course%40example.org:p%40ss%3A%2F%20%2541@"
    with closing(Smtp(url(sink, login, host="127.1"), sink.client_context())) as provider:
        assert provider.hand_over(mailing) == BROKEN
    assert sink.messages == []


def test_without_a_context_of_its_own_the_provider_verifies() -> None:
    tls = Smtp("smtp://mail.example.org")._tls
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_wrong_password_keeps_the_mail_for_later(sink: SmtpSink, mailing: Mailing) -> None:
    with closing(Smtp(url(sink, "course%40example.org:guess@"), sink.client_context())) as provider:
        assert provider.hand_over(mailing) == STRANGER
    assert sink.messages == []


def test_a_password_crosses_an_open_line_only_on_this_machine(mailing: Mailing) -> None:
    # 127.1 is this machine too, but not by a name that the provider trusts: a stand-in for a host far away.
    with SmtpSink(auth=("course", "secret")) as sink:
        offered: list[str] = []
        known = sink._handler.authenticate

        def listen(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
            offered.append(data.password.decode())
            return known(server, session, envelope, mechanism, data)

        sink._handler.authenticate = listen  # type: ignore[method-assign]
        with closing(Smtp(url(sink, "course:secret@", host="127.1"))) as far:
            assert far.hand_over(mailing) == BROKEN
        assert (offered, sink.messages) == ([], [])
        with closing(Smtp(url(sink, "course:secret@"))) as near:
            assert near.hand_over(mailing) == Report(ACCEPTED)
        assert offered == ["secret"]


ALL = ["alice@example.org", "bob@example.org", "charlie@example.org"]
GONE = Fate(State.FAILED, "refused (550)")
LATER = Fate(State.PLANNED, "refused for now (450)", retry_ms=LATER_MS)
REFUSALS: list[tuple[str, dict[str, str], Report, list[str]]] = [
    ("one is gone", {"bob": "550 5.1.1 no such user"}, Report(ACCEPTED, {1: GONE}), [ALL[0], ALL[2]]),
    ("one is full", {"bob": "450 4.2.2 mailbox full"}, Report(ACCEPTED, {1: LATER}), [ALL[0], ALL[2]]),
    ("the first is gone", {"alice": "550 no"}, Report(ACCEPTED, {0: GONE}), ALL[1:]),
    ("gone and full", {"alice": "550 no", "bob": "450 wait"}, Report(ACCEPTED, {0: GONE, 1: LATER}), ALL[2:]),
    ("each its own", {"alice": "550 no", "bob": "450 wait", "charlie": "550 no"},
     Report(ACCEPTED, {0: GONE, 1: LATER, 2: GONE}), []),
    ("everybody refused, as by a relay that is closed to us", dict.fromkeys(("alice", "bob", "charlie"), "554 denied"),
     Report(ACCEPTED, dict.fromkeys(range(3), EVERYBODY_REFUSED), Health.FAILING), []),
    ("all full", dict.fromkeys(("alice", "bob", "charlie"), "450 wait"),
     Report(ACCEPTED, dict.fromkeys(range(3), LATER)), []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("refusals", "report", "got"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_a_refused_address_does_not_hurt_the_others(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, refusals: dict[str, str], report: Report, got: list[str]
) -> None:
    for name, reply in refusals.items():
        sink.refuse(f"{name}@example.org", reply)
    assert provider.hand_over(mailing) == report
    assert reached(sink) == got
    assert sink.connections == 1


@pytest.mark.parametrize(
    ("reply", "fate"),
    [
        ("554 5.7.1 spam", Fate(State.FAILED, "refused (554)")),
        ("451 4.3.0 try later", Fate(State.PLANNED, "refused for now (451)", retry_ms=LATER_MS)),
    ],
)
def test_a_refused_message_does_not_hurt_the_others(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, reply: str, fate: Fate
) -> None:
    sink.refuse_next(reply)
    assert provider.hand_over(mailing) == Report(ACCEPTED, {0: fate})
    assert reached(sink) == ALL[1:]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_line_that_breaks_after_the_message_leaves_that_one_unknown_and_the_rest_unsent(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, when: Any
) -> None:
    # The sender sees the same either way: the message has left and no answer came.
    sink.refuse_next("451 4.3.0 try later")
    sink.drop_next(when)
    assert provider.hand_over(mailing) == Report(
        ACCEPTED,
        {
            0: Fate(State.PLANNED, "refused for now (451)", retry_ms=LATER_MS),
            1: Fate(State.UNKNOWN, "connection"),
            2: Fate(State.PLANNED, "connection", retry_ms=SOON_MS),
        },
        Health.FAILING,
    )
    assert reached(sink) == (["bob@example.org"] if when == "after" else [])
    assert provider.hand_over(mailing) == Report(ACCEPTED)


def test_a_server_that_hangs_up_at_the_first_word_has_taken_nothing(
    sink: SmtpSink, provider: Smtp, mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang_up(server: Any, *rest: object) -> str:
        server.transport.abort()
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(sink._handler, "handle_MAIL", hang_up)
    assert provider.hand_over(mailing) == BROKEN
    monkeypatch.undo()
    assert provider.hand_over(mailing) == Report(ACCEPTED)
    assert reached(sink) == ALL


def test_a_refused_sender_keeps_the_whole_batch_for_later(sink: SmtpSink, mailing: Mailing) -> None:
    with closing(Smtp(url(sink), sink.client_context())) as provider:
        report = provider.hand_over(mailing)
    assert report == Report(Fate(State.PLANNED, "sender refused", retry_ms=LATER_MS), health=Health.REFUSING)
    assert (sink.connections, sink.messages) == (1, [])
