"""A crowd at the sign-up form, in a real browser: it works for a second by itself; what was typed is never lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from funnel.core.sequence import Funnel
from tests.robot import Robot
from tests.service.conftest import Service, running
from tests.service.test_browser import Visitor, answer_all, browser
from tests.service.test_journey import take_quiz

__all__ = ["browser"]  # the fixture

pytestmark = [pytest.mark.service, pytest.mark.browser]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, funnel: Funnel) -> Iterator[Service]:
    """A service that takes two sign-ups for a crowd; one has arrived."""
    home: Path = tmp_path_factory.mktemp("crowded")
    with running(home, {"FUNNEL_USUAL_RATE": "1/h", "FUNNEL_DAY": "24h"}) as service:
        with Robot(service.url) as robot:
            take_quiz(robot, funnel, "flight")
            robot.follow("by email")
            robot.send("Send me", fill={"email": "first@example.org"})
        yield service


@pytest.fixture(params=[390, 1280])
def visitor(request: pytest.FixtureRequest, browser: Browser, crowded: Service) -> Iterator[Visitor]:
    size = ViewportSize(width=request.param, height=844)
    context = browser.new_context(viewport=size, reduced_motion="reduce")
    yield Visitor(context, crowded)
    context.close()


def fill_in(visitor: Visitor, funnel: Funnel, address: str) -> None:
    visitor.page.goto(visitor.service.url)
    visitor.follow("Take the quiz")
    visitor.page.locator("main form button").click()
    answer_all(visitor, funnel, "freeze")
    visitor.page.get_by_role("link", name="by email").first.click()
    visitor.page.locator('input[type="email"]').fill(address)
    for box in visitor.page.locator('input[type="checkbox"]').all():
        box.check()


def test_the_browser_works_and_the_person_notices_nothing(visitor: Visitor, funnel: Funnel) -> None:
    width = visitor.page.viewport_size or {"width": 0}
    address = f"worker{width['width']}@example.org"
    fill_in(visitor, funnel, address)
    visitor.check("crowded")
    visitor.keep(f"crowded-{width['width']}")
    visitor.press("Send me the notes")
    visitor.page.wait_for_url("**/inbox")
    visitor.service.until_mail(address, 1)
    assert visitor.elsewhere == []


def test_a_slip_is_asked_about_by_two_buttons(visitor: Visitor, funnel: Funnel) -> None:
    width = visitor.page.viewport_size or {"width": 0}
    fill_in(visitor, funnel, f"slip{width['width']}@gmial.com")
    visitor.press("Send me the notes")
    expect(visitor.page.get_by_role("heading", name="Did you mean gmail.com?")).to_be_visible()
    expect(visitor.page.get_by_role("button", name="right as I typed it")).to_be_focused()
    visitor.check("guess")
    visitor.keep(f"guess-{width['width']}")
    visitor.press("Yes, use gmail.com")
    visitor.page.wait_for_url("**/inbox")
    visitor.service.until_mail(f"slip{width['width']}@gmail.com", 1)


def test_nobody_sees_hears_or_reaches_the_bait(visitor: Visitor, funnel: Funnel) -> None:
    fill_in(visitor, funnel, "bait@example.org")
    bait = visitor.page.locator('input[name="website"]')
    expect(bait).to_be_hidden()
    assert visitor.page.get_by_role("textbox", name="Leave this empty").count() == 0
