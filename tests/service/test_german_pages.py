"""German pages in a real browser: long words stay within a small phone, and axe finds nothing in a question."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ViewportSize

from tests.service.conftest import Service
from tests.service.test_browser import Visitor, browser

__all__ = ["browser"]  # the fixture

pytestmark = [pytest.mark.service, pytest.mark.browser]


@pytest.fixture(params=[320, 1280])
def visitor(request: pytest.FixtureRequest, browser: Browser, service: Service) -> Iterator[Visitor]:
    size = ViewportSize(width=request.param, height=700)
    context = browser.new_context(viewport=size, locale="de-DE", reduced_motion="reduce")
    yield Visitor(context, service)
    context.close()


def look(visitor: Visitor, name: str) -> None:
    visitor.fits(name)
    assert visitor.page.locator("html").get_attribute("lang") == "de"


def test_german_pages_fit_a_small_phone_and_a_desktop(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(visitor.service.url)
    look(visitor, "landing")
    visitor.follow("Unterstützung")
    look(visitor, "support")
    page.goto(f"{visitor.service.url}/house/start")
    page.locator("main form button").click()
    look(visitor, "question")
    visitor.check("question")
    for _ in range(11):
        page.locator('input[name="answer"]').first.check()
        page.locator("main form button.main").click()
    look(visitor, "result")
    page.locator('a[href$="/join"], input[name="pattern"]').first.click()
    look(visitor, "join or choose")


def test_the_switch_works_without_a_script_and_stays_on_the_page(browser: Browser, service: Service) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-US")
    page = context.new_page()
    page.goto(f"{service.url}/house/how")
    page.get_by_role("button", name="Deutsch").click()
    page.wait_for_url("**/house/how")
    assert page.get_by_role("heading", level=1).inner_text() == "Wie dieses Quiz funktioniert"
    page.get_by_role("button", name="English").click()
    page.wait_for_url("**/house/how")
    assert page.get_by_role("heading", level=1).inner_text() == "How this quiz works"
    context.close()
