"""The outbox: one file a message, whole or not there, and never written twice."""

from pathlib import Path

import pytest

from funnel.core.delivery import ACCEPTED, Report, State
from funnel.core.sequence import Funnel
from funnel.mail.message import to_mime
from funnel.mail.outbox import RETRY_MS, Outbox
from funnel.mail.provider import Mailing
from tests.mail import letters


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "var" / "outbox", 200)


def test_each_message_is_a_file_named_for_it(outbox: Outbox, mailing: Mailing) -> None:
    assert outbox.hand_over(mailing) == Report(ACCEPTED)
    assert {path.name: path.read_bytes() for path in outbox.folder.iterdir()} == {
        f"{one.key}.eml": to_mime(mailing, one) for one in mailing.recipients
    }


def test_handing_over_again_changes_nothing(outbox: Outbox, mailing: Mailing, funnel: Funnel) -> None:
    outbox.hand_over(mailing)
    before = {path.name: path.read_bytes() for path in outbox.folder.iterdir()}
    other = letters.template(["Another subject"], ["another text\n"], ["<p>another</p>"])
    assert outbox.hand_over(letters.mailing(other, funnel)) == Report(ACCEPTED)
    assert {path.name: path.read_bytes() for path in outbox.folder.iterdir()} == before


def test_what_was_missing_after_a_crash_is_written(outbox: Outbox, mailing: Mailing) -> None:
    outbox.hand_over(mailing)
    lost = outbox.folder / f"{mailing.recipients[1].key}.eml"
    lost.unlink()
    lost.with_suffix(".999.part").write_bytes(b"half a mess")
    assert outbox.hand_over(mailing) == Report(ACCEPTED)
    assert lost.read_bytes() == to_mime(mailing, mailing.recipients[1])


def test_a_message_that_cannot_be_written_keeps_the_batch_for_later(outbox: Outbox, mailing: Mailing) -> None:
    outbox.folder.rmdir()
    report = outbox.hand_over(mailing)
    assert (report.fate.state, report.fate.retry_ms, report.exceptions) == (State.PLANNED, RETRY_MS, {})
    assert str(outbox.folder) not in report.fate.reason
