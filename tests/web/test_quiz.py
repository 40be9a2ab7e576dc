"""Taking the quiz by hand: going back, skipping, choosing otherwise, and a quiz that changes meanwhile."""

import shutil
from pathlib import Path

import pytest

from funnel.core.quiz import Outcome, score, secondary_beside
from funnel.flow.people import Request, key_for, open_request
from funnel.flow.publish import publish
from funnel.store import subscribers
from funnel.store.db import reading
from funnel.store.tables import consent, enrollment, signup
from tests.conftest import ROOT
from tests.robot import Page
from tests.web.conftest import Site, answers_for, answers_leading_to
from tests.web.shape import Shape
from tests.world import ALICE


def given(site: Site, number: int) -> str | None:
    """What question `number` shows as already answered."""
    boxes = Shape(site.client.get(site.at(f"q/{number}")).text).all("input")
    return next((box["value"] for box in boxes if "checked" in box), None)


def headline(site: Site) -> str:
    return site.client.get(site.at("result")).text.partition("<h1>")[2].partition("</h1>")[0].lower()


def asked(site: Site) -> Request:
    """What the newest sign-up holds."""
    tools, row = site.world.tools, site.world.rows(signup)[-1]
    with reading(tools.engine) as connection:
        person = subscribers.by_id(connection, row.subscriber_id)
        assert person is not None
        return open_request(key_for(connection, tools.keyring, person), person.address_hash, row.sealed)


def test_every_question_leads_to_the_next_and_the_last_to_the_result(site: Site) -> None:
    total = len(site.funnel.quiz.questions)
    answer = site.client.post(site.at("start"))
    for number in range(1, total + 1):
        assert answer.headers["location"] == site.at(f"q/{number}")
        answer = site.client.post(site.at(f"q/{number}"), data={"go": "skip"})
    assert answer.headers["location"] == site.at("result")


def test_going_back_and_answering_otherwise_changes_that_answer_only(site: Site) -> None:
    answers = answers_for(site.funnel, "fawn")
    site.take_quiz(answers)
    third = site.funnel.quiz.questions[2]
    assert given(site, 3) == answers[third.key]
    other = next(answer.key for answer in third.answers if answer.key != answers[third.key])
    answer = site.client.post(site.at("q/3"), data={"answer": other})
    assert answer.headers["location"] == site.at("q/4")
    assert given(site, 3) == other
    for number, question in enumerate(site.funnel.quiz.questions, 1):
        assert number == 3 or given(site, number) == answers[question.key]


def test_the_result_follows_the_answers_as_they_are_now(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    before = headline(site)
    for number, question in enumerate(site.funnel.quiz.questions, 1):
        site.client.post(site.at(f"q/{number}"), data={"answer": answers_for(site.funnel, "fight")[question.key]})
    patterns = site.funnel.patterns
    assert (before, headline(site)) == (patterns["fawn"].name.lower(), patterns["fight"].name.lower())


def test_an_answer_taken_back_counts_no_more(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    for number in range(1, len(site.funnel.quiz.questions) + 1):
        site.client.post(site.at(f"q/{number}"), data={"go": "skip", "answer": "anything"})
    assert headline(site) == site.funnel.quiz.outcomes[Outcome.TOO_FEW].name


def test_questions_can_be_answered_in_any_order_and_without_the_start_page(site: Site) -> None:
    answers = answers_for(site.funnel, "freeze")
    for number, question in reversed(list(enumerate(site.funnel.quiz.questions, 1))):
        assert site.client.post(site.at(f"q/{number}"), data={"answer": answers[question.key]}).status_code == 303
    assert headline(site) == site.funnel.patterns["freeze"].name.lower()


def test_starting_again_forgets_the_answers(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    site.client.post(site.at("start"))
    assert [given(site, number) for number in (1, 2, 3)] == [None, None, None]


@pytest.mark.parametrize("outcome", Outcome)
def test_the_result_page_says_what_the_scoring_says(site: Site, outcome: Outcome) -> None:
    answers, result = answers_leading_to(site.funnel, outcome)
    page = Page("", site.take_quiz(answers).text)
    name = site.funnel.patterns[result.primary].name if result.primary else site.funnel.quiz.outcomes[outcome].name
    assert headline(site) == name.lower()
    for leader in result.leaders:
        assert site.funnel.patterns[leader].name.lower() in page.text.lower()
    if outcome == Outcome.DECIDED:
        assert result.secondary is not None
        assert f"Close behind comes {site.funnel.patterns[result.secondary].name}" in page.text


def test_the_sign_up_keeps_the_result_with_its_second_pattern(site: Site) -> None:
    answers, result = answers_leading_to(site.funnel, Outcome.DECIDED)
    site.take_quiz(answers)
    site.sign_up(ALICE, "Alice")
    assert result.secondary is not None
    assert (asked(site).pattern, asked(site).secondary, asked(site).first_name) == (
        result.primary,
        result.secondary,
        "Alice",
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_the_sign_up_keeps_the_readers_own_choice_with_the_second_that_goes_with_it(
    site: Site, outcome: Outcome
) -> None:
    answers, result = answers_leading_to(site.funnel, outcome)
    site.take_quiz(answers)
    choice = next(key for key in site.funnel.patterns if key != result.primary)
    shown = site.land(site.client.post(site.at("choose"), data={"pattern": choice}))
    assert site.funnel.patterns[choice].name.lower() == headline(site)
    site.sign_up(ALICE)
    beside = secondary_beside(site.funnel.quiz, score(site.funnel.quiz, answers), choice)
    assert (asked(site).pattern, asked(site).secondary) == (choice, beside)
    assert beside is None or site.funnel.patterns[beside].name in shown.text


def test_whoever_wants_none_gets_none_until_they_answer_or_choose_again(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    none = site.land(site.client.post(site.at("choose"), data={"pattern": "none"}))
    assert site.at("join") not in none.text
    assert site.client.get(site.at("join")).headers["location"] == site.at("result")
    site.client.post(site.at("choose"), data={"pattern": "fight"})
    assert site.client.get(site.at("join")).status_code == 200


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A folder in which the first question reads otherwise, one is gone, and a consent is worded anew."""
    root = tmp_path / "content"
    for folder in ("sequences", "emails"):
        shutil.copytree(ROOT / folder, root / folder)
    quiz = root / "sequences/erotic-survival-pattern/quiz.toml"
    first, *rest = quiz.read_text().split("[[questions]]\n")
    assert rest[0].count("What do you feel like tonight?") == 1
    rest[0] = rest[0].replace("What do you feel like tonight?", "What would you like tonight?")
    quiz.write_text("[[questions]]\n".join([first, *rest[:-1]]))
    quiz.with_suffix(".de.toml").unlink()  # it asks what is not asked any more
    settings = root / "sequences/erotic-survival-pattern/funnel.toml"
    settings.write_text(settings.read_text().replace('course = "Yes, email me', 'course = "Yes, please email me'))
    return root


def test_whoever_has_begun_goes_on_with_their_own_quiz(site: Site, changed: Path) -> None:
    total = len(site.funnel.quiz.questions)
    site.client.post(site.at("start"))
    site.client.post(site.at("q/1"), data={"answer": site.funnel.quiz.questions[0].answers[0].key})
    publish(site.world.tools, changed, site.world.clock())
    assert "What do you feel like tonight?" in site.client.get(site.at("q/1")).text
    assert site.client.get(site.at(f"q/{total}")).status_code == 200
    newcomer = site.other()
    assert "What would you like tonight?" in newcomer.client.get(site.at("q/1")).text
    assert newcomer.client.get(site.at(f"q/{total}")).status_code == 404


def test_whoever_has_a_result_agrees_to_the_words_they_see(site: Site, changed: Path) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    seen = site.world.revision_id()
    publish(site.world.tools, changed, site.world.clock())
    assert site.world.revision_id() != seen
    assert "Yes, email me" in site.client.get(site.at("join")).text
    site.land(site.sign_up(ALICE))
    assert {row.revision_id for row in site.world.rows(consent)} == {seen}
    site.world.work()
    assert site.client.post(site.link(ALICE, "onfirm")).status_code == 200
    assert {row.revision_id for row in site.world.rows(consent)} == {seen}
    assert [row.pattern for row in site.world.rows(enrollment)] == ["fawn"]
