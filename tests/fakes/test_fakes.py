"""The fakes are only worth trusting if they refuse and fail as the real services do."""

import json
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest
import urllib3
from python_http_client.exceptions import BadRequestsError  # type: ignore[import-untyped, unused-ignore]
from sendgrid import SendGridAPIClient  # type: ignore[import-untyped, unused-ignore]
from sendgrid.helpers.mail import Mail  # type: ignore[import-untyped, unused-ignore]

from .sendgrid import Answer, Delay, Drop, FakeSendGrid, Half, RandomFaults, Reset, TakeThen
from .smtp import SmtpSink

ROOT = Path(__file__).resolve().parents[2]
RETRIES = urllib3.Retry(connect=30, backoff_factor=0.1, backoff_max=0.5)
RAW = b"Subject: Breathe\r\n\r\n.one slow breath\r\n"


@pytest.fixture
def fake() -> Iterator[FakeSendGrid]:
    with FakeSendGrid() as running:
        yield running


def letter(*emails: str, **changes: Any) -> dict[str, Any]:
    """A payload SendGrid takes, one personalization per address; `changes` replace top-level keys."""
    return {
        "personalizations": [{"to": [{"email": email}]} for email in emails or ("alice@example.org",)],
        "from": {"email": "course@example.org"},
        "subject": "Lesson 1",
        "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": "<p>Hello</p>"}],
    } | changes


def for_alice(**changes: Any) -> dict[str, Any]:
    """A payload whose one personalization, to Alice, also holds `changes`."""
    return letter(personalizations=[{"to": [{"email": "alice@example.org"}]} | changes])


def post(
    fake: FakeSendGrid, payload: object, pool: urllib3.PoolManager | None = None, timeout: float = 10
) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {fake.api_key}"}
    own = pool or urllib3.PoolManager()
    try:
        return own.request(
            "POST", f"{fake.url}/v3/mail/send", json=payload, headers=headers, retries=False, timeout=timeout
        )
    finally:
        if pool is None:
            own.clear()


def test_the_official_sdk_can_send_and_check_its_key(fake: FakeSendGrid) -> None:
    client = SendGridAPIClient("SG.test", host=fake.url)
    mail = Mail("course@example.org", "alice@example.org", "Lesson 1", "Hello", "<p>Hello</p>")
    assert client.send(mail).status_code == 202
    assert client.client.scopes.get().to_dict == {"scopes": ["mail.send"]}
    assert [(d.to, d.subject, d.text) for d in fake.deliveries()] == [("alice@example.org", "Lesson 1", "Hello")]


def test_the_official_sdk_reads_the_refusal(fake: FakeSendGrid) -> None:
    with pytest.raises(BadRequestsError) as refusal:
        SendGridAPIClient("SG.test", host=fake.url).client.mail.send.post(request_body=letter("carol@nowhere"))
    assert refusal.value.to_dict["errors"][0]["field"] == "personalizations.0.to.0.email"


def test_each_person_gets_own_words_and_headers(fake: FakeSendGrid) -> None:
    alice = {
        "to": [{"email": "alice@example.org"}],
        "subject": "For [name]",
        "substitutions": {"[name]": "Alice"},
        "headers": {"X-Link": "[name]"},
        "custom_args": {"place": "0"},
    }
    bob = {"to": [{"email": "bob@example.org"}], "substitutions": {"[name]": "Bob"}}
    content = [{"type": "text/html", "value": "<p>[name]</p>"}]
    payload = letter(personalizations=[alice, bob], content=content, headers={"X-All": "1"}, custom_args={"batch": "b"})
    answer = post(fake, payload)
    to_alice, to_bob = fake.deliveries()
    assert (to_alice.subject, to_alice.html, to_alice.text) == ("For Alice", "<p>Alice</p>", "")
    assert to_alice.headers == {"X-All": "1", "X-Link": "[name]"}
    assert to_alice.custom_args == {"batch": "b", "place": "0"}
    assert (to_bob.subject, to_bob.html, to_bob.headers) == ("Lesson 1", "<p>Bob</p>", {"X-All": "1"})
    assert to_alice.message_id == to_bob.message_id == answer.headers["X-Message-Id"]


LONG = "x" * 10_000
REFUSED: list[tuple[str, object, str | None]] = [
    ("not an object", [], None),
    ("nobody", letter(personalizations=[]), "personalizations"),
    ("1,001 personalizations", letter(*(f"p{n}@example.org" for n in range(1_001))), "personalizations"),
    ("1,001 people", for_alice(cc=[{"email": f"p{n}@example.org"} for n in range(1_000)]), "personalizations"),
    ("no to", letter(personalizations=[{"to": []}]), "personalizations.0.to"),
    ("someone twice", for_alice(cc=[{"email": "ALICE@example.org"}]), "personalizations.0"),
    ("bad second address", letter("a@example.org", "bob@@example.org"), "personalizations.1.to.0.email"),
    ("no sender", letter(**{"from": {}}), "from.email"),
    ("bad sender", letter(**{"from": {"email": "course"}}), "from.email"),
    ("no subject", letter(subject=""), "subject"),
    ("empty own subject", for_alice(subject=""), "personalizations.0.subject"),
    ("no content", letter(content=[]), "content"),
    ("html first", letter(content=[*reversed(letter()["content"])]), "content"),
    ("empty text", letter(content=[{"type": "text/plain", "value": ""}]), "content.0.value"),
    ("number as substitution", for_alice(substitutions={"[n]": 1}), "personalizations.0.substitutions.[n]"),
    ("long substitutions", for_alice(substitutions={"[n]": LONG}), "personalizations.0.substitutions"),
    ("template", for_alice(substitutions={"[n]": "1"}) | {"template_id": "d-1"}, "personalizations.0.substitutions"),
    (
        "template data",
        for_alice(substitutions={"[n]": "1"}, dynamic_template_data={}),
        "personalizations.0.substitutions",
    ),
    ("number as custom arg", letter(custom_args={"batch": 1}), "custom_args.batch"),
    ("long custom args", letter(custom_args={"batch": LONG}), "personalizations.0.custom_args"),
    ("reserved header", letter(headers={"REPLY-TO": "x@example.org"}), "headers"),
    ("own reserved header", for_alice(headers={"Subject": "x"}), "personalizations.0.headers"),
    ("non-ASCII header", for_alice(headers={"X-Name": "Zoë"}), "personalizations.0.headers"),
    ("number as header", letter(headers={"X-Count": 1}), "headers.X-Count"),
    ("too far ahead", letter(send_at=int(time.time()) + 73 * 3_600), "send_at"),
]


@pytest.mark.parametrize(("payload", "path"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_sendgrid_refuses_and_names_the_field(fake: FakeSendGrid, payload: object, path: str | None) -> None:
    answer = post(fake, payload)
    errors = answer.json()["errors"]
    assert (answer.status, {error["field"] for error in errors}) == (400, {path})
    assert all(set(error) == {"message", "field", "help"} for error in errors)
    assert fake.requests == []


def test_every_bad_address_is_named_at_once(fake: FakeSendGrid) -> None:
    errors = post(fake, letter("bob@", "alice@example.org", "carol@nowhere")).json()["errors"]
    assert [e["field"] for e in errors] == ["personalizations.0.to.0.email", "personalizations.2.to.0.email"]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (401, {"Content-Type": "application/json"}, b"{}"),
        (401, {"Content-Type": "application/json", "Authorization": "Bearer SG.stolen"}, b"{}"),
        (415, {"Content-Type": "text/plain", "Authorization": "Bearer SG.test"}, b"{}"),
        (400, {"Content-Type": "application/json", "Authorization": "Bearer SG.test"}, b"{"),
        (413, {"Content-Type": "application/json", "Authorization": "Bearer SG.test"}, b" " * 30_000_001),
    ],
    ids=["no key", "wrong key", "wrong type", "broken JSON", "too large"],
)
def test_sendgrid_refuses_what_it_cannot_read(
    fake: FakeSendGrid, status: int, headers: dict[str, str], body: bytes
) -> None:
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", f"{fake.url}/v3/mail/send", body=body, headers=headers, retries=False)
    assert answer.status == status
    assert answer.json()["errors"][0]["message"]


def test_the_full_thousand_is_taken_on_one_kept_connection(fake: FakeSendGrid) -> None:
    thousand = letter(*(f"p{n}@example.org" for n in range(1_000)))
    with urllib3.PoolManager() as pool:
        assert [post(fake, thousand, pool).status for _ in range(3)] == [202, 202, 202]
    assert (fake.connections, len(fake.deliveries())) == (1, 3_000)


def test_the_sandbox_delivers_nothing(fake: FakeSendGrid) -> None:
    assert post(fake, letter(mail_settings={"sandbox_mode": {"enable": True}})).status == 200
    assert (len(fake.requests), fake.deliveries()) == (1, [])


def test_scripted_faults_come_in_order_and_then_end(fake: FakeSendGrid) -> None:
    fake.script(Answer(429, headers={"X-RateLimit-Reset": "7"}), Drop("before"), Drop("after"), Delay(0))
    limited = post(fake, letter())
    assert (limited.status, limited.headers["X-RateLimit-Reset"]) == (429, "7")
    for taken in (0, 1):
        with pytest.raises(urllib3.exceptions.ProtocolError):
            post(fake, letter())
        assert len(fake.requests) == taken
    assert [post(fake, letter()).status for _ in range(2)] == [202, 202]


def test_a_delay_outlasts_an_impatient_client(fake: FakeSendGrid) -> None:
    fake.script(Delay(60))
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        post(fake, letter(), timeout=0.05)


def test_sendgrid_goes_down_under_an_idle_client() -> None:
    with urllib3.PoolManager() as pool:
        with FakeSendGrid() as fake:
            post(fake, letter(), pool)
        with pytest.raises(urllib3.exceptions.HTTPError):
            post(fake, letter(), pool)


def smtp(sink: SmtpSink) -> smtplib.SMTP:
    return smtplib.SMTP(sink.host, sink.port, timeout=10)


def test_the_sink_takes_mail_over_tls_from_a_known_user() -> None:
    with SmtpSink(auth=("course", "secret"), require_auth=True, require_tls=True) as sink, smtp(sink) as client:
        with pytest.raises(smtplib.SMTPSenderRefused, match="STARTTLS"):
            client.sendmail("course@example.org", ["alice@example.org"], RAW)
        client.starttls(context=ssl.create_default_context(cafile=sink.ca_pem))
        with pytest.raises(smtplib.SMTPSenderRefused, match="Authentication required"):
            client.sendmail("course@example.org", ["alice@example.org"], RAW)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("course", "guess")
        client.login("course", "secret")
        client.sendmail("course@example.org", ["alice@example.org"], RAW)
        assert sink.messages == [("course@example.org", ["alice@example.org"], RAW)]
        assert sink.connections == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_the_sink_knows_both_ways_to_log_in(mechanism: str) -> None:
    with SmtpSink(starttls=True, auth=("course", "secret")) as sink, smtp(sink) as client:
        client.starttls(context=sink.client_context())
        client.ehlo()
        client.user, client.password = "course", "secret"
        code, _ = client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))
        assert code == 235


def test_an_open_sink_offers_neither_tls_nor_login() -> None:
    with SmtpSink() as sink, smtp(sink) as client:
        client.ehlo()
        assert not {"starttls", "auth"} & set(client.esmtp_features)
        assert "pipelining" in client.esmtp_features


def test_a_refused_address_does_not_hurt_the_others() -> None:
    with SmtpSink() as sink, smtp(sink) as client:
        sink.refuse("bob@example.org", "550 5.1.1 no such user")
        refused = client.sendmail("course@example.org", ["alice@example.org", "Bob@example.org"], RAW)
        assert refused == {"Bob@example.org": (550, b"5.1.1 no such user")}
        assert [message.rcpt_tos for message in sink.messages] == [["alice@example.org"]]


def test_a_message_can_be_refused_for_now() -> None:
    with SmtpSink() as sink, smtp(sink) as client:
        sink.refuse_next("451 4.3.0 try later")
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            client.sendmail("course@example.org", ["alice@example.org"], RAW)
        assert (refusal.value.smtp_code, sink.messages) == (451, [])
        client.sendmail("course@example.org", ["alice@example.org"], RAW)
        assert len(sink.messages) == 1


def test_the_sink_draws_a_fault_at_each_stage_and_tells_what_it_took() -> None:
    asked: list[tuple[str, str]] = []
    taken: list[list[str]] = []

    def draw(address: str, stage: str) -> tuple[float, str]:
        asked.append((address, stage))
        return 0.0, "451 4.3.0 try later" if address == "bob@example.org" and stage == "RCPT" else ""

    with SmtpSink(draw=draw, on_taken=lambda message: taken.append(message.rcpt_tos)) as sink, smtp(sink) as client:
        client.sendmail("course@example.org", ["Bob@example.org", "alice@example.org"], RAW)
        assert taken == [["alice@example.org"]]
    stages = ["DATA", "CONTENT", "MESSAGE"]
    assert asked == [("bob@example.org", "RCPT"), *(("alice@example.org", stage) for stage in ("RCPT", *stages))]


@pytest.mark.parametrize("starttls", [False, True], ids=["plain", "TLS"])
def test_the_sink_can_hang_up_before_or_after_taking_a_message(starttls: bool) -> None:
    with SmtpSink(starttls=starttls) as sink:
        sink.drop_next("before")
        sink.drop_next("after")
        for taken in (0, 1):
            client = smtp(sink)
            if starttls:
                client.starttls(context=sink.client_context())
            with pytest.raises(smtplib.SMTPServerDisconnected):
                client.sendmail("course@example.org", ["alice@example.org"], RAW)
            assert len(sink.messages) == taken
        assert sink.connections == 2


@pytest.mark.parametrize("starttls", [False, True], ids=["plain", "TLS"])
def test_the_sink_goes_down_under_an_idle_client(starttls: bool) -> None:
    with SmtpSink(starttls=starttls) as sink:
        client = smtp(sink)
        if starttls:
            client.starttls(context=sink.client_context())
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.sendmail("course@example.org", ["alice@example.org"], RAW)


def raw_letter(fake: FakeSendGrid) -> bytes:
    body = json.dumps(letter()).encode()
    head = f"POST /v3/mail/send HTTP/1.1\r\nAuthorization: Bearer {fake.api_key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def connect(fake: FakeSendGrid) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(fake.url.rpartition(":")[2])))


@pytest.mark.parametrize("fault", [Reset(), Reset(20)], ids=str)
def test_a_reset_takes_nothing_and_is_one(fault: Reset) -> None:
    with FakeSendGrid() as fake, connect(fake) as client:
        fake.script(fault)
        client.sendall(raw_letter(fake))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert fake.requests == []


@pytest.mark.parametrize("taken", [True, False])
def test_half_an_answer_breaks_off_where_it_should(taken: bool) -> None:
    ends: dict[str, bytes] = {}
    parts: tuple[Literal["status", "headers", "body"], ...] = ("status", "headers", "body")
    for within in parts:
        with FakeSendGrid() as fake, connect(fake) as client:
            fake.script(Half(within, taken=taken))
            client.sendall(raw_letter(fake))
            with client.makefile("rb") as lines:
                ends[within] = lines.read()
            assert len(fake.requests) == taken
    assert ends["status"] == (b"HTTP/1.1 202" if taken else b"HTTP/1.1 500")
    assert b"\r\nContent-Length:" in ends["headers"]
    assert b"\r\n\r\n" not in ends["headers"]
    assert ends["body"].endswith(b'\r\n\r\n{"half"')


def test_what_was_taken_is_told_and_noted_before_the_answer(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    ledger = tmp_path / "taken.jsonl"
    mail = for_alice(headers={"Message-ID": "<1@x>"}, custom_args={"position": "4"}) | {"custom_args": {"batch": "b.1"}}

    def hook(message_id: str, payload: dict[str, Any]) -> None:
        told.append((message_id, len(ledger.read_text().splitlines())))

    with FakeSendGrid(on_accepted=hook, ledger=ledger, keep=False) as fake:
        answer = post(fake, mail)
        fake.script(Drop("after"), Half("status"), TakeThen(Answer(500)), Drop("before"), Answer(503), Reset())
        for _ in range(6):
            with suppress(urllib3.exceptions.HTTPError):
                post(fake, mail)
        assert (fake.requests, post(fake, letter("bob@")).status) == ([], 400)
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [entry.pop("answered") for entry in entries] == [True, False, False, False]
    assert entries == [{"message_id": "<1@x>", "batch": "b.1", "position": "4"}] * 4
    assert (told[0][0], [lines for _, lines in told]) == (answer.headers["X-Message-Id"], [1, 2, 3, 4])


def test_random_faults_come_from_their_seed_and_cover_every_kind() -> None:
    def drawn(seed: int) -> list[Any]:
        faults = RandomFaults(seed, rate=0.5, latency=(0.0, 0.001))
        return [fault.then for fault in (faults() for _ in range(400)) if isinstance(fault, Delay)]

    assert [type(one) for one in drawn(7)] == [type(one) for one in drawn(7)]
    assert [type(one) for one in drawn(7)] != [type(one) for one in drawn(8)]
    assert {type(one) for one in drawn(7)} == {type(None), Answer, Drop, Half, Reset, TakeThen}


def test_the_fake_runs_by_itself_and_prints_nothing(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ledger = tmp_path / "taken.jsonl"
    command = [sys.executable, "-m", "tests.fakes.sendgrid", "--port", str(port), "--ledger", str(ledger)]
    with subprocess.Popen([*command, "--latency", "0", "0.01"], stdout=-1, stderr=-1, cwd=ROOT) as process:
        pool = urllib3.PoolManager(headers={"Authorization": "Bearer SG.test"})
        answer = pool.request("POST", f"http://127.0.0.1:{port}/v3/mail/send", json=letter(), retries=RETRIES)
        pool.clear()
        process.terminate()
        assert (answer.status, process.communicate(timeout=20), process.returncode) == (202, (b"", b""), 0)
    assert len(ledger.read_text().splitlines()) == 1
