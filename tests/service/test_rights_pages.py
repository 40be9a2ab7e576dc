"""Your data in a real browser with a real worker: from the form to the erasure, in two languages, on a small phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ViewportSize

from funnel.core.sequence import Funnel
from tests.service.conftest import Service, until
from tests.service.test_browser import Visitor, browser

__all__ = ["browser"]  # the fixture

pytestmark = [pytest.mark.service, pytest.mark.browser]


@pytest.fixture(params=["en-US", "de-DE"])
def visitor(request: pytest.FixtureRequest, browser: Browser, service: Service) -> Iterator[Visitor]:
    size = ViewportSize(width=320, height=700)
    context = browser.new_context(viewport=size, locale=request.param, reduced_motion="reduce", accept_downloads=True)
    yield Visitor(context, service)
    context.close()


def look(visitor: Visitor, name: str) -> None:
    visitor.fits(name)
    visitor.check(name)


def join(visitor: Visitor, funnel: Funnel, address: str, mail: str = "note") -> None:
    page = visitor.page
    page.goto(f"{visitor.service.url}/{funnel.slug}/start")
    page.locator("main form button").click()
    for question in funnel.quiz.questions:
        key = max(question.answers, key=lambda each: each.weights.get("freeze", 0)).key
        page.locator(f'input[name="answer"][value="{key}"]').check()
        page.locator("main form button.main").click()
    page.locator('a[href$="/join"]').first.click()
    page.locator('input[type="email"]').fill(address)
    page.locator("#mail").select_option(mail)
    look(visitor, "join")
    for box in page.locator('input[type="checkbox"]').all():
        box.check()
    page.locator("main form button").last.click()
    visitor.service.until_mail(address, 1)
    page.goto(link(visitor, address, "/c/"))
    page.locator("main form button").click()


def link(visitor: Visitor, address: str, path: str) -> str:
    """The newest link of this kind that was mailed."""
    found = [word for mail in visitor.service.mails(address) for word in mail.text.split() if path in word]
    return found[-1]


def test_a_reader_asks_sees_takes_along_pauses_and_erases(visitor: Visitor, funnel: Funnel) -> None:
    page, service = visitor.page, visitor.service
    address = f"rights-{page.evaluate('navigator.language')}@example.org"
    join(visitor, funnel, address)
    service.until_mail(address, 2)
    page.goto(f"{service.url}/{funnel.slug}/privacy")
    page.locator('main a[href$="/data"]').click()
    look(visitor, "data")
    page.locator('input[type="email"]').fill(address)
    page.locator("main form button").click()
    look(visitor, "asked")
    until(lambda: any("/d/" in mail.text for mail in service.mails(address)), "the link")
    page.goto(link(visitor, address, "/d/"))
    look(visitor, "door")
    page.locator("main form button").click()
    assert address in page.locator("main").inner_text()
    look(visitor, "yours")
    with page.expect_download() as taken:
        page.locator('form[action$="/html"] button').first.click()
    assert address in taken.value.path().read_text()
    page.locator('form[action$="/pause"] button').click()
    page.locator('form[action$="/resume"] button').click()
    page.locator("#sure").check()
    page.locator('form[action$="/erase"] button').click()
    look(visitor, "erased")
    until(lambda: not service.mails(address), "the outbox to forget", 60)
    assert visitor.elsewhere == []


def test_a_reader_chooses_a_link_opens_the_note_by_it_and_chooses_the_whole_note_again(
    visitor: Visitor, funnel: Funnel
) -> None:
    page, service = visitor.page, visitor.service
    address = f"ready-{page.evaluate('navigator.language')}@example.org"
    join(visitor, funnel, address, "link")
    service.until_mail(address, 2)
    shown = page.evaluate("document.documentElement.lang")
    lesson = funnel.read_in(shown).patterns["freeze"].lessons[0].source
    assert lesson.subject not in service.mails(address)[-1].html
    page.goto(link(visitor, address, "/r/"))
    assert page.locator("h1").inner_text() == lesson.subject
    look(visitor, "the note")
    page.locator('footer a[href$="/data"]').click()
    page.locator('input[type="email"]').fill(address)
    page.locator("main form button").click()
    until(lambda: any("/d/" in mail.text for mail in service.mails(address)), "the link")
    page.goto(link(visitor, address, "/d/"))
    page.locator("main form button").click()
    assert page.locator("#mail").input_value() == "link"
    page.locator("#mail").select_option("note")
    page.locator('form[action$="/correct"] button').click()
    assert page.locator("#mail").input_value() == "note"
