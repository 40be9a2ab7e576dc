"""Whether a provider would take our mail: each trouble has its sentence, and no sentence holds a secret."""

from pathlib import Path

import pytest

from funnel.mail import check
from tests.fakes.sendgrid import Answer, Drop, FakeSendGrid
from tests.fakes.smtp import SmtpSink

KEY = "SG.test"
PASSWORD = "hunter2"


def test_a_sendgrid_that_takes_our_mail_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with FakeSendGrid(KEY) as fake, caplog.at_level("DEBUG"):
        assert check.sendgrid(KEY, fake.url) == (True, "SendGrid takes our mail", "")
        assert fake.requests == []
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Answer(403, {"errors": [{"message": "alice@example.org"}]}), "refuses the key (403)"),
        (Answer(503, {}), "answers 503"),
        (Answer(200, {"scopes": ["mail.batch.read"]}), "lacks mail.send"),
        (Answer(200, {"scopes": None}), "is not SendGrid"),
        (Answer(200, {"hello": "world"}), "is not SendGrid"),
        (Drop("before"), "cannot be reached"),
    ],
)
def test_a_sendgrid_that_would_not_take_it_is_told(fault: Answer | Drop, said: str) -> None:
    with FakeSendGrid(KEY) as fake:
        fake.script(fault)
        answer = check.sendgrid(KEY, fake.url)
    assert (answer.ok, said in answer.says, bool(answer.do)) == (False, True, True), answer
    assert "alice" not in answer.says + answer.do


def test_a_key_that_sendgrid_does_not_know_is_told() -> None:
    with FakeSendGrid(KEY) as fake:
        answer = check.sendgrid("SG.other", fake.url)
    assert (answer.ok, "refuses the key" in answer.says) == (False, True)
    assert "SG.other" not in answer.says + answer.do


def test_a_sendgrid_that_is_not_there_is_told() -> None:
    assert "cannot be reached" in check.sendgrid(KEY, "http://127.0.0.1:1").says


def test_an_smtp_server_that_takes_our_login_is_told_and_given_nothing() -> None:
    with SmtpSink(starttls=True, auth=("me", PASSWORD)) as sink:
        url = f"smtp://me:{PASSWORD}@127.0.0.1:{sink.port}"
        assert check.smtp(url, sink.client_context()) == (True, "the mail server takes our login", "")
        assert sink.messages == []


def test_an_smtp_server_that_refuses_the_login_is_told() -> None:
    with SmtpSink(starttls=True, auth=("me", "another")) as sink:
        answer = check.smtp(f"smtp://me:{PASSWORD}@127.0.0.1:{sink.port}", sink.client_context())
    assert (answer.ok, "refuses the login" in answer.says) == (False, True), answer
    assert PASSWORD not in answer.says + answer.do


def test_an_smtp_server_that_nobody_vouches_for_is_told() -> None:
    with SmtpSink(starttls=True) as sink:
        answer = check.smtp(f"smtp://127.0.0.1:{sink.port}")
    assert (answer.ok, "TLS cannot be trusted" in answer.says) == (False, True), answer


def test_an_smtp_server_that_is_not_there_is_told() -> None:
    answer = check.smtp(f"smtp://me:{PASSWORD}@127.0.0.1:1")
    assert (answer.ok, "cannot be used" in answer.says) == (False, True), answer
    assert PASSWORD not in answer.says + answer.do


def test_an_outbox_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    assert check.outbox(tmp_path).ok
    assert list(tmp_path.iterdir()) == []


def test_an_outbox_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("")
    answer = check.outbox(tmp_path / "outbox")
    assert (answer.ok, "cannot be written" in answer.says) == (False, True)
