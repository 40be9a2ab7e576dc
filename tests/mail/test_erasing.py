"""Forgetting somebody where their mail went: files, and SendGrid's own records."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from funnel.mail.erasing import All, EraseFault, OutboxFiles, SendGridRecipients
from tests.fakes.suppressions import FakeSuppressions, Fault

ALICE = "alice@example.org"


@pytest.fixture
def sendgrid() -> Iterator[FakeSuppressions]:
    with FakeSuppressions() as fake:
        yield fake


def test_the_files_of_these_messages_go_and_no_others(tmp_path: Path) -> None:
    names = ("lesson-00000001", "lesson-00000011", "notice-00000001")
    for name in names:
        (tmp_path / f"{name}.eml").write_text("x")
    (tmp_path / "lesson-00000001.77.part").write_text("x")
    for _ in range(2):
        OutboxFiles(tmp_path).forget(ALICE, ["lesson-00000001", "notice-00000001", "lesson-00000099"])
    assert [path.name for path in tmp_path.iterdir()] == ["lesson-00000011.eml"]


def test_whatever_else_went_to_the_address_goes_too(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(b"From: x@example.org\r\nTo: Alice@example.org\r\n\r\nHello\r\n")
    (tmp_path / "b.eml").write_bytes(b"To: bob@example.org\r\n\r\nTo: alice@example.org\r\n")
    (tmp_path / "c.eml").write_bytes(b"To: malice@example.org\r\n\r\nHello\r\n")
    OutboxFiles(tmp_path).forget(ALICE, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.eml", "c.eml"]


def test_an_outbox_that_is_not_there_is_empty(tmp_path: Path) -> None:
    OutboxFiles(tmp_path / "nowhere").forget(ALICE, ["lesson-00000001"])  # and nothing is raised
    assert list(tmp_path.iterdir()) == []


def test_sendgrid_is_asked_for_the_one_address(sendgrid: FakeSuppressions) -> None:
    SendGridRecipients("SG.test", sendgrid.url).forget(ALICE, ["lesson-00000001"])
    assert sendgrid.forgotten == [ALICE]


def test_nobody_is_asked_about_who_has_no_address_any_more(sendgrid: FakeSuppressions) -> None:
    SendGridRecipients("SG.test", sendgrid.url).forget("", ["lesson-00000001"])
    assert sendgrid.forgotten == []


@pytest.mark.parametrize(
    ("fault", "says", "temporary"),
    [
        (Fault(429), "answer 429", True),
        (Fault(503), "answer 503", True),
        (Fault(403), "answer 403", False),
        (Fault(0, None), "no answer", True),
    ],
)
def test_what_goes_wrong_is_said_without_the_address(
    sendgrid: FakeSuppressions, fault: Fault, says: str, temporary: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sendgrid.script(fault)
    with pytest.raises(EraseFault, match=says) as raised:
        SendGridRecipients("SG.test", sendgrid.url).forget(ALICE, [])
    assert raised.value.temporary == temporary
    assert "example.org" not in caplog.text
    assert raised.value.__cause__ is None


def test_every_place_is_told(sendgrid: FakeSuppressions, tmp_path: Path) -> None:
    (tmp_path / "lesson-00000001.eml").write_text("x")
    places = All([OutboxFiles(tmp_path), SendGridRecipients("SG.test", sendgrid.url)])
    places.forget(ALICE, iter(["lesson-00000001"]))
    assert list(tmp_path.iterdir()) == []
    assert sendgrid.forgotten == [ALICE]
