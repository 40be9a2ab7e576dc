"""Every shipped mail, in every segment: what its HTML and its text hold, and what they never hold."""

import re
from collections.abc import Iterator

import pytest

from funnel.core.sequence import Funnel
from funnel.flow.compose import support_url
from funnel.flow.tools import Tools
from funnel.mail.compile import Template, escape_html
from tests.conftest import BASE_URL
from tests.mail import letters
from tests.mail.letters import Page

ALICE = letters.recipient(1, "alice@example.org", "Alice").values
LARGEST_HTML = 80_000
LOADERS = {"img", "link", "script", "iframe", "object", "embed", "video", "audio", "source", "base", "form", "svg"}

Lessons = dict[tuple[str, str], Template]


@pytest.fixture(scope="module")
def pages(lessons: Lessons, notices: dict[str, Template]) -> dict[str, tuple[str, Page, str]]:
    """Each mail as Alice gets it, by name: the HTML, read and as it is, and the text."""
    named = {f"{key} {segment}".strip(): template for (key, segment), template in lessons.items()} | notices
    joined = {name: (one.html.join(ALICE, escape_html), one.text.join(ALICE)) for name, one in named.items()}
    return {name: (html, Page(html), text) for name, (html, text) in joined.items()}


@pytest.fixture(scope="module")
def course(pages: dict[str, tuple[str, Page, str]], notices: dict[str, Template]) -> dict[str, tuple[str, Page, str]]:
    return {name: page for name, page in pages.items() if name not in notices}


Pages = dict[str, tuple[str, Page, str]]


def test_the_mails_are_the_whole_course_and_the_notices(pages: Pages, funnel: Funnel) -> None:
    keys = {lesson.key for pattern in funnel.patterns.values() for lesson in pattern.lessons}
    assert len(keys) == 28
    assert {name.split()[0] for name in pages} == keys | {"confirm", "already", "rights", "address", "ready"}


def test_no_mail_is_large_enough_to_be_clipped(pages: Pages) -> None:
    assert {name: len(html) for name, (html, _, _) in pages.items() if len(html.encode()) > LARGEST_HTML} == {}


def test_every_mail_says_its_language_and_direction(pages: Pages, funnel: Funnel) -> None:
    for name, (html, page, _) in pages.items():
        assert html.lower().startswith("<!doctype html>"), name
        assert page.tags[0] == ("html", {"lang": funnel.locale, "dir": "ltr"}), name
        assert ("meta", {"charset": "utf-8"}) in page.tags, name


def test_every_mail_has_a_light_and_a_dark_look(pages: Pages) -> None:
    for name, (html, page, _) in pages.items():
        metas = {given.get("name"): given.get("content") for tag, given in page.tags if tag == "meta"}
        assert metas["color-scheme"] == metas["supported-color-schemes"] == "light dark", name
        assert html.count("@media (prefers-color-scheme: dark)") == 1, name
        assert re.search(r"\.body a\s*\{[^}]*color:[^}]*!important", html), name


def test_styles_stand_on_the_elements_for_programs_that_drop_style_sheets(pages: Pages) -> None:
    for name, (_, page, _) in pages.items():
        bare = [tag for tag, given in page.tags if tag in ("p", "a", "h2", "li") and not given.get("style")]
        assert bare == [], name
        left = [given.get("data-css-inline") for tag, given in page.tags if tag == "style"]
        assert set(left) == {"keep"}, name


def test_tables_are_for_looks_unless_they_are_in_the_lesson(pages: Pages) -> None:
    for name, (_, page, _) in pages.items():
        roles = [given.get("role") for tag, given in page.tags if tag == "table"]
        of_lessons = sum(tag == "thead" for tag, _ in page.tags)
        assert roles.count("presentation") == len(roles) - of_lessons > 0, name


def test_nothing_is_loaded_from_anywhere(pages: Pages) -> None:
    for name, (html, page, _) in pages.items():
        assert {tag for tag, _ in page.tags} & LOADERS == set(), name
        attributes = {attribute for _, given in page.tags for attribute in given}
        assert attributes & {"src", "srcset", "background", "poster", "data", "action"} == set(), name
        assert not re.search(r"url\s*\(|@import|@font-face|expression\s*\(", html, re.IGNORECASE), name
        # The only addresses are those that people press.
        assert html.count("http") == sum(link.startswith("http") for link in page.links) + _shown(page), name


def _shown(page: Page) -> int:
    return sum(text.count("http") for text in page.seen.values())


def test_every_mail_starts_with_its_preview_and_hides_it(pages: Pages, lessons: Lessons, funnel: Funnel) -> None:
    for name, (_, page, _) in pages.items():
        assert page.seen["preview"].strip(" \n\u2007\u034f") != "", name
        assert page.seen["preview"].rstrip("\n").endswith("\u2007\u034f" * 60), name
        style = next(given["style"] for _, given in page.tags if given.get("class") == "preview")
        assert "display: none" in style, name
    found = funnel.lesson("fight-meet")
    assert found
    assert pages["fight-meet"][1].seen["preview"].startswith(found[1].source.preview)


def test_every_lesson_can_be_stopped_read_in_a_browser_and_helped_with(
    course: Pages, desk: Tools, funnel: Funnel
) -> None:
    wanted = {ALICE["read_url"], ALICE["unsubscribe_url"], support_url(desk, funnel), f"{BASE_URL}/house/privacy"}
    for name, (_, page, text) in course.items():
        assert wanted <= set(page.links), name
        assert all(link in text for link in wanted), name


def test_every_lesson_says_who_writes_and_who_reads_replies(course: Pages, funnel: Funnel) -> None:
    for name, (_, page, text) in course.items():
        for shown in (" ".join(page.seen["foot"].split()), " ".join(text.split())):
            assert funnel.controller.postal_address in shown, name
            assert " ".join(funnel.sender.replies.split()) in shown, name
            assert f"You asked {funnel.controller.name} for these notes." in shown, name


def test_the_mail_that_says_a_note_is_ready_is_short_and_leads_to_it_by_one_link(
    pages: Pages, desk: Tools, funnel: Funnel
) -> None:
    _, page, text = pages["ready"]
    foot = {support_url(desk, funnel), f"{BASE_URL}/house/privacy", f"{BASE_URL}/house/data", ALICE["unsubscribe_url"]}
    assert page.links[0] == ALICE["read_url"]
    assert set(page.links[1:]) == foot
    assert text.count(ALICE["read_url"]) == 1
    assert len(letters.words(page.seen["body"])) < 60


@pytest.mark.parametrize("kind", ["confirm", "already", "rights", "address"])
def test_a_notice_says_who_writes_and_offers_help_and_cannot_be_unsubscribed(
    pages: Pages, funnel: Funnel, desk: Tools, kind: str
) -> None:
    _, page, text = pages[kind]
    for shown in (" ".join(page.seen["foot"].split()), " ".join(text.split())):
        assert funnel.controller.postal_address in shown
    assert support_url(desk, funnel) in page.links
    link = ALICE["data_url" if kind == "rights" else "confirm_url"]
    assert link in page.links
    assert link in text
    assert not {ALICE["unsubscribe_url"], ALICE["read_url"]} & set(page.links)


def test_the_text_has_every_link(pages: Pages) -> None:
    for name, (_, page, text) in pages.items():
        assert [link for link in page.links if link not in text] == [], name


def test_every_link_is_ours_and_whole(pages: Pages) -> None:
    for name, (_, page, _) in pages.items():
        assert [link for link in page.links if not link.startswith(f"{BASE_URL}/")] == [], name


def test_the_text_says_everything_that_the_page_says_in_the_same_order(pages: Pages) -> None:
    for name, (_, page, text) in pages.items():
        assert list(_missing(letters.words(page.seen["body"]), letters.words(text))) == [], name


def _missing(wanted: list[str], words: list[str]) -> Iterator[str]:
    """The words that do not follow in order."""
    rest = iter(words)
    yield from (word for word in wanted if word not in rest)


def test_the_text_is_wrapped_and_ends_with_a_signature(pages: Pages) -> None:
    for name, (_, _, text) in pages.items():
        assert "\n\n\n" not in text, name
        assert [line for line in text.split("\n") if line != line.rstrip() and line != "> "] == ["-- "], name
        assert [line for line in text.split("\n") if len(line) > 78 and "http" not in line] == [], name


def test_a_lesson_greets_everybody_with_or_without_a_name(lessons: Lessons) -> None:
    for template in lessons.values():
        for values in (ALICE, {**ALICE, "first_name": ""}):
            for shown in (template.text.join(values), Page(template.html.join(values, escape_html)).seen["body"]):
                assert not re.search(r"\s[,.;:!?](\s|$)|\(\s*\)|,,", shown)


def test_only_first_lessons_offer_another_course(course: Pages) -> None:
    offers = {name for name, (_, page, _) in course.items() if ALICE["choose_url"] in page.links}
    assert offers == {f"{pattern}-meet" for pattern in ("fight", "flight", "freeze", "fawn")}
