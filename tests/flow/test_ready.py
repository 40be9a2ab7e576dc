"""Mails that hold a link in place of the lesson: for readers who ask for it, or for all readers of a funnel."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from funnel.core import links
from funnel.core.consent import Purpose
from funnel.core.links import Use
from funnel.core.sequence import Lesson
from funnel.flow import admission, correcting, course, plan, reading, rights, signup, specimen, takeout
from funnel.flow.correcting import Wishes
from funnel.flow.people import Request
from funnel.flow.publish import publish
from funnel.store import positions
from funnel.store.db import writing
from funnel.store.tables import batch, delivery, enrollment, subscriber
from tests.conftest import BASE_URL, NAME, ROOT
from tests.flow.test_rights import mailed
from tests.robot import Mail
from tests.world import ALICE, BOB, World

READY = "House Notes: your note is ready"


def join(world: World, address: str, *, link_only: bool, locale: str = "en", secondary: str | None = None) -> None:
    """Confirms; the worker has not looked yet."""
    asked = Request("Alicia", "freeze", secondary, "Europe/Berlin", locale, link_only)
    signup.sign_up(world.tools, world.revision_id(), address, asked, world.clock())
    admission.admit(world.tools, world.clock())
    world.work()
    words = "bestätigen" if locale == "de" else "onfirm"
    signup.confirm(world.tools, world.token(world.mails(address)[-1], words), world.clock())


def wish(world: World, *, link_only: bool) -> None:
    token = mailed(world)
    assert correcting.correct(world.tools, token, Wishes("Alicia", None, None, {}, link_only), world.clock())


def notes(world: World, address: str) -> list[Mail]:
    return [mail for mail in world.mails(address) if mail.path.name.startswith("lesson")]


def lessons(world: World, locale: str = "en", pattern: str = "freeze") -> tuple[Lesson, ...]:
    return world.funnel().read_in(locale).patterns[pattern].lessons


def opened(world: World, mail: Mail, words: str = "Open the note") -> reading.LessonPage | None:
    token = world.token(mail, words)
    delivery_id = links.subject_of(world.tools.keyring.link_keys, Use.READ, token)
    assert delivery_id is not None
    return reading.lesson_page(world.tools, delivery_id)


def test_every_mail_of_a_course_holds_a_link_and_each_opens_its_own_lesson(world: World) -> None:
    join(world, ALICE, link_only=True)
    world.days(15)
    sent = notes(world, ALICE)
    assert {mail.subject for mail in sent} == {READY}
    found = [opened(world, mail) for mail in sent]
    assert [page and page.subject for page in found] == [lesson.source.subject for lesson in lessons(world)]


def test_nothing_of_a_lesson_stands_anywhere_in_such_a_mail(world: World) -> None:
    join(world, ALICE, link_only=True)
    world.work()
    [mail] = notes(world, ALICE)
    everything = f"{mail.message}{mail.text}{mail.html}".lower()
    told = [block.markdown for block in lessons(world)[0].source.blocks if len(block.markdown) > 40]
    assert told
    assert [text for text in told if text[:40].lower() in everything] == []
    assert [word for word in ("freeze", "quiet room", "lamp", NAME, "lesson", "course") if word in everything] == []


def test_the_mail_can_be_stopped_by_the_same_headers_and_links_as_a_lesson(world: World) -> None:
    join(world, ALICE, link_only=True)
    join(world, BOB, link_only=False)
    world.work()
    [ready], [lesson] = notes(world, ALICE), notes(world, BOB)
    assert set(ready.message.keys()) == set(lesson.message.keys())
    for name in ("List-Id", "List-Unsubscribe-Post", "Auto-Submitted", "From"):
        assert ready.message[name] == lesson.message[name]
    assert ready.link("Stop") in ready.message["List-Unsubscribe"]


def test_the_page_behind_the_link_has_the_passages_of_the_readers_second_pattern(world: World) -> None:
    join(world, ALICE, link_only=True, secondary="fawn")
    world.days(15)
    pages = [opened(world, mail) for mail in notes(world, ALICE)]
    kinds = [{block.kind for block in page.blocks} for page in pages if page]
    wanted = ["secondary" in lesson.source.traits for lesson in lessons(world)]
    assert ["secondary" in found for found in kinds] == wanted
    assert any(wanted)


def test_readers_of_both_kinds_share_a_lesson_and_no_batch(world: World) -> None:
    for address, link_only in ((ALICE, True), (BOB, False), ("charlie@example.org", True)):
        join(world, address, link_only=link_only)
    world.days(2)
    second = [row for row in world.rows(batch) if row.kind == "lesson"]
    assert {row.segment for row in second} == {"", "mail=link"}
    assert world.lessons(BOB) == [lesson.source.subject for lesson in lessons(world)[:2]]
    assert world.lessons(ALICE) == [READY] * 2


def test_the_mail_is_in_the_readers_language(world: World) -> None:
    join(world, ALICE, link_only=True, locale="de")
    world.work()
    [mail] = notes(world, ALICE)
    assert mail.subject == "Hausnotizen: deine Notiz ist da"
    assert mail.message["Content-Language"] == "de"
    page = opened(world, mail, "Notiz öffnen")
    assert page
    assert page.subject == lessons(world, "de")[0].source.subject


def test_a_choice_counts_for_a_lesson_that_is_scheduled_already_and_nothing_is_sent_twice(world: World) -> None:
    join(world, ALICE, link_only=False)
    world.work()
    wish(world, link_only=True)
    world.days(15)
    assert world.lessons(ALICE) == [lessons(world)[0].source.subject, *[READY] * 6]
    sent = [(row.subscriber_id, row.lesson_id) for row in world.rows(delivery)]
    assert len(set(sent)) == len(sent) == 7


def test_a_choice_can_be_taken_back(world: World) -> None:
    join(world, ALICE, link_only=True)
    world.work()
    wish(world, link_only=False)
    world.days(2)
    assert world.lessons(ALICE) == [READY, lessons(world)[1].source.subject]


def test_a_choice_lasts_through_another_course_and_a_form_that_says_nothing_of_it(world: World) -> None:
    join(world, ALICE, link_only=True)
    world.work()
    assert course.choose(world.tools, world.rows(delivery)[-1].id, "fawn", world.clock())
    world.work()
    world.sign_up(ALICE, "flight")
    world.work()
    signup.confirm(world.tools, world.token(world.mails(ALICE)[-1], "newest"), world.clock())
    world.days(1)
    assert {row.pattern for row in world.rows(enrollment)} == {"freeze", "fawn", "flight"}
    assert set(world.lessons(ALICE)) == {READY}
    assert len(world.lessons(ALICE)) > 2


def test_with_the_funnels_setting_every_reader_gets_a_link_whatever_they_chose(world: World, tmp_path: Path) -> None:
    join(world, ALICE, link_only=False)
    world.work()
    for room in ("sequences", "emails"):
        shutil.copytree(ROOT / room, tmp_path / "content" / room)
    toml = tmp_path / "content/sequences" / NAME / "funnel.toml"
    toml.write_text(toml.read_text("utf-8").replace("[schedule]", "[sending]\nlink_only = true\n\n[schedule]"), "utf-8")
    publish(world.tools, tmp_path / "content", world.clock())
    world.days(2)
    assert world.lessons(ALICE) == [lessons(world)[0].source.subject, READY]


@pytest.mark.parametrize("link_only", [False, True])
def test_the_readers_own_data_tell_what_a_mail_holds_and_held(world: World, link_only: bool) -> None:
    join(world, ALICE, link_only=link_only)
    world.work()
    found = takeout.of_holder(world.tools, mailed(world), world.clock())
    held = "link" if link_only else "note"
    assert found
    assert found["person"]["mail"] == held
    assert [each["mail"] for each in found["notes"]] == [held]


def test_after_a_withdrawal_and_after_an_erasure_the_link_opens_nothing(world: World) -> None:
    join(world, ALICE, link_only=True)
    world.work()
    [mail] = notes(world, ALICE)
    rights.withdraw(world.tools, mailed(world), Purpose.SENSITIVE, world.clock())
    assert opened(world, mail) is None
    rights.erase(world.tools, mailed(world), world.clock())
    assert opened(world, mail) is None
    assert world.rows(subscriber) == []


def test_whoever_comes_back_after_an_erasure_is_nobody_who_chose_anything(world: World) -> None:
    join(world, ALICE, link_only=True)
    world.work()
    rights.erase(world.tools, mailed(world), world.clock())
    join(world, ALICE, link_only=False)
    world.work()
    assert world.lessons(ALICE)[-1] == lessons(world)[0].source.subject


@pytest.mark.parametrize("seed", [0, 3])
def test_whenever_somebody_chooses_each_mail_is_as_chosen_when_it_was_started(world: World, seed: int) -> None:
    chance, wanted, chosen = random.Random(seed), False, []
    join(world, ALICE, link_only=wanted)
    while len(world.lessons(ALICE)) < len(lessons(world)):
        if chance.random() < 0.5:
            plan.plan(world.tools, world.clock())
        if chance.random() < 0.5:
            wanted = not wanted
            with writing(world.tools.engine) as connection:
                positions.set_link_only(connection, world.rows(subscriber)[0].id, link_only=wanted)
        before = len(world.lessons(ALICE))
        world.work()
        chosen += [wanted] * (len(world.lessons(ALICE)) - before)
        if chance.random() < 0.5:
            world.clock.forward(hours=chance.choice([1, 9, 24]))
    assert [subject == READY for subject in world.lessons(ALICE)] == chosen
    sent = [row.lesson_id for row in world.rows(delivery) if row.state is None]
    assert len(set(sent)) == len(sent) == len(chosen)


def test_in_a_funnel_of_links_an_author_sees_what_its_readers_get(world: World) -> None:
    funnel = replace(world.funnel(), link_only=True)
    seen = specimen.lesson(world.tools, funnel, "a draft", "freeze-meet", {})
    assert (seen.subject, seen.preview) == (READY, "It keeps until you have a moment.")
    assert f"{BASE_URL}{specimen.NOWHERE}" in seen.html
