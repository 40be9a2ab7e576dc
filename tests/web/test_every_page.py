"""What holds for every page, whatever it shows."""

import re
from urllib.parse import urlsplit

import httpx2
import pytest

from funnel.core.quiz import Outcome
from tests.conftest import BASE_URL
from tests.robot import Page
from tests.web.conftest import Site, answers_leading_to
from tests.web.shape import Shape
from tests.web.tour import tour

TOPIC = ("erotic", "sex", "intima", "survival", "desire", "diagnos", "trauma")
Pages = list[tuple[str, httpx2.Response, Shape]]


@pytest.fixture(scope="module")
def pages(shared: Site) -> Pages:
    """One tour for all these tests, which only look."""
    return [(name, response, Shape(response.text)) for name, response in tour(shared)]


def test_the_tour_sees_them_all(pages: Pages) -> None:
    statuses = {response.status_code for _, response, _ in pages}
    assert statuses == {200, 400, 403, 404, 405, 410, 413}
    assert len({response.text for _, response, _ in pages}) > 35


def test_a_page_has_one_headline_and_a_language(pages: Pages) -> None:
    for name, _, shape in pages:
        assert len(shape.all("h1")) == 1, name
        assert shape.elements[0] == ("html", {"lang": "en"}), name


def test_titles_and_addresses_say_nothing_of_the_topic(pages: Pages, words: tuple[str, ...]) -> None:
    for name, response, shape in pages:
        assert shape.title, name
        paths = [str(target) for target in (response.url.path, *_targets(shape))]
        assert not [word for word in words for text in (shape.title, *paths) if word in text.lower()], name


@pytest.fixture(scope="module")
def words(shared: Site) -> tuple[str, ...]:
    patterns = shared.funnel.patterns.values()
    return (*TOPIC, *shared.funnel.patterns, *(pattern.name.lower().removeprefix("the ") for pattern in patterns))


def test_cookies_say_nothing_of_the_topic(shared: Site, words: tuple[str, ...]) -> None:
    visitor = shared.other()
    visitor.take_quiz({})
    visitor.client.post("/language", data={"language": "de", "to": "/"})
    names = list(visitor.client.cookies)
    assert len(names) == 2
    assert not [word for word in words for name in names if word in name.lower()]
    assert all(name.startswith("__Host-") for name in names)


def _targets(shape: Shape) -> list[str]:
    """The paths of our own that a page leads to."""
    found = [each.get("href") or each.get("action") or "" for each in shape.all("a", "form")]
    return [target for target in found if target.startswith("/")]


def test_what_is_filled_in_has_a_label(pages: Pages) -> None:
    for name, _, shape in pages:
        assert shape.unlabeled == [], name


def test_support_is_one_link_away_and_the_way_out_comes_last(pages: Pages) -> None:
    for name, _, shape in pages:
        assert any((found.get("href") or "").endswith("/support") for found in shape.all("a")), name
        tail = [tag for tag, _ in shape.elements[-3:]]
        assert tail == ["form", "input", "button"], name
        assert shape.all("form")[-1].get("action") == "/leave", name


def test_nothing_comes_from_another_origin_and_nothing_is_inline(pages: Pages) -> None:
    for name, response, shape in pages:
        for tag, found in shape.elements:
            assert not [key for key in found if key.startswith("on") or key in ("style", "srcset")], name
            loads = [found.get("src"), found.get("action"), found.get("poster"), found.get("data")]
            loads += [found.get("href")] if tag == "link" else []
            assert all(re.match(r"/(?!/)", target) for target in loads if target), (name, loads)
        assert shape.inline == "", name
        assert "url(" not in response.text, name


def test_every_form_posts_to_this_site(pages: Pages) -> None:
    for name, _, shape in pages:
        for form in shape.all("form"):
            assert form.get("method") == "post", name
            assert urlsplit(form.get("action") or "").netloc == "", name


def test_only_a_given_answer_a_given_yes_and_what_is_kept_are_ever_preselected(pages: Pages) -> None:
    for name, _, shape in pages:
        given = ["zone", "pace"] if name.startswith("yours") else []
        assert all(found is None and given for found in shape.checked), name


@pytest.mark.parametrize("outcome", Outcome)
def test_no_result_preselects_a_course_for_the_reader(shared: Site, outcome: Outcome) -> None:
    answers, result = answers_leading_to(shared.funnel, outcome)
    page = shared.take_quiz(answers)
    assert Shape(page.text).checked == []
    joinable = any(target == f"{BASE_URL}{shared.at('join')}" for _, target in Page(BASE_URL, page.text).links)
    assert joinable == (result.primary is not None) == (outcome == Outcome.DECIDED)


def test_consents_are_separate_and_unticked_and_stay_as_the_reader_left_them(shared: Site) -> None:
    shared.take_quiz(answers_leading_to(shared.funnel, Outcome.DECIDED)[0])
    fresh = Shape(shared.client.get(shared.at("join")).text)
    boxes = [found.get("name") for found in fresh.all("input") if found.get("type") == "checkbox"]
    assert (boxes, fresh.checked) == (["sensitive", "course"], [])
    again = shared.client.post(shared.at("join"), data={"email": "nonsense", "course": "yes"})
    assert Shape(again.text).checked == ["course"]


def test_the_email_field_says_what_it_is(shared: Site) -> None:
    shared.take_quiz(answers_leading_to(shared.funnel, Outcome.DECIDED)[0])
    field = next(
        found for found in Shape(shared.client.get(shared.at("join")).text).all("input") if found.get("id") == "email"
    )
    assert (field["type"], field["autocomplete"], field["value"]) == ("email", "email", "")


def test_leaving_quickly_forgets_everything_and_goes_somewhere_neutral(shared: Site) -> None:
    shared.take_quiz(answers_leading_to(shared.funnel, Outcome.DECIDED)[0])
    assert shared.cookie in shared.client.cookies
    gone = shared.client.post("/leave", data={"from": shared.slug})
    assert shared.funnel.leave_to in gone.headers["refresh"]
    assert "cookies" in gone.headers["clear-site-data"]
    assert shared.cookie not in shared.client.cookies
    assert not [word for word in (shared.funnel.title, shared.slug) if word.lower() in gone.text.lower()]
    assert shared.client.get(shared.at("result")).headers["location"] == shared.at("start")


@pytest.mark.parametrize("origin", ["", "nowhere", "https://elsewhere.example/", "a" * 2000])
def test_leaving_quickly_works_whatever_the_form_says_and_never_leads_elsewhere(shared: Site, origin: str) -> None:
    gone = shared.client.post("/leave", data={"from": origin})
    assert gone.status_code == 200
    assert "elsewhere" not in gone.text + gone.headers["refresh"]
