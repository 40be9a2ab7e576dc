"""The preview as a process, in a real browser: it is usable, and shows what is saved."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error, Page, sync_playwright

from tests import browser as chromium
from tests.example.kitchen import EXAMPLE, MEET
from tests.preview.conftest import rewrite
from tests.service.conftest import free_port, launch, until

pytestmark = [pytest.mark.service, pytest.mark.browser]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("content")
    for room in ("sequences", "emails"):
        shutil.copytree(EXAMPLE / room, root / room)
    return root


@pytest.fixture(scope="module")
def page(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An author's browser at a running preview."""
    port = free_port()
    service = launch(tmp_path_factory.mktemp("home"), port, ("preview", str(folder), "--port", str(port)))
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.flags())
            found = browser.new_page(base_url=service.url, viewport={"width": 1700, "height": 1000})
            until(lambda: _answers(found), "the preview to answer")
            yield found
            browser.close()
    finally:
        service.stop()


def _answers(page: Page) -> bool:
    try:
        return page.goto("/") is not None
    except Error:  # not listening yet
        return False


def test_a_saved_file_shows_in_every_frame_without_anybody_pressing_anything(page: Page, folder: Path) -> None:
    page.goto("/show/lesson/planner-meet?scheme=dark")
    for frame in page.locator("iframe").all():
        frame.content_frame.get_by_text("A list is a letter").wait_for()
        color = frame.content_frame.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
        assert color == "rgb(21, 23, 30)", "dark, though the browser is light"
    rewrite(folder, MEET, "A list is a letter", "A list is a promise")
    for frame in page.locator("iframe").all():
        frame.content_frame.get_by_text("A list is a promise").wait_for()
    keep(page, "preview")


def at_rest(page: Page) -> None:
    """The lint has looked at what was saved: the page loads itself no more, and another can be gone to."""
    page.locator('html[data-version$="+"]').wait_for(state="attached")


def test_a_choice_applies_at_once(page: Page) -> None:
    at_rest(page)
    page.goto("/show/page/result")
    page.get_by_label("Pattern").select_option("improviser")
    page.locator("iframe").first.content_frame.get_by_role("heading", name="The Improviser").first.wait_for()


@pytest.mark.parametrize("path", ["/", "/show/lesson/planner-stove", "/show/page/nothing"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_bench_itself_can_be_used_by_everybody(page: Page, path: str, scheme: str) -> None:
    at_rest(page)
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(path)
    found = Axe().run(page)
    assert [each["id"] for each in found.response["violations"] if each["impact"] in ("serious", "critical")] == []


def keep(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")
