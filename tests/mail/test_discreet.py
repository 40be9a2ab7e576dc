"""Whoever glances at an inbox, a notification or a log of addresses learns nothing of the topic, in any language."""

import re
from urllib.parse import unquote, urlsplit

import orjson
import pytest

from funnel.core.delivery import Kind
from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.mail.compile import escape_html
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid_body import request_body
from tests.mail import letters
from tests.mail.letters import Page

TOPIC = (
    *("sex", "erotic", "survival", "fight", "flight", "freeze", "fawn", "intima", "pattern", "trauma", "desire"),
    *("pleasure", "orgasm", "libido", "bed", "nude", "naked", "touch", "partner", "consent", "abuse", "therap"),
    *("arous", "quiz", "erotik", "erotisch", "überleb", "kampf", "flucht", "erstarr", "muster", "sinnlich", "lust"),
    *("begehren", "erreg", "bett", "nackt", "berühr", "einwillig", "missbrauch", "gewalt", "beziehung", "zärtlich"),
    *("kuss", "küss", "körper"),
)  # fmt: skip
IN_LINKS = tuple(word for word in TOPIC if word not in ("bed", "touch"))
ALICE = letters.recipient(1, "alice@example.org", "Alice").values
GLANCE = 100  # letters of the text part that a notification may show

Mails = dict[str, tuple[Mailing, Funnel]]


def told(funnel: Funnel, text: str, topic: tuple[str, ...] = TOPIC) -> list[str]:
    """What `text` gives away: a word of the topic, a pattern or a lesson, by key or by name in any language."""
    patterns = [one for locale in funnel.locales for one in funnel.read_in(locale).patterns.values()]
    names = {re.sub(r"^(the|der|die|das) ", "", one.name) for one in patterns}
    keys = {one.key for one in patterns} | {lesson.key for one in patterns for lesson in one.lessons} | {funnel.name}
    return [
        word for word in {*topic, *names, *keys} if re.search(rf"(?<![a-zäöüß]){re.escape(word.lower())}", text.lower())
    ]


def notices(desk: Tools, funnel: Funnel) -> Mails:
    """Every service mail in every language, as it goes to Alice, Bob and Charlie."""
    return {
        f"{kind},locale={locale}": (letters.mailing(template, spoken, kind=Kind.NOTICE), funnel)
        for locale in funnel.locales
        for spoken in [funnel.read_in(locale)]
        for kind in desk.notices
        for template in [letters.notice(desk, funnel, f"{kind},locale={locale}")]
    }


def lessons(desk: Tools, funnel: Funnel) -> Mails:
    """Every lesson in every language and segment."""
    found = {}
    for locale in funnel.locales:
        spoken = funnel.read_in(locale)
        for one in (lesson for pattern in spoken.patterns.values() for lesson in pattern.lessons):
            for segment in letters.segments(one.source):
                name = ",".join(filter(None, (segment, f"locale={locale}" if locale != funnel.locale else "")))
                template = letters.lesson(desk, funnel, one.key, name)
                found[f"{one.key} {name}"] = (letters.mailing(template, spoken), funnel)
    return found


@pytest.fixture(scope="module")
def mails(desk: Tools, funnel: Funnel) -> Mails:
    return lessons(desk, funnel) | notices(desk, funnel)


def test_this_test_can_tell(funnel: Funnel) -> None:
    assert told(funnel, "Your freeze course") == ["freeze"]
    assert "Doorkeeper" in told(funnel, "Meet the doorkeeper")
    assert "Türwache" in told(funnel, "Die Türwache stellt sich vor")
    assert told(funnel, "Notizen über Lustvolles") == ["lust"]
    assert told(funnel, "A letter about yogurt") == []


def test_every_language_that_ships_is_looked_at(mails: Mails, desk: Tools, funnel: Funnel) -> None:
    assert funnel.locales == ("en", "de")
    languages = [mail.headers["Content-Language"] for mail, _ in mails.values()]
    assert languages.count("de") == languages.count("en") > 60
    assert {name.partition(",")[0] for name in mails} >= set(desk.notices)
    assert "Hausnotizen" in {mail.sender_name for mail, _ in mails.values()}


def test_no_header_tells(mails: Mails) -> None:
    seen = set()
    for name, (mail, funnel) in mails.items():
        for one in mail.recipients:
            message = letters.read_mime(to_mime(mail, one))
            headers = "\n".join(f"{header}: {value}" for header, value in message.items())
            seen |= set(message.keys())
            # The nonce is random and could spell a word.
            assert told(funnel, headers.replace(mail.template.nonce, "")) == [], (name, headers)
    assert seen >= {"From", "Subject", "Message-ID", "List-Id", "List-Unsubscribe", "Content-Language"}


def test_no_preview_tells(mails: Mails) -> None:
    for name, (mail, funnel) in mails.items():
        page = Page(mail.template.html.join(ALICE, escape_html))
        assert told(funnel, page.seen["preview"]) == [], name
        assert told(funnel, page.seen["title"] + page.seen["head"] + page.seen["foot"]) == [], name


def test_the_beginning_of_the_text_that_a_notification_shows_tells_nothing(mails: Mails) -> None:
    for name, (mail, funnel) in mails.items():
        text = " ".join(mail.template.text.join(ALICE).split())
        assert told(funnel, text[:GLANCE]) == [], (name, text[:GLANCE])
        preview = Page(mail.template.html.join(ALICE, escape_html)).seen["preview"].strip("\u2007\u034f \n")
        assert text.startswith(f"{funnel.read_in(mail.headers['Content-Language']).title} {preview}")


def test_no_link_tells(mails: Mails) -> None:
    for name, (mail, funnel) in mails.items():
        text = mail.template.text.join(ALICE)
        for link in (*Page(mail.template.html.join(ALICE, escape_html)).links, *re.findall(r"https?://\S+", text)):
            parts = urlsplit(unquote(link))
            assert told(funnel, parts._replace(scheme="").geturl(), IN_LINKS) == [], (name, link)
            assert parts.query == parts.fragment == "", (name, link)


def test_nothing_beside_the_mail_itself_tells_the_provider(mails: Mails) -> None:
    for name, (mail, funnel) in mails.items():
        request = {key: value for key, value in orjson.loads(request_body(mail)).items() if key != "content"}
        # "subscription_tracking" and the like are SendGrid's own words.
        del request["tracking_settings"]
        assert told(funnel, str(request).replace(mail.template.nonce, "")) == [], name


def test_a_notice_reveals_nothing_in_its_whole_length(desk: Tools, funnel: Funnel) -> None:
    for name, (mail, _) in notices(desk, funnel).items():
        page = Page(mail.template.html.join(ALICE, escape_html))
        shown = [text for place, text in page.seen.items() if place != "style"]
        for text in (mail.template.subject.join(ALICE), mail.template.text.join(ALICE), *shown, *page.links):
            assert told(funnel, text) == [], (name, text)


@pytest.mark.parametrize("locale", ["en", "de"])
def test_a_confirm_mail_does_not_name_who_typed_the_address(desk: Tools, funnel: Funnel, locale: str) -> None:
    mail = letters.notice(desk, funnel, f"confirm,locale={locale}")
    assert "Alice" not in mail.subject.join(ALICE) + mail.text.join(ALICE) + mail.html.join(ALICE, escape_html)
