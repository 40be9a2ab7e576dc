"""The payloads as a hostile marketer's texts, in every field and language: refused, or text wherever they are shown."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine

from funnel import content, settings
from funnel.content import ContentError
from funnel.core.delivery import Kind
from funnel.flow import compose
from funnel.flow.tools import Tools
from funnel.keyring import Keyring
from funnel.lint import discreet, links, repeats, wording
from funnel.lint.subject import Subject
from funnel.lint.texts import PROSE
from funnel.mail.compile import escape_html
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid_body import request_body
from funnel.preview import examine, rendering
from funnel.preview.draft import Draft
from funnel.web.visit import Site
from tests.conftest import make_tools
from tests.example.kitchen import EXAMPLE, FUNNEL, MEET, PLANNER, QUIZ, SAFETY, SUPPORT
from tests.mail import letters
from tests.payloads import HEADERS, LINES, LINKS, MARKUP, PATHS, PAYLOADS, TEMPLATES, WORD
from tests.test_translations import HEAD, LESSON, PAGE, PATTERN, quiz_in_german, with_german
from tests.web.shape import Shape

HERE = "sequences/kitchen/"
FILES = {
    **with_german(**{
        f"{HERE}funnel.de.toml": HEAD,
        f"{HERE}quiz.de.toml": quiz_in_german(),
        f"{HERE}planner.de.toml": PATTERN,
        f"{HERE}landing.de.md": PAGE,
        f"{HERE}support.de.toml": 'intro = "Es schneidet."\n[[kinds]]\nname = "Eine"\nwhat = "Was"\nfind = "Wo"\n',
        MEET.replace(".md", ".de.md"): LESSON,
        SAFETY.replace(".md", ".de.md"): "Vorsicht.",
    }),
}  # fmt: skip
SPEAKING = PROSE | {"postal_address", "contact", "author", "reviewer", "price", "country"}
# What decides something: keys, addresses and times. (file, place)
DECIDING = [
    *((FUNNEL, place) for place in ("slug", "locale", "timezone", "leave_to", "sender.address", "educator.url")),
    *((FUNNEL, place) for place in ("schedule.quiet", "patterns[1]", "locales[1]", "sending.unknown")),
    *((QUIZ, place) for place in ("questions[1].key", "questions[1].channel", "questions[1].answers[1].key")),
    *((PLANNER, f"lessons[1].{name}") for name in ("key", "email", "wait", "at", "not-before", "until", "same-as")),
    *((PLANNER, f"lessons[1].{name}") for name in ("days[1]", "only-if.secondary")),
    *((PLANNER, f"goals[1].{name}") for name in ("event", "to")),
    *((SUPPORT, f"entries[1].{name}") for name in ("url", "source")),
]
# The rules that tell what they have read.
READING = (
    wording.diagnostic_and_graphic,
    repeats.repeated,
    discreet.texts,
    discreet.addresses,
    discreet.links,
    links.texts,
)
numbers = pytest.mark.parametrize("number", range(len(PAYLOADS)))
LONGEST = 1_500  # letters of a payload in each of a hundred texts
Change = Callable[[str, str], str]


def written(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str):
        return "".join(
            ['"', *(f"\\U{ord(char):08X}" if char in '\\"' or not char.isprintable() else char for char in value), '"']
        )
    return value.isoformat() if isinstance(value, date) else json.dumps(value)


def escaped(char: str) -> str:
    return char if char.isprintable() and char not in '\\"' else f"\\U{ord(char):08X}"


def table(found: Mapping[str, Any]) -> str:
    return "".join(f"{json.dumps(key)} = {written(value)}\n" for key, value in found.items())


def changed(value: Any, place: str, change: Change) -> Any:
    if isinstance(value, dict):
        return {key: changed(inner, f"{place}.{key}".lstrip("."), change) for key, inner in value.items()}
    if isinstance(value, list):
        return [changed(inner, f"{place}[{number}]", change) for number, inner in enumerate(value, 1)]
    return change(place, value) if isinstance(value, str) else value


def rewritten(path: str, change: Change) -> bytes:
    """A file with every text in it changed; of Markdown, "body" is the place of what is below the front matter."""
    text = FILES[path].decode()
    if path.endswith(".toml"):
        return table(changed(tomllib.loads(text), "", change)).encode()
    if "/snippets/" in path:
        return change("body", text).encode()
    _, head, body = text.split("+++\n", 2)
    return f"+++\n{table(changed(tomllib.loads(head), '', change))}+++\n{change('body', body)}".encode()


def speaking(payload: str) -> dict[str, bytes]:
    """Every text of the example with the payload in it, but for those that are refused with it."""
    refused: set[tuple[str, str]] = set()

    def change_in(path: str) -> Change:
        whole = any(file == path and (not place or place.startswith("line ")) for file, place in refused)

        def change(place: str, text: str) -> str:
            spared = (path, place) in refused or (whole and place == "body")
            return text if spared else said(place, text, payload)

        return change

    while True:
        files = {path: rewritten(path, change_in(path)) for path in FILES}
        found = {(one.file, one.place) for one in problems(files)}
        if not found:
            return files
        assert not found <= refused, found
        refused |= found


def said(place: str, text: str, payload: str) -> str:
    return f"{text} {payload}" if place.rpartition(".")[2] in SPEAKING or place == "body" else text


def problems(files: Mapping[str, bytes]) -> list[content.Problem]:
    try:
        content.parse("kitchen", files)
    except ContentError as error:
        return error.problems
    return []


@pytest.fixture(scope="module")
def tools() -> Tools:
    """No test here opens the database."""
    return make_tools(create_engine("sqlite://"), Keyring({1: bytes(32)}))


@pytest.fixture(scope="module")
def site(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return examine.site(settings.load({"FUNNEL_HOME": str(tmp_path_factory.mktemp("home"))}), tools)


@numbers
def test_a_payload_in_every_text_of_a_funnel_stays_text(number: int, tools: Tools, site: Site) -> None:
    files = speaking(PAYLOADS[number][:LONGEST])
    funnel = content.parse("kitchen", files)
    draft = Draft(funnel, files, content.revision_id(files), tools, EXAMPLE)
    for shown in rendering.pages(draft, site):
        stays_text(shown.html)
    for mail in mailings(draft):
        stays_text(mail.template.html.join({}, escape_html))
        keeps_its_structure(mail)
    subject = Subject(funnel, rendering.texts(draft))
    for finding in (one for rule in READING for one in rule(subject)):
        assert str(finding).isprintable()


def stays_text(html: str) -> None:
    """No element, handler, style or address is made of it, but for a link that Markdown may hold."""
    shape = Shape(html)
    assert WORD not in shape.inline.lower()
    for tag, attributes in shape.elements:
        assert WORD not in tag
        for name, value in attributes.items():
            assert WORD not in name
            assert not name.startswith("on")
            if WORD in (value or "").lower() and (tag, name) != ("meta", "content"):
                assert name == "href", (tag, name, value)
                assert urlsplit(value or "").scheme in ("https", "mailto"), value


def mailings(draft: Draft) -> Iterator[Mailing]:
    for locale in draft.locales:
        funnel = draft.spoken(locale)
        segment = f"locale={locale}" if locale != draft.funnel.locale else ""
        for pattern in funnel.patterns.values():
            for lesson in pattern.lessons:
                template = compose.lesson(draft.tools, draft.funnel, draft.revision_id, lesson.key, segment)
                yield letters.mailing(template, funnel)
        for kind in draft.tools.notices:
            template = compose.notice(draft.tools, draft.funnel, draft.revision_id, f"{kind},locale={locale}")
            yield letters.mailing(template, funnel, kind=Kind.NOTICE)


def keeps_its_structure(mail: Mailing) -> None:
    """The same headers, parts and members of a request as of any mail, whoever sends it and whatever its subject is."""
    one = next(iter(mail.recipients))
    raw = to_mime(mail, one)
    message = letters.read_mime(raw)
    own = {"From", "Date", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type"}
    assert sorted(message.keys()) == sorted(own | set(mail.headers) | set(one.headers))
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    head = raw.partition(b"\r\n\r\n")[0]
    assert all(part.decode("ascii").isprintable() for part in head.split(b"\r\n"))
    assert message["From"].addresses[0].addr_spec == mail.sender_address
    request = json.loads(request_body(mail))
    assert set(request) == {
        *("from", "headers", "custom_args", "tracking_settings", "subject", "content", "personalizations"),
    }
    assert request["from"] == {"email": mail.sender_address, "name": mail.sender_name}
    assert request["subject"].isprintable()


@pytest.mark.parametrize("payload", [*PATHS, *HEADERS, *LINES, MARKUP[0]])
def test_a_payload_where_something_is_decided_is_refused_or_only_an_address(payload: str) -> None:
    files = dict(FILES)
    for path, place in DECIDING:
        files[path] = placed(files[path], place, payload)
    found = problems(files)
    assert all(str(one).isprintable() for one in found)
    told = {(one.file, one.place) for one in found}
    for path, place in DECIDING:
        is_address = place.endswith(("url", "source", "leave_to")) and payload.startswith("https://")
        alone = {**FILES, path: placed(FILES[path], place, payload)}
        assert (path, place) in told or is_address or problems(alone), place


def placed(file: bytes, place: str, payload: str) -> bytes:
    """A TOML file with the payload at this place, which need not be there."""
    found = tomllib.loads(file.decode())
    here: Any = found
    *way, last = place.replace("[", ".[").split(".")
    for step in way:
        new = [payload] if last[0] == "[" else {}
        here = here[int(step[1:-1]) - 1] if step.startswith("[") else here.setdefault(step, new)
    if last.startswith("["):
        here[int(last[1:-1]) - 1] = payload
    else:
        here[last] = payload
    return table(found).encode()


@pytest.mark.parametrize("payload", [*LINKS, *TEMPLATES, *HEADERS, *LINES])
def test_whatever_is_wrong_with_a_text_is_told_in_one_line(payload: str) -> None:
    everywhere = {path: rewritten(path, lambda place, text: said(place, text, payload)) for path in FILES}
    instead = {path: payload.encode(errors="replace") for path in FILES}
    kept = {**instead, FUNNEL: FILES[FUNNEL], QUIZ: FILES[QUIZ], PLANNER: FILES[PLANNER]}
    for files in (everywhere, instead, kept):
        for one in problems(files):
            assert str(one).isprintable()


@pytest.mark.parametrize("payload", MARKUP)
def test_most_payloads_are_taken_somewhere_or_these_tests_would_show_nothing(payload: str) -> None:
    held = b"".join(speaking(payload).values())
    assert held.count(WORD.encode()) > 50
