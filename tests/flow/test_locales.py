"""People who read another language: their mails, their consents, and who shares a batch with whom."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import update

from funnel.core.consent import wording_hash
from funnel.flow import admission, course, signup, takeout
from funnel.flow.people import Request
from funnel.flow.publish import publish
from funnel.store.db import writing
from funnel.store.tables import batch, consent, delivery, due, enrollment, subscriber, wording
from tests.conftest import ROOT
from tests.world import ALICE, BOB, CHARLIE, World


def sign_up(world: World, address: str, locale: str, pattern: str = "freeze") -> int:
    asked = Request("", pattern, None, "Europe/Berlin", locale)
    found = signup.sign_up(world.tools, world.revision_id(), address, asked, world.clock())
    admission.admit(world.tools, world.clock())
    return found


def confirm(world: World, address: str) -> signup.Confirmable:
    words = "bestätigen" if "bestätige" in world.mails(address)[-1].subject else "onfirm"
    return signup.confirm(world.tools, world.token(world.mails(address)[-1], words), world.clock())


def join_all(world: World, locales: dict[str, str]) -> None:
    """All of them confirm before the worker wakes: who can share a batch does."""
    for address, locale in locales.items():
        sign_up(world, address, locale)
    world.work()
    for address in locales:
        confirm(world, address)


def untranslate(world: World, folder: Path, *kept: str) -> None:
    """Publishes the shipped content with no other translations than these files."""
    for room in ("sequences", "emails"):
        shutil.copytree(ROOT / room, folder / room)
    for path in folder.rglob("*.de.*"):
        if path.name not in kept and path.parent.name != "service":
            path.unlink()
    publish(world.tools, folder, world.clock())


def test_a_reader_gets_the_confirm_mail_and_every_lesson_in_their_language(world: World) -> None:
    sign_up(world, ALICE, "de")
    world.work()
    asked = world.mails(ALICE)[-1]
    assert asked.subject == "Hausnotizen: bitte bestätige deine Adresse"
    assert 'lang="de"' in asked.html
    assert "Unterstützung:" in asked.text
    assert confirm(world, ALICE).locale == "de"
    world.days(15)
    spoken = world.funnel().translations["de"].patterns["freeze"]
    assert world.lessons(ALICE) == [lesson.source.subject for lesson in spoken.lessons]
    last = world.mails(ALICE)[-1]
    assert "Abbestellen" in last.html
    assert "Datenschutz:" in last.text
    assert {row.locale for row in world.rows(subscriber)} == {"de"}


def test_the_headers_name_the_language_and_the_senders_name_is_in_it(world: World) -> None:
    join_all(world, {ALICE: "de", BOB: "en"})
    world.work()
    for address, locale, name in ((ALICE, "de", "Hausnotizen"), (BOB, "en", "House Notes")):
        raw = world.mails(address)[-1].path.read_text()
        assert f"\nContent-Language: {locale}\n" in raw.replace("\r\n", "\n")
        assert f"From: {name} <" in raw


def test_the_data_of_a_reader_names_course_and_pattern_as_they_know_them(world: World) -> None:
    join_all(world, {ALICE: "de", BOB: "en"})
    main = world.funnel()
    for address, spoken in ((ALICE, main.translations["de"]), (BOB, main)):
        found = takeout.of_address(world.tools, address, world.clock())
        assert found is not None
        assert {each["site"] for part in ("courses", "sign_ups", "service_mails") for each in found[part]} == {
            spoken.title
        }
        assert found["courses"][0]["pattern_name"] == spoken.patterns["freeze"].name
    assert main.translations["de"].title != main.title


def test_what_was_agreed_to_is_kept_in_the_words_and_the_language_that_were_shown(world: World) -> None:
    join_all(world, {ALICE: "de"})
    spoken = world.funnel().translations["de"].wordings
    kept = {row.hash: row.text for row in world.rows(wording)}
    rows = world.rows(consent)
    assert {row.locale for row in rows} == {"de"}
    assert [(row.purpose, row.wording_hash, row.action) for row in rows] == [
        (purpose, wording_hash(text), action) for action in ("given", "confirmed") for purpose, text in spoken.items()
    ]
    assert {kept[row.wording_hash] for row in rows} == set(spoken.values())


def test_consents_that_nobody_has_translated_are_kept_in_the_language_they_were_shown_in(
    world: World, tmp_path: Path
) -> None:
    untranslate(world, tmp_path / "content")
    join_all(world, {ALICE: "de"})
    main = world.funnel()
    assert {(row.locale, row.wording_hash) for row in world.rows(consent)} == {
        ("en", wording_hash(text)) for text in main.wordings.values()
    }


def test_a_lesson_that_is_translated_is_a_batch_of_its_own_and_another_is_shared(world: World, tmp_path: Path) -> None:
    untranslate(world, tmp_path / "content", "01-meet.de.md", "funnel.de.toml")
    join_all(world, {ALICE: "de", BOB: "en", CHARLIE: "de"})
    world.days(2)
    lessons = [(row.segment, row.size) for row in world.rows(batch) if row.kind == "lesson"]
    assert sorted(lessons) == [("", 1), ("", 3), ("locale=de", 2)]
    assert world.lessons(ALICE) == ["Notiz 1 von 7: die Lampe", "Note 2 of 7: a slow clock"]
    assert 'lang="en"' in world.mails(ALICE)[-1].html


def test_notices_of_one_language_share_a_batch(world: World) -> None:
    for address, locale in {ALICE: "de", BOB: "en", CHARLIE: "de"}.items():
        sign_up(world, address, locale)
    world.work()
    assert sorted((row.segment, row.size) for row in world.rows(batch)) == [("confirm", 1), ("confirm,locale=de", 2)]


@pytest.mark.parametrize("locale", ["", "fr", "x" * 16])
def test_a_language_that_the_funnel_has_not_reads_the_main_one(world: World, locale: str) -> None:
    join_all(world, {ALICE: locale})
    world.work()
    assert world.lessons(ALICE) == ["Note 1 of 7: the lamp"]


def test_whoever_changes_language_after_a_lesson_was_scheduled_gets_it_in_the_new_one_once(world: World) -> None:
    join_all(world, {ALICE: "en", BOB: "en"})
    world.work()
    sign_up(world, ALICE, "de")
    world.work()
    assert world.mails(ALICE)[-1].subject == "Hausnotizen: du stehst schon auf der Liste"
    token = world.token(world.mails(ALICE)[-1], "neueste")
    signup.confirm(world.tools, token, world.clock())
    assert {row.locale for row in world.rows(due)} == {"en"}, "the due row lags behind: start compares"
    world.days(2)
    assert world.lessons(ALICE) == ["Note 1 of 7: the lamp", "Notiz 2 von 7: eine langsame Uhr"]
    assert world.lessons(BOB) == ["Note 1 of 7: the lamp", "Note 2 of 7: a slow clock"]
    assert len({(row.subscriber_id, row.lesson_id) for row in world.rows(delivery)}) == len(world.rows(delivery))


def test_nothing_of_a_known_reader_changes_before_the_new_language_is_confirmed(world: World) -> None:
    join_all(world, {ALICE: "en"})
    world.work()
    sign_up(world, ALICE, "de")
    world.work()
    assert {row.locale for row in (*world.rows(subscriber), *world.rows(enrollment))} == {"en"}


def test_another_course_goes_on_in_the_readers_language(world: World) -> None:
    join_all(world, {ALICE: "de"})
    world.work()
    sent = world.rows(delivery)[-1]
    assert course.choose(world.tools, sent.id, "fawn", world.clock()) is not None
    world.days(1)
    assert "Notiz 1 von 7: die Gästehandtücher" in world.lessons(ALICE)


def test_the_link_of_a_lesson_tells_its_readers_language(world: World) -> None:
    join_all(world, {ALICE: "de"})
    world.work()
    found = course.reader_of(world.tools, world.rows(delivery)[-1].id)
    assert found is not None
    assert found.locale == "de"


def test_readers_from_before_there_were_languages_read_the_main_one(world: World) -> None:
    join_all(world, {ALICE: "en"})
    with writing(world.tools.engine) as connection:
        for table in (enrollment, due):
            connection.execute(update(table).values(locale=""))
    world.days(1)
    assert world.lessons(ALICE) == ["Note 1 of 7: the lamp", "Note 2 of 7: a slow clock"]
