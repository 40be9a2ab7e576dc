"""Whoever glances at an inbox, a notification or a log of addresses learns nothing of the topic."""

import re
from urllib.parse import urlsplit

import orjson

from funnel.core.delivery import Kind
from funnel.core.sequence import Funnel
from funnel.mail.compile import Template, escape_html
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid_body import request_body
from tests.mail import letters
from tests.mail.letters import Page

TOPIC = (
    "sex", "erotic", "survival", "fight", "flight", "freeze", "fawn", "intima", "pattern", "trauma", "desire", "arous",
    "pleasure", "orgasm", "libido", "bed", "nude", "naked", "touch", "partner", "consent", "abuse", "therap", "quiz",
)  # fmt: skip
IN_LINKS = tuple(word for word in TOPIC if word not in ("bed", "touch"))
ALICE = letters.recipient(1, "alice@example.org", "Alice").values

Lessons = dict[tuple[str, str], Template]


def told(funnel: Funnel, text: str, topic: tuple[str, ...] = TOPIC) -> list[str]:
    """What `text` gives away: a word of the topic, a pattern or a lesson, by key or by name."""
    patterns = funnel.patterns.values()
    names = {one.key for one in patterns} | {one.name.removeprefix("the ") for one in patterns} | {funnel.name}
    keys = {lesson.key for one in patterns for lesson in one.lessons}
    return [
        word for word in {*topic, *names, *keys} if re.search(rf"(?<![a-z]){re.escape(word.lower())}", text.lower())
    ]


def everything(lessons: Lessons, notices: dict[str, Template], funnel: Funnel) -> list[tuple[str, Mailing]]:
    mails = [(f"{key} {segment}", letters.mailing(one, funnel)) for (key, segment), one in lessons.items()]
    return mails + [(kind, letters.mailing(one, funnel, kind=Kind.NOTICE)) for kind, one in notices.items()]


def test_this_test_can_tell(funnel: Funnel) -> None:
    assert told(funnel, "Your freeze course") == ["freeze"]
    assert "Doorkeeper" in told(funnel, "Meet the doorkeeper")
    assert told(funnel, "A letter about yogurt") == []


def test_no_header_tells(lessons: Lessons, notices: dict[str, Template], funnel: Funnel) -> None:
    for name, mail in everything(lessons, notices, funnel):
        for one in mail.recipients:
            message = letters.read_mime(to_mime(mail, one))
            headers = "\n".join(f"{header}: {value}" for header, value in message.items())
            # The nonce is random and could spell a word.
            assert told(funnel, headers.replace(mail.template.nonce, "")) == [], (name, headers)


def test_no_preview_tells(lessons: Lessons, notices: dict[str, Template], funnel: Funnel) -> None:
    for name, mail in everything(lessons, notices, funnel):
        page = Page(mail.template.html.join(ALICE, escape_html))
        assert told(funnel, page.seen["preview"]) == [], name
        assert told(funnel, page.seen["title"] + page.seen["head"] + page.seen["foot"]) == [], name


def test_no_link_tells(lessons: Lessons, notices: dict[str, Template], funnel: Funnel) -> None:
    for name, mail in everything(lessons, notices, funnel):
        for link in Page(mail.template.html.join(ALICE, escape_html)).links:
            assert told(funnel, urlsplit(link)._replace(scheme="").geturl(), IN_LINKS) == [], (name, link)


def test_nothing_beside_the_mail_itself_tells_the_provider(
    lessons: Lessons, notices: dict[str, Template], funnel: Funnel
) -> None:
    for name, mail in everything(lessons, notices, funnel):
        request = {key: value for key, value in orjson.loads(request_body(mail)).items() if key != "content"}
        # "subscription_tracking" and the like are SendGrid's own words.
        del request["tracking_settings"]
        assert told(funnel, str(request).replace(mail.template.nonce, "")) == [], name


def test_a_notice_reveals_nothing_in_its_whole_length(notices: dict[str, Template], funnel: Funnel) -> None:
    for kind, template in notices.items():
        page = Page(template.html.join(ALICE, escape_html))
        shown = [text for place, text in page.seen.items() if place != "style"]
        for text in (template.subject.join(ALICE), template.text.join(ALICE), *shown, *page.links):
            assert told(funnel, text) == [], (kind, text)


def test_a_confirm_mail_does_not_name_who_typed_the_address(notices: dict[str, Template]) -> None:
    mail = notices["confirm"]
    assert "Alice" not in mail.subject.join(ALICE) + mail.text.join(ALICE) + mail.html.join(ALICE, escape_html)
