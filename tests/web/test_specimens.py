"""The pages that the preview and the lint look at are those that visitors get."""

import re
from typing import Any

import pytest

from funnel.core.quiz import Outcome
from funnel.core.sequence import Funnel
from funnel.web import invented as made_up
from funnel.web import specimens
from funnel.web.specimens import Shown
from tests.conftest import BASE_URL
from tests.web.conftest import Site, answers_for
from tests.web.shape import unstamped
from tests.world import ALICE

OWN = re.compile(r"/[cruod]/[\w-]+")
BACK = re.compile(r'(name="to" value=")[^"]*')  # where a form that is on every page leads back to


def plain(html: str) -> str:
    """A page without what is its reader's own."""
    return OWN.sub("/t", BACK.sub(r"\1/", html))


def invented(site: Site, name: str, pattern: str = "freeze") -> str:
    return specimens.page(site.app.state.site, Shown(site.world.revision_id(), site.funnel, pattern), name)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("landing", ""), ("start", "/start"), ("question-1", "/q/1"), ("question-11", "/q/11"), ("how", "/how"),
        ("privacy", "/privacy"), ("support", "/support"), ("error", "/nothing"),
    ],
)  # fmt: skip
def test_a_page_is_the_real_one(shared: Site, name: str, path: str) -> None:
    unchecked = re.compile(r" checked>")
    real = shared.client.get(f"/{shared.slug}{path}").text
    assert plain(unchecked.sub(">", invented(shared, name))) == plain(real)


def test_a_result_is_the_real_one(site: Site) -> None:
    real = site.take_quiz(answers_for(site.funnel, "freeze")).text
    assert unstamped(invented(site, "result")) == unstamped(real)
    joining = invented(site, "join").replace(specimens.ADDRESS, "").replace("Alex", "")
    assert unstamped(joining) == unstamped(site.client.get(site.at("join")).text)


def test_every_pattern_with_every_second_one_is_shown(funnel: Funnel, shared: Site) -> None:
    for pattern in funnel.patterns:
        for secondary in (None, *(key for key in funnel.patterns if key != pattern)):
            shown = Shown(shared.world.revision_id(), funnel, pattern, secondary)
            html = specimens.page(shared.app.state.site, shown, "result")
            name = funnel.patterns[pattern].name
            assert f"<h1>{name[:1].upper()}{name[1:]}</h1>" in html
            beside = (
                f"Close behind comes <strong>{funnel.patterns[secondary].name}</strong>"
                if secondary
                else "Close behind"
            )
            assert (beside in html) == bool(secondary)


@pytest.mark.parametrize("outcome", [each for each in Outcome if each != Outcome.DECIDED])
def test_every_other_outcome_is_shown(shared: Site, outcome: Outcome) -> None:
    name = shared.funnel.quiz.outcomes[outcome].name
    assert f"<h1>{name[:1].upper()}{name[1:]}</h1>" in invented(shared, f"result-{outcome.value}")


def test_every_page_of_every_state_is_there(shared: Site) -> None:
    pages = [invented(shared, name) for name in specimens.pages(shared.funnel)]
    assert len(set(pages)) == len(pages) > 30


def test_a_lesson_in_the_browser_is_the_real_one(site: Site) -> None:
    site.join(ALICE, "freeze")
    real = site.client.get(site.link(ALICE, "Read in")).text
    shown = Shown(site.world.revision_id(), site.funnel, "freeze")
    ours = specimens.lesson(site.app.state.site, shown, "freeze-meet", {"pace": "as-written"})
    assert plain(ours) == plain(real)


def test_the_pages_of_a_readers_links_are_the_real_ones(site: Site) -> None:
    path = site.apply(ALICE, "freeze")
    ask, pressed, again = site.client.get(path), site.client.post(path), site.client.get(path)
    site.world.work()
    stop, choose = site.link(ALICE, "Stop"), site.link(ALICE, "hoose")
    real = {
        "confirm": ask,
        "confirm-done": pressed,
        "confirm-before": again,
        "choose": site.client.get(choose),
        "choose-done": site.client.post(choose, data={"pattern": "freeze"}),
        "stop": site.client.get(stop),
        "stop-done": site.client.post(stop),
        "choose-stopped": site.client.get(choose),
        "resumed": site.client.post(f"{stop}/undo"),
        "stop-deleted": site.client.post(f"{stop}/delete"),
    }
    assert {name: plain(answer.text) for name, answer in real.items()} == {
        name: plain(invented(site, name)) for name in real
    }


def test_the_pages_of_a_readers_data_are_the_real_ones_about_somebody_invented(site: Site) -> None:
    site.join(ALICE)
    assert plain(invented(site, "data")) == plain(site.client.get(site.at("data")).text)
    assert plain(invented(site, "data-asked")) == plain(site.client.post(site.at("data"), data={"email": ALICE}).text)
    site.world.work()
    path = site.link(ALICE, "my page")
    assert plain(invented(site, "data-door")) == plain(site.client.get(path).text)
    real = site.client.post(f"{path}/json").json()
    made = made_up.data(site.funnel, "freeze", None, "en", (ALICE, ""), site.world.clock())
    assert outline(made) == outline(real)
    for name, words in {"data-yours": "Erase everything", "data-paused": "Go on with the notes"}.items():
        assert words in invented(site, name)
    assert plain(invented(site, "data-closed")) == plain(site.client.post(f"{path}/close").text)


def outline(data: Any) -> Any:
    """The names of everything that data hold."""
    if isinstance(data, list):
        return outline(data[0]) if data else None
    return {key: outline(value) for key, value in data.items()} if isinstance(data, dict) else None


def test_nothing_is_written_and_nothing_kept(site: Site) -> None:
    before = site.dump()
    for name in specimens.pages(site.funnel):
        invented(site, name)
    assert site.dump() == before


@pytest.mark.parametrize("name", ["nothing", "question", "question-0", "question-12", "question-x", ""])
def test_what_is_not_there_is_told(shared: Site, name: str) -> None:
    with pytest.raises(LookupError):
        invented(shared, name)


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_link_of_a_test_mail_says_what_it_is(shared: Site, method: str) -> None:
    answer = getattr(shared.client, method)(f"{BASE_URL}/t")
    assert (answer.status_code, "This link came with a test" in answer.text) == (200, True)
