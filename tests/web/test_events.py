"""A button on a lesson's page: pressing it is the reader's act, opening its link is nobody's."""

import pytest

from funnel.flow.publish import publish
from funnel.store.tables import reached
from tests.conftest import BASE_URL
from tests.example.kitchen import EXAMPLE
from tests.flow.kitchen import Kitchen
from tests.web.conftest import Site
from tests.web.shape import is_clear
from tests.world import ALICE

WORDS = "I have cooked something"


@pytest.fixture
def cook(site: Site) -> Site:
    """Alice reads the second note of the example, which has a button."""
    world = site.world
    publish(world.tools, EXAMPLE, world.clock())
    Kitchen(world.tools, world.clock, world.folder, world.provider).enter(ALICE)
    world.days(2)
    return site


def path_of(cook: Site) -> str:
    return cook.world.mails(ALICE)[-1].link(WORDS).removeprefix(BASE_URL)


def test_the_mail_shows_the_words_as_a_link_to_the_page_with_the_button(cook: Site) -> None:
    path = path_of(cook)
    assert path == cook.link(ALICE, "Read in")
    page = cook.page(path)
    assert [(form.action, form.buttons[0].label) for form in page.forms if "cooked" in form.action] == [
        (f"{BASE_URL}{path}/cooked", WORDS)
    ]
    assert WORDS in cook.world.mails(ALICE)[-1].text


def test_pressing_it_is_noted_once_and_shown(cook: Site) -> None:
    path = path_of(cook)
    for _ in range(2):
        shown = cook.land(cook.client.post(f"{path}/cooked"))
        assert f"{WORDS}</span>: noted." in shown.text
    assert [row.event for row in cook.world.rows(reached)] == ["cooked"]
    assert not [form for form in cook.page(path).forms if "cooked" in form.action]


def test_looking_at_it_changes_nothing(cook: Site) -> None:
    path, before = path_of(cook), cook.dump()
    for method in ("GET", "HEAD"):
        for _ in range(3):
            cook.client.request(method, path)
            assert cook.client.request(method, f"{path}/cooked").status_code == 405
    assert cook.dump() == before


@pytest.mark.parametrize("event", ["baked", "Cooked", "cooked%00", "swap", "..%2f"])
def test_an_event_that_the_lesson_does_not_offer_is_not_there(cook: Site, event: str) -> None:
    is_clear(cook.client.post(f"{path_of(cook)}/{event}"), 404, cook.funnel)
    assert cook.world.rows(reached) == []


def test_from_elsewhere_nobody_presses(cook: Site) -> None:
    answer = cook.client.post(f"{path_of(cook)}/cooked", headers={"origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    assert cook.world.rows(reached) == []


def test_after_the_notes_have_ended_there_is_nothing_to_press(cook: Site) -> None:
    path = path_of(cook)
    cook.client.post(cook.link(ALICE, "Stop"))
    assert cook.client.post(f"{path}/cooked").status_code == 410
    assert cook.world.rows(reached) == []
