"""MIME: whatever stands in a mail and in a name, the standard library reads exactly that from our bytes."""

from dataclasses import replace
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funnel.core.delivery import Kind
from funnel.core.lesson import Field
from funnel.core.sequence import Funnel
from funnel.mail.compile import Template
from funnel.mail.message import Writer, one_line, to_mime
from funnel.mail.provider import Mailing, Recipient
from tests.conftest import NOON_MS
from tests.mail import letters

NAME = Field("first_name", "there")
ONCE = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Id", "List-Unsubscribe-Post",
        "List-Unsubscribe", "MIME-Version", "Content-Type", "Content-Language"}  # fmt: skip
LONGEST_LINE = 76  # RFC 2045

# Line ends and tabs are the only control characters that a text file or a form lets through.
SEEN = st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t")
AWKWARD = st.sampled_from(
    [".", "\n.", "\n..\n", " ", "  \n", "\t", "\t\n", "=", "=3D", "=\n", "=_", "--", "\n--=_", "From ", "\nFrom x",
     "é", "🏡", "👩‍👩‍👧", "e\u0301", "\u2028", "\u00a0", "x" * 74, "x" * 75, "ü" * 25, "<b>&\"'"]
)  # fmt: skip
TEXT = st.lists(st.text(SEEN, max_size=120) | AWKWARD, max_size=8).map("".join)
PIECES = st.lists(TEXT.filter(bool) | st.just(NAME), max_size=6)


def mailing(pieces: list[str | Field], name: str, subject: list[str | Field] | None = None) -> Mailing:
    template = letters.template(subject or ["A note"], pieces, ["<p>", *pieces, "</p>"])
    one = letters.recipient(1, "alice@example.org", name)
    headers = {"Auto-Submitted": "auto-generated", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return Mailing(letters.UID, template, "House Notes", "notes@example.org", headers, (one,), NOON_MS)


def built(mail: Mailing) -> bytes:
    return to_mime(mail, mail.recipients[0])


def wanted(mail: Mailing) -> letters.Arrived:
    return letters.expected(mail)["alice@example.org"]


@settings(deadline=None)
@given(PIECES, TEXT)
@example(["Hello ", NAME, "."], "Zoë 🏡")
@example([NAME, NAME], "")
@example([NAME], "Tom & Ann")
@example([NAME], "a=41")
@example([NAME], "<i>")
@example([NAME], "Ann O'Neill")
@example([NAME], 'Ann "Anne" Neill')
@example(["ends with a space ", NAME, " and begins with one "], " x ")
@example(["x" * 500, NAME, "é" * 500, NAME, " " * 500], "Ж" * 5000)
@example([f"--=_{letters.template([], [], []).nonce}--\n", NAME], f"\n--=_{letters.template([], [], []).nonce}--\n")
@example(["\n.\n", NAME, "\n..", NAME], ".\n.")
def test_what_is_read_is_exactly_what_was_written(pieces: list[str | Field], name: str) -> None:
    mail = mailing(pieces, name)
    got = letters.arrived(letters.read_mime(built(mail)))
    assert (got.text, got.html) == (wanted(mail).text, wanted(mail).html)


@settings(deadline=None)
@given(PIECES, TEXT)
@example(["x" * 5000, NAME, "ü" * 5000], "y" * 10_000)
@example([f".{'x' * 72}", NAME, "\n.", NAME, f"{'x' * 72}."], f".{'x' * 72}.{'y' * 72}.")
@example([f"\n.{'x' * 71}\n.{'x' * 72}\n.{'x' * 73}\n.{'x' * 74}", NAME], "=" + "." * 500)
def test_lines_are_short_ascii_and_end_as_mail_wants(pieces: list[str | Field], name: str) -> None:
    raw = built(mailing(pieces, name))
    assert raw.isascii()
    assert raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) < 998
    lines = body.split(b"\r\n")
    assert max(map(len, lines)) <= LONGEST_LINE
    assert [line for line in lines if line != line.rstrip(b" \t")] == []
    assert [line for line in raw.split(b"\r\n") if line.startswith(b".")] == []  # SMTP has nothing to stuff


@settings(deadline=None)
@given(PIECES, TEXT)
def test_the_standard_library_writes_the_same_mail(pieces: list[str | Field], name: str) -> None:
    mail = mailing(pieces, name, ["For ", NAME])
    ours, theirs = letters.arrived(letters.read_mime(built(mail))), by_the_standard_library(mail)
    assert (ours.subject, ours.text.rstrip("\n"), ours.html) == (
        theirs.subject,
        theirs.text.rstrip("\n"),
        theirs.html.rstrip("\n"),
    )
    assert {name: ours.headers[name] for name in theirs.headers} == theirs.headers


def by_the_standard_library(mail: Mailing) -> letters.Arrived:
    message = EmailMessage(policy=SMTP.clone(max_line_length=998))
    message["From"] = f"{mail.sender_name} <{mail.sender_address}>"
    message["To"] = mail.recipients[0].address
    message["Subject"] = wanted(mail).subject
    for name, value in wanted(mail).headers.items():
        message[name] = value
    message.set_content(wanted(mail).text, cte="quoted-printable")
    message.add_alternative(wanted(mail).html, subtype="html", cte="quoted-printable")
    read = letters.arrived(letters.read_mime(message.as_bytes()))
    same = {name: value for name, value in read.headers.items() if name not in ("Content-Type", "MIME-Version")}
    return replace(read, headers=same)


@pytest.mark.parametrize(
    "name",
    [
        "Alice\r\nBcc: eve@example.org",
        "Alice\nBcc: eve@example.org\n\nanother body",
        "Alice\rBcc: eve@example.org",
        "Zoë\r\nBcc: eve@example.org",
        "Alice\x0bBcc:\x0c\x1c\x85\u2028eve@example.org",
        "Alice\x00\x7f",
        "🏡" * 300 + "\r\n\r\n<p>",
    ],
)
def test_a_name_in_the_subject_cannot_become_a_header(name: str) -> None:
    mail = mailing(["Hello\n"], name, ["For ", NAME, ", today"])
    message = letters.read_mime(built(mail))
    assert set(message) <= ONCE
    assert len(message.keys()) == len(set(message.keys()))
    assert message["Subject"] == one_line(f"For {name}, today")
    assert letters.arrived(message).text == "Hello\n"


@settings(deadline=None)
@given(st.text())
def test_a_subject_is_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert line == "" or line.isprintable()
    assert line == one_line(line) == line.strip()


def test_a_subject_with_accents_and_pictures_is_read_as_written() -> None:
    subject = "Für Zoë: der Flur 🏡, " + "sehr lang, " * 30 + "Ende"
    raw = built(mailing(["x"], "", [subject]))
    assert letters.read_mime(raw)["Subject"] == subject
    assert max(map(len, raw.split(b"\r\n"))) <= 78


def test_a_long_unsubscribe_link_stays_a_link() -> None:
    mail = mailing(["x"], "")
    link = "https://notes.example.org/" + "a-long-path/" * 40 + "u/" + "Zm9v" * 30
    one = mail.recipients[0]._replace(headers={"List-Unsubscribe": f"<{link}>"})
    raw = to_mime(mail, one)
    assert f"\r\nList-Unsubscribe: <{link}>\r\n".encode() in raw
    assert letters.read_mime(raw)["List-Unsubscribe"] == f"<{link}>"


@pytest.mark.parametrize("name", ["House Notes", 'The "House", Inc.', "Häuschen", "家の手帖", "a@b, c <d@e>", "🏡"])
def test_the_sender_is_one_person_by_any_name(name: str) -> None:
    mail = replace(mailing(["x"], ""), sender_name=name)
    header = letters.read_mime(built(mail))["From"]
    assert isinstance(header, AddressHeader)
    assert [(one.display_name, one.addr_spec) for one in header.addresses] == [(name, "notes@example.org")]


def test_the_mail_is_alternatives_with_the_text_first(funnel: Funnel, lessons: dict[tuple[str, str], Template]) -> None:
    mail = letters.mailing(lessons["fawn-meet", ""], funnel)
    message = letters.read_mime(built(mail))
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content_charset() for part in message.iter_parts()] == ["utf-8", "utf-8"]
    assert message.defects == [defect for part in message.iter_parts() for defect in part.defects] == []


def test_the_headers_of_a_lesson_are_these_each_once(funnel: Funnel, lessons: dict[tuple[str, str], Template]) -> None:
    message = letters.read_mime(built(letters.mailing(lessons["fawn-meet", ""], funnel)))
    assert sorted(message.keys()) == sorted(ONCE)
    assert message["Date"] == "Sun, 22 Nov 2026 12:00:00 +0000"
    assert message["List-Id"] == "<house.example.org>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated"


def test_a_notice_is_on_no_list(funnel: Funnel, notices: dict[str, Template]) -> None:
    message = letters.read_mime(built(letters.mailing(notices["confirm"], funnel, kind=Kind.NOTICE)))
    assert not [name for name in message if name.startswith("List-")]
    assert message["Auto-Submitted"] == "auto-generated"


def test_the_same_mail_twice_is_the_same_bytes(funnel: Funnel, lessons: dict[tuple[str, str], Template]) -> None:
    for template in lessons.values():
        mail = letters.mailing(template, funnel)
        assert [to_mime(mail, one) for one in mail.recipients] == [to_mime(mail, one) for one in mail.recipients]


def test_a_value_that_is_missing_and_one_that_is_empty_both_fall_back() -> None:
    mail = mailing(["Hello ", NAME, "\n"], "")
    nobody = Recipient("lesson-00000002", "alice@example.org", "<x@example.org>", {}, {})
    texts = {letters.arrived(letters.read_mime(to_mime(mail, one))).text for one in (*mail.recipients, nobody)}
    assert texts == {"Hello there\n"}


def test_one_writer_gives_each_their_own_mail_in_any_order(
    funnel: Funnel, lessons: dict[tuple[str, str], Template]
) -> None:
    for template in lessons.values():
        mail = letters.mailing(template, funnel)
        writer = Writer(mail)
        written = {one.address: writer.write(one) for one in (*mail.recipients, *reversed(mail.recipients))}
        assert written == {one.address: to_mime(mail, one) for one in mail.recipients}
