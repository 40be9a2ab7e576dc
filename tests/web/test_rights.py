"""Your data, in a browser: the same reply for everybody, nothing shown before a button, everything done by forms."""

import json
import re

import pytest

from funnel.core.consent import Standing
from funnel.flow import takeout
from funnel.store import subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import delivery, enrollment, notice, subscriber, suppression, tombstone
from tests.conftest import BASE_URL, Clock
from tests.robot import Page
from tests.web.conftest import Site, opened
from tests.web.everybody import PEOPLE
from tests.web.shape import Shape
from tests.web.test_same_reply import known
from tests.world import ALICE

__all__ = ["known"]  # a fixture
GIVEN = "Nadezhda"


def ask(site: Site, address: str = ALICE) -> str:
    """The path of a fresh link."""
    assert site.client.post(site.at("data"), data={"email": address}).status_code == 200
    site.world.work()
    return site.link(address, "my page")


@pytest.fixture
def joined(site: Site) -> Site:
    site.join(ALICE)
    with reading(site.world.tools.engine) as connection:
        assert subscribers.by_hash(connection, site.world.tools.keyring.address_hashes(ALICE))
    return site


def test_the_form_answers_the_same_for_every_address(known: Site) -> None:
    def reply(address: str) -> tuple[int, list[tuple[str, str]], str]:
        found = known.other().client.post(known.at("data"), data={"email": address})
        return found.status_code, found.headers.multi_items(), found.text

    seen = {person: reply(address) for person, address in PEOPLE.items()}
    for person, found in seen.items():
        assert found == seen["new"], person
        assert PEOPLE[person] not in found[2]
    before = len(known.world.mails())
    known.world.work()
    answered = {mail.to for mail in known.world.mails()[before:]}
    assert answered == {PEOPLE[who] for who in ("pending", "active", "unsubscribed", "deleted", "mailed often")}


def test_the_button_on_a_lessons_pages_sends_a_fresh_link_to_the_reader(joined: Site) -> None:
    lesson = joined.world.mails(ALICE)[-1]
    for count, words in enumerate(("Read in", "Stop", "hoose"), 1):
        [form] = [form for form in joined.page(path_of(lesson.link(words))).forms if "/data/" in form.action]
        found = joined.other().client.post(form.action)
        assert found.status_code == 200
        assert ALICE not in found.text
        joined.world.work()
        assert len([mail for mail in joined.world.mails(ALICE) if "asked for" in mail.subject]) == count


def path_of(target: str) -> str:
    return target.removeprefix(BASE_URL)


def test_a_forwarded_lesson_reaches_nothing_personal(joined: Site) -> None:
    """Every page and every form that its links lead to: none shows the address or lets anybody at the data."""
    stranger = joined.other()
    targets = {path_of(target) for _, target in Page("", joined.world.mails(ALICE)[-1].html).links}
    tokens = {path.split("/")[2] for path in targets if re.fullmatch("/[ruo]/[^/]+", path)}
    assert len(tokens) == 3
    answers = [stranger.client.get(path).text for path in targets if path.startswith("/")]
    for form in (form for text in answers for form in Page(BASE_URL, text).forms if "/data/" in form.action):
        answers.append(stranger.client.post(form.action).text)
    for token in tokens:
        for path in (f"/d/{token}", f"/d/{token}/json", f"/d/{token}/erase", f"/a/{token}", f"/data/d/{token}"):
            found = stranger.client.post(path, data={"sure": "yes"})
            assert found.status_code == 404, path
            answers.append(found.text)
    assert not [text for text in answers if ALICE in text]
    assert len(joined.world.rows(subscriber)) == 1


def test_opening_a_link_shows_nothing_and_changes_nothing(joined: Site) -> None:
    door = ask(joined)
    swap = _swap_link(joined, door)
    before = joined.dump()
    for path in (door, swap, joined.at("data")):
        for _ in range(3):
            found = joined.other().client.get(path)
            assert ALICE not in found.text
            assert "freeze" not in found.text.lower()
            joined.other().client.head(path)
    for act in ("json", "html", "correct", "address", "pause", "resume", "withdraw", "erase", "close", "again"):
        assert joined.client.get(f"{door}/{act}").status_code == 405
    assert joined.dump() == before


def _swap_link(site: Site, door: str) -> str:
    site.client.post(f"{door}/address", data={"email": "other@example.org"})
    site.world.work()
    return site.link("other@example.org", "this address")


def test_the_page_is_no_ones_to_keep_and_tells_nothing_in_its_title(joined: Site) -> None:
    door = ask(joined)
    shown = joined.client.post(door)
    assert ALICE in shown.text
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["x-robots-tag"] == "noindex"
    assert Shape(shown.text).title == f"Your data · {joined.funnel.title}"


def test_the_downloads_hold_everything_and_need_nothing(joined: Site) -> None:
    door = ask(joined)
    joined.client.post(f"{door}/correct", data={"first_name": GIVEN})
    as_json = joined.client.post(f"{door}/json")
    assert as_json.headers["content-disposition"] == 'attachment; filename="my-data.json"'
    found = json.loads(as_json.content)
    assert found["format"] == takeout.FORMAT
    assert (found["person"]["address"], found["person"]["first_name"]) == (ALICE, GIVEN)
    as_html = joined.client.post(f"{door}/html")
    assert as_html.headers["content-disposition"] == 'attachment; filename="my-data.html"'
    assert as_html.headers["cache-control"] == "no-store"
    for text in (ALICE, GIVEN, *joined.funnel.wordings.values()):
        assert str(text).replace("'", "&#39;") in as_html.text
    assert not re.search(r"(src|href|url)\s*[=(]", as_html.text)
    assert "{{" not in as_html.text


def test_what_is_typed_is_text_wherever_it_shows(joined: Site) -> None:
    door = ask(joined)
    joined.client.post(f"{door}/correct", data={"first_name": "<b onclick=x>&\"'{{7*7}}"})
    for shown in (joined.client.post(door), joined.client.post(f"{door}/html")):
        assert "<b onclick" not in shown.text
        assert "&lt;b onclick=x&gt;" in shown.text
        assert "49" not in Page("", shown.text).text.split("{{")[0][-4:]


def test_erasing_needs_the_box_and_then_leaves_a_tombstone_and_a_hash(joined: Site) -> None:
    door = ask(joined)
    refused = joined.client.post(f"{door}/erase")
    assert refused.status_code == 400
    assert "tick the box" in refused.text
    assert len(joined.world.rows(subscriber)) == 1
    erased = joined.client.post(f"{door}/erase", data={"sure": "yes"})
    assert erased.status_code == 200
    assert "Erased" in erased.text
    assert joined.world.rows(subscriber) == joined.world.rows(notice) == joined.world.rows(delivery) == []
    assert len(joined.world.rows(suppression)) == len(joined.world.rows(tombstone)) == 1
    for again in (joined.client.get(door), joined.client.post(door), joined.client.post(f"{door}/erase")):
        assert again.status_code == 404


def test_a_closed_link_offers_a_new_one(joined: Site) -> None:
    door = ask(joined)
    assert "Closed" in joined.client.post(f"{door}/close").text
    shown = joined.client.post(f"{door}/json")
    assert shown.status_code == 410
    assert ALICE not in shown.text
    joined.client.post(f"{door}/again")
    joined.world.work()
    assert ALICE in joined.client.post(joined.link(ALICE, "my page")).text


def test_a_link_expires_after_an_hour(joined: Site, clock: Clock) -> None:
    door = ask(joined)
    clock.forward(seconds=3599)
    assert joined.client.post(door).status_code == 200
    clock.forward(seconds=1)
    assert joined.client.post(door).status_code == 410


def test_pausing_and_going_on_are_one_press_each(joined: Site) -> None:
    door = ask(joined)
    course = str(joined.world.rows(enrollment)[0].id)
    assert "Go on with the notes" in joined.client.post(f"{door}/pause", data={"course": course}).text
    assert joined.world.rows(enrollment)[0].state == "paused"
    assert "Pause the notes" in joined.client.post(f"{door}/resume", data={"course": course}).text
    assert joined.world.rows(enrollment)[0].state == "active"


@pytest.mark.parametrize("course", ["", "x", "-1", "0", "9" * 30, "١"])
def test_no_strange_course_is_paused(joined: Site, course: str) -> None:
    assert joined.client.post(f"{ask(joined)}/pause", data={"course": course}).status_code == 200
    assert joined.world.rows(enrollment)[0].state == "active"


def test_a_consent_that_was_taken_back_is_not_offered_again(joined: Site) -> None:
    door = ask(joined)
    shown = joined.client.post(f"{door}/withdraw", data={"purpose": "course"})
    assert "Taken back" in shown.text
    assert joined.world.rows(subscriber)[0].state == Standing.UNSUBSCRIBED
    offered = [each.value for form in Page("", shown.text).forms for each in form.buttons if each.name == "purpose"]
    assert offered == ["sensitive"]
    assert joined.client.post(f"{door}/withdraw", data={"purpose": "anything"}).status_code == 400


def test_a_new_address_is_asked_first(joined: Site) -> None:
    door = ask(joined)
    assert joined.client.post(f"{door}/address", data={"email": "nonsense"}).status_code == 400
    swap = _swap_link(joined, door)
    assert joined.client.post(swap).status_code == 200
    assert joined.client.post(swap).status_code == 410
    assert joined.client.get(swap).status_code == 410
    assert joined.client.get("/a/unknown").status_code == 404


def test_two_who_press_at_once_harm_nothing(joined: Site) -> None:
    door = ask(joined)
    with writing(joined.world.tools.engine) as connection:
        connection.execute(notice.update().values(expires_ms=0))
    for act in ("json", "html", "correct", "pause", "withdraw", "erase", "close"):
        assert joined.client.post(f"{door}/{act}").status_code == 410, act
    assert joined.client.post(f"{door}/nonsense").status_code == 404


@pytest.mark.parametrize(("act", "filled"), [("address", {"email": "alice.new@example.org"}), ("again", {})])
def test_what_has_us_send_mail_may_be_asked_for_only_so_often(
    site: Site, clock: Clock, act: str, filled: dict[str, str]
) -> None:
    env = {"FUNNEL_VISITOR_RATE": "5/h", "FUNNEL_PROXIES": "1"}
    with opened(site.world.tools, clock, site.world.folder.parent, **env) as strict:
        strict.join(ALICE)
        door = ask(strict)
        sent = {"x-forwarded-for": "203.0.113.7"}
        answers = [strict.client.post(f"{door}/{act}", data=filled, headers=sent).status_code for _ in range(5)]
        assert answers == [200] * 5
        before = strict.dump()
        refused = strict.client.post(f"{door}/{act}", data=filled, headers=sent)
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
        assert strict.dump() == before
        assert strict.client.post(f"{door}/json", headers=sent).status_code == 200
