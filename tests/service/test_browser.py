"""The main job in a real browser with JavaScript on: every page looked at, checked with axe, and kept to itself."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from funnel.core.quiz import Answer, Question
from funnel.core.sequence import Funnel
from tests import browser as chromium
from tests.service.conftest import Service, until
from tests.service.test_journey import subjects

pytestmark = [pytest.mark.service, pytest.mark.browser]
TOO_WIDE = """() => [...document.querySelectorAll("h1, h2, h3, p, li, dd, span, a, button, label")]
    .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".unseen, .skip"))
    .map(each => each.textContent.trim())"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.flags())
        yield found
        found.close()


class Visitor:
    """Somebody with a browser. Every page they see is checked; with SCREENSHOTS set, some are kept as pictures."""

    def __init__(self, context: BrowserContext, service: Service) -> None:
        self.page: Page = context.new_page()
        self.service = service
        self.elsewhere: list[str] = []
        self.seen: set[str] = set()
        self.page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self.service.url, "data:", "about:")):
            self.elsewhere.append(request.url)

    def check(self, name: str) -> None:
        """No violation that axe knows of, in light and in dark."""
        self.seen.add(name)
        self.page.wait_for_load_state()
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            found = Axe().run(self.page)
            bad = [each["id"] for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
            assert bad == [], f"{name} in {scheme}: {found.generate_report()}"
        self.page.emulate_media(color_scheme="light")

    def fits(self, name: str) -> None:
        """Nothing reaches beyond the screen."""
        self.page.wait_for_load_state()  # a click returns when the next page has only begun
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert self.page.evaluate(TOO_WIDE) == [], name

    def keep(self, name: str) -> None:
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name).first.click()


@pytest.fixture
def visitor(browser: Browser, service: Service) -> Iterator[Visitor]:
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        device_scale_factor=2,
        timezone_id="America/New_York",
        reduced_motion="reduce",  # so that no color is seen half-way
    )
    yield Visitor(context, service)
    context.close()


def answer_all(visitor: Visitor, funnel: Funnel, pattern: str) -> None:
    questions = funnel.quiz.questions
    for number, question in enumerate(questions, 1):
        key = max(question.answers, key=lambda each: each.weights.get(pattern, 0)).key
        if number == 1:
            visitor.check("question")
        visitor.page.locator(f'input[name="answer"][value="{key}"]').check()
        if number == 4:
            visitor.keep("question")
        visitor.press("Next" if number < len(questions) else "See the result")


def test_a_visitor_with_a_browser_gets_the_whole_course_and_leaves(visitor: Visitor, funnel: Funnel) -> None:
    service, address = visitor.service, "browser@example.org"
    visitor.page.goto(service.url)
    visitor.check("landing")
    visitor.follow("Take the quiz")
    visitor.check("start")
    visitor.page.locator("main form button").click()
    answer_all(visitor, funnel, "freeze")
    visitor.check("result")
    visitor.keep("result")
    visitor.page.get_by_role("link", name="by email").first.click()
    visitor.check("join")
    visitor.page.locator('input[type="email"]').fill(address)
    visitor.page.locator('input[name="first_name"]').fill("Brook")
    for box in visitor.page.locator('input[type="checkbox"]').all():
        assert not box.is_checked()
        box.check()
    visitor.page.locator("main form button").last.click()
    visitor.check("inbox")
    service.until_mail(address, 1)
    visitor.page.goto(service.mails(address)[0].link("Confirm"))
    visitor.check("confirm")
    visitor.page.locator("main form button").click()
    visitor.check("confirmed")
    service.until_mail(address, 8)
    assert service.lessons(address) == subjects(funnel, "freeze")
    assert _zone_of_last(service) == "America/New_York"
    _look_at_mails(visitor)
    lesson = service.mails(address)[-1]
    visitor.page.goto(lesson.link("Read in the browser"))
    visitor.check("read")
    visitor.page.goto(service.mails(address)[1].link("choose another"))
    visitor.check("choose")
    visitor.page.goto(lesson.link("Stop"))
    visitor.check("stop")
    visitor.press("Stop the notes")
    visitor.check("stopped")
    until(lambda: _state_of_last(service) == "unsubscribed", "the unsubscription")
    assert visitor.elsewhere == []


def _look_at_mails(visitor: Visitor) -> None:
    visitor.page.goto(f"{visitor.service.url}/outbox")
    visitor.check("outbox")
    visitor.follow("Note 2 of 7")
    visitor.check("mail")
    name = visitor.page.url.rpartition("/")[2]
    visitor.page.goto(f"{visitor.service.url}/outbox/{name}/html")
    visitor.keep("lesson")


def _zone_of_last(service: Service) -> str:
    return str(_last(service, "zone"))


def _state_of_last(service: Service) -> str:
    return str(_last(service, "state"))


def _last(service: Service, column: str) -> object:
    connection = sqlite3.connect(service.home / "funnel.db")
    try:
        return connection.execute(f"SELECT {column} FROM subscriber ORDER BY changed_ms DESC LIMIT 1").fetchone()[0]
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["support", "how", "privacy", "nowhere/at-all", "c/unknown"])
def test_the_pages_around_it_pass_axe_too(visitor: Visitor, funnel: Funnel, path: str) -> None:
    prefix = "" if path.startswith("c/") else f"/{funnel.slug}"
    visitor.page.goto(f"{visitor.service.url}{prefix}/{path}")
    visitor.check(path)
    assert visitor.elsewhere == []


@pytest.mark.parametrize("given", ["too-close", "at-ease", "too-few"])
def test_the_other_outcomes_pass_axe_and_preselect_nothing(visitor: Visitor, funnel: Funnel, given: str) -> None:
    visitor.page.goto(f"{visitor.service.url}/{funnel.slug}/start")
    visitor.page.locator("main form button").click()
    for number, question in enumerate(funnel.quiz.questions, 1):
        if given == "too-few" and number > 3:
            visitor.press("Skip this one")
            continue
        answer = _for(question, "" if given == "at-ease" else ("fight", "flight", "freeze", "fawn")[number % 4])
        visitor.page.locator(f'input[name="answer"][value="{answer.key}"]').check()
        visitor.page.locator("main form button.main").click()
    visitor.check(given)
    if given != "too-close":
        assert visitor.page.locator("input:checked").count() == 0
    assert visitor.elsewhere == []


def _for(question: Question, pattern: str) -> Answer:
    """The answer that speaks mainly for `pattern`, or the one that is at ease."""
    main = {max(answer.weights, key=answer.weights.__getitem__, default=""): answer for answer in question.answers}
    return main[pattern]


def test_browser_back_returns_to_the_question_and_the_new_answer_counts(visitor: Visitor, funnel: Funnel) -> None:
    visitor.page.goto(f"{visitor.service.url}/{funnel.slug}/start")
    visitor.page.locator("main form button").click()
    first = funnel.quiz.questions[0]
    visitor.page.locator(f'input[value="{first.answers[0].key}"]').check()
    visitor.press("Next")
    visitor.page.wait_for_url("**/q/2")
    visitor.page.go_back(wait_until="load")
    visitor.page.wait_for_url("**/q/1")
    visitor.page.locator(f'input[value="{first.answers[1].key}"]').check()
    visitor.press("Next")
    visitor.page.wait_for_url("**/q/2")
    visitor.follow("Back")
    visitor.page.wait_for_url("**/q/1")
    assert visitor.page.locator("input:checked").get_attribute("value") == first.answers[1].key


def test_leaving_quickly_wipes_what_the_browser_kept(visitor: Visitor, funnel: Funnel) -> None:
    visitor.page.goto(f"{visitor.service.url}/{funnel.slug}/start")
    visitor.page.locator("main form button").click()
    assert visitor.page.context.cookies()
    visitor.page.route("https://**", lambda route: route.fulfill(body="somewhere neutral"))
    visitor.press("Leave quickly")
    visitor.page.wait_for_url(funnel.leave_to)
    assert visitor.page.context.cookies() == []
