"""Leaving quickly in a real browser: by the button, by Shift, with and without scripts; and Back finds nothing."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, ViewportSize

from funnel.core.sequence import Funnel
from tests.service.conftest import Service
from tests.service.test_browser import Visitor, browser

__all__ = ["browser"]  # the fixture

pytestmark = [pytest.mark.service, pytest.mark.browser]
NEUTRAL = "<!doctype html><title>Neutral</title><h1>Somewhere neutral</h1>"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport=ViewportSize(width=390, height=844), reduced_motion="reduce")
    yield made
    made.close()


def begun(context: BrowserContext, service: Service, funnel: Funnel) -> Page:
    """A page opened elsewhere first, then the quiz begun: the browser keeps something of ours."""
    context.route("https://**", _neutral)
    page = context.new_page()
    page.goto("https://before.example/")
    page.goto(f"{service.url}/{funnel.slug}/start")
    page.locator("main form button").click()
    page.wait_for_url("**/q/1")
    assert context.cookies()
    return page


def _neutral(route: Route) -> None:
    route.fulfill(body=NEUTRAL, content_type="text/html")


def left(page: Page, context: BrowserContext, funnel: Funnel) -> None:
    page.wait_for_url(funnel.leave_to)
    assert page.title() == "Neutral"
    assert context.cookies() == []


def test_the_button_wipes_and_puts_a_neutral_page_in_this_ones_place(
    context: BrowserContext, service: Service, funnel: Funnel
) -> None:
    page = begun(context, service, funnel)
    page.evaluate("localStorage.setItem('kept', '1'); sessionStorage.setItem('kept', '1')")
    page.get_by_role("button", name="Leave quickly").click()
    left(page, context, funnel)
    page.go_back()  # to the page before the question, which leads on at once
    page.wait_for_url(funnel.leave_to)
    page.goto(f"{service.url}/{funnel.slug}/how")
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_shift_three_times_does_the_same_from_any_field(
    context: BrowserContext, service: Service, funnel: Funnel
) -> None:
    page = begun(context, service, funnel)
    page.locator('input[name="answer"]').first.focus()
    for _ in range(3):
        page.keyboard.press("Shift")
    left(page, context, funnel)


def test_typing_capital_letters_leaves_nowhere(context: BrowserContext, service: Service, funnel: Funnel) -> None:
    page = begun(context, service, funnel)
    for key in ("Shift+A", "Shift+B", "Shift+C", "Shift", "a", "Shift", "b", "Shift", "Shift+D"):
        page.keyboard.press(key)
    page.wait_for_timeout(100)
    assert page.url.endswith("/q/1")
    assert context.cookies()


def test_it_is_left_even_when_we_do_not_answer(context: BrowserContext, service: Service, funnel: Funnel) -> None:
    page = begun(context, service, funnel)
    page.route("**/leave", lambda route: route.abort())
    page.get_by_role("button", name="Leave quickly").click()
    page.wait_for_url(funnel.leave_to)


def test_without_scripts_the_button_does_it_as_a_plain_form(browser: Browser, service: Service, funnel: Funnel) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = begun(context, service, funnel)
    page.get_by_role("button", name="Leave quickly").click()
    left(page, context, funnel)
    context.close()


@pytest.mark.parametrize(("width", "height"), [(320, 640), (390, 844), (1280, 800)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_way_out_is_in_sight_on_every_screen_and_says_what_it_does(
    browser: Browser, service: Service, funnel: Funnel, width: int, height: int, scheme: str
) -> None:
    context = browser.new_context(viewport=ViewportSize(width=width, height=height), color_scheme=scheme)  # type: ignore[arg-type]
    visitor = Visitor(context, service)
    visitor.page.goto(f"{service.url}/{funnel.slug}/support")
    button = visitor.page.get_by_role("button", name="Leave quickly")
    box = button.bounding_box()
    assert box
    assert box["height"] >= 44
    assert 0 <= box["y"] < 60
    described = visitor.page.locator(f"#{button.get_attribute('aria-describedby')}")
    assert "history still shows" in described.inner_text()
    visitor.keep(f"leave-{width}-{scheme}")
    context.close()
