"""Choosing a link in place of the lesson: in the sign-up form, on the page of one's data, and what the link opens."""

import pytest

from funnel.store.tables import subscriber
from tests.web.conftest import CONSENTS, Site, answers_for
from tests.web.shape import Shape
from tests.web.test_rights import ask
from tests.world import ALICE

HELD = ("note", "link")


def chosen(html: str) -> str | None:
    """What the field says that a mail holds."""
    shape = Shape(html)
    [held] = [each for each in shape.all("select") if each["name"] == "mail"]
    assert held["aria-describedby"] in {each.get("id") for each in shape.all("p")}
    offered = [each for each in shape.all("option") if each.get("value") in HELD]
    assert [each["value"] for each in offered] == list(HELD)
    return next((each["value"] for each in offered if "selected" in each), None)


def test_the_sign_up_form_offers_the_note_and_keeps_what_was_chosen_when_it_comes_back(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "freeze"))
    assert chosen(site.client.get(site.at("join")).text) is None
    again = site.client.post(site.at("join"), data={"email": "nobody", "mail": "link", **CONSENTS})
    assert again.status_code == 400
    assert chosen(again.text) == "link"


def test_whoever_chooses_a_link_gets_one_and_it_opens_the_lesson(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "freeze"))
    site.land(site.sign_up(ALICE, mail="link"))
    site.world.work()
    site.client.post(site.link(ALICE, "onfirm"))
    site.world.work()
    mail = site.world.mails(ALICE)[-1]
    assert mail.subject == f"{site.funnel.title}: your note is ready"
    opened = site.other().client.get(site.link(ALICE, "Open the note"))
    lesson = site.funnel.patterns["freeze"].lessons[0]
    assert opened.status_code == 200
    assert lesson.source.subject in opened.text
    assert lesson.source.subject not in mail.html


@pytest.mark.parametrize("held", [*HELD, "", "both", "link\n"])
def test_a_reader_chooses_on_the_page_of_their_data_and_anything_else_is_the_note(site: Site, held: str) -> None:
    site.join(ALICE)
    path = ask(site)
    shown = site.client.post(path)
    assert chosen(shown.text) == "note"
    saved = site.client.post(f"{path}/correct", data={"first_name": "", "zone": "Europe/Berlin", "mail": held})
    assert saved.status_code == 200
    assert chosen(saved.text) == ("link" if held == "link" else "note")


def test_a_form_without_the_field_changes_nothing_of_it(site: Site) -> None:
    site.join(ALICE)
    path = ask(site)
    for data in ({"mail": "link"}, {}):
        site.client.post(f"{path}/correct", data={"first_name": "Al", "zone": "Europe/Berlin", **data})
    assert [row.link_only for row in site.world.rows(subscriber)] == [1]


def test_both_downloads_tell_the_choice(site: Site) -> None:
    site.join(ALICE)
    path = ask(site)
    site.client.post(f"{path}/correct", data={"first_name": "", "zone": "Europe/Berlin", "mail": "link"})
    assert site.client.post(f"{path}/json").json()["person"]["mail"] == "link"
    assert "Only a link; the note waits on its page" in site.client.post(f"{path}/html").text


def test_every_page_leads_to_the_readers_own_data(shared: Site) -> None:
    for page in ("", "/start", "/how", "/privacy", "/support", "/data"):
        shown = Shape(shared.client.get(f"/{shared.slug}{page}").text)
        assert f"/{shared.slug}/data" in {each.get("href") for each in shown.all("a")}, page
