"""Stopping the notes: by a mail program's one click, and by people."""

import re

import pytest

from funnel.core.consent import Standing
from funnel.store.tables import delivery, enrollment, subscriber
from tests.conftest import BASE_URL, Clock
from tests.web.conftest import Site, browser
from tests.web.shape import Shape
from tests.world import ALICE, BOB

PART = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
ONE_CLICK = [
    ("application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click"),
    ("multipart/form-data; boundary=b", PART),
    ("", b""),
]


@pytest.fixture
def joined(site: Site) -> Site:
    site.join(ALICE)
    return site


def header_link(site: Site) -> str:
    """What a mail program reads."""
    message = site.world.mails(ALICE)[-1].message
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    found = re.fullmatch(rf"<{BASE_URL}(/\S+)>", str(message["List-Unsubscribe"]))
    assert found
    return found[1]


def actions(text: str) -> list[str]:
    actions = [str(found["action"]) for found in Shape(text).all("form")]
    return [action for action in actions if action not in ("/leave", "/language")]


@pytest.mark.parametrize(("kind", "body"), ONE_CLICK, ids=["urlencoded", "multipart", "empty"])
def test_one_click_stops_everything_again_and_again(joined: Site, kind: str, body: bytes) -> None:
    link, program = header_link(joined), browser(joined.app)
    states = []
    for _ in range(3):
        answer = program.post(link, content=body, headers={"content-type": kind})
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        states.append(joined.dump())
    assert states[0] == states[1] == states[2]
    assert joined.world.rows(subscriber)[0].state == Standing.UNSUBSCRIBED
    joined.world.days(30)
    assert len(joined.world.lessons(ALICE)) == 1


def test_one_click_is_in_time_for_the_very_next_batch(joined: Site) -> None:
    joined.world.clock.forward(days=4)
    joined.client.post(header_link(joined))
    joined.world.work()
    assert len(joined.world.lessons(ALICE)) == 1


def test_one_readers_link_stops_only_that_reader(joined: Site) -> None:
    joined.other().join(BOB)
    joined.client.post(header_link(joined))
    states = {row.state for row in joined.world.rows(subscriber)}
    assert states == {Standing.UNSUBSCRIBED, Standing.ACTIVE}


def test_people_get_a_page_with_a_button_then_an_undo_and_a_way_to_be_forgotten(joined: Site) -> None:
    stop = joined.link(ALICE, "Stop")
    assert stop == header_link(joined)
    assert actions(joined.client.get(stop).text) == [stop, f"{stop}/delete", f"/data{stop}"]
    for shown in (joined.client.post(stop), joined.client.get(stop)):
        assert actions(shown.text) == [f"{stop}/undo", f"{stop}/delete", f"/data{stop}"]


def test_taken_back_within_a_day_the_notes_go_on_where_they_were(joined: Site, clock: Clock) -> None:
    stop = joined.link(ALICE, "Stop")
    joined.client.post(stop)
    clock.forward(hours=23)
    assert joined.client.post(f"{stop}/undo").status_code == 200
    before = joined.dump()
    assert joined.client.post(f"{stop}/undo").status_code == 200
    assert joined.dump() == before
    joined.world.days(30)
    assert joined.world.lessons(ALICE) == [each.source.subject for each in joined.funnel.patterns["freeze"].lessons]


def test_after_a_day_it_cannot_be_taken_back_but_stays_stopped(joined: Site, clock: Clock) -> None:
    stop = joined.link(ALICE, "Stop")
    joined.client.post(stop)
    clock.forward(hours=24, seconds=1)
    before = joined.dump()
    assert joined.client.post(f"{stop}/undo").status_code == 410
    assert joined.dump() == before


def test_deleted_the_result_is_gone_and_the_link_still_answers(joined: Site) -> None:
    stop, read, choose = (joined.link(ALICE, words) for words in ("Stop", "Read in", "hoose"))
    assert joined.client.post(f"{stop}/delete").status_code == 200
    assert {(row.lesson_id, row.batch_id) for row in joined.world.rows(delivery)} == {(None, None)}
    assert "freeze" not in str([row.pattern for row in joined.world.rows(enrollment)])
    before = joined.dump()
    for _ in range(2):
        for answer in (joined.client.get(stop), joined.client.post(stop), joined.client.post(f"{stop}/delete")):
            assert (answer.status_code, actions(answer.text)) == (200, [])
            assert "deleted" in answer.text
        for path in (f"{stop}/undo", choose):
            assert joined.client.post(path, data={"pattern": "fawn"}).status_code == 410
        assert joined.client.get(read).status_code == 404
    assert joined.dump() == before
    joined.world.days(30)
    assert len(joined.world.lessons(ALICE)) == 1


def test_who_has_left_can_read_on_but_cannot_be_signed_up_for_another_course(joined: Site) -> None:
    read, choose = joined.link(ALICE, "Read in"), joined.link(ALICE, "hoose")
    joined.client.post(joined.link(ALICE, "Stop"))
    before = joined.dump()
    assert joined.client.get(read).status_code == 200
    assert joined.client.get(choose).status_code == 200
    assert joined.client.post(choose, data={"pattern": "fawn"}).status_code == 410
    assert joined.dump() == before


def test_another_course_goes_on_from_its_first_note_and_repeats_nothing(joined: Site) -> None:
    choose = joined.link(ALICE, "hoose")
    offered = [
        found.get("value") for found in Shape(joined.client.get(choose).text).all("input") if found["name"] == "pattern"
    ]
    assert offered == [key for key in joined.funnel.patterns if key != "freeze"]
    assert joined.client.post(choose, data={"pattern": "fawn"}).status_code == 200
    before = joined.dump()
    assert joined.client.post(choose, data={"pattern": "fawn"}).status_code == 200
    assert joined.dump() == before
    joined.world.days(40)
    first = joined.funnel.patterns["freeze"].lessons[0].source.subject
    assert joined.world.lessons(ALICE) == [
        first,
        *(each.source.subject for each in joined.funnel.patterns["fawn"].lessons),
    ]


def test_a_lesson_page_tells_nobody_whose_it_was(site: Site) -> None:
    site.take_quiz({question.key: question.answers[0].key for question in site.funnel.quiz.questions})
    site.client.post(site.at("choose"), data={"pattern": "fawn"})
    site.land(site.sign_up(ALICE, "Alicia"))
    site.world.work()
    site.client.post(site.link(ALICE, "onfirm"))
    site.world.work()
    assert "Alicia" in site.world.mails(ALICE)[-1].text
    shown = site.other().client.get(site.link(ALICE, "Read in")).text
    assert "Alicia" not in shown
    assert ALICE not in shown
    assert not [path for path in re.findall(r'href="(/[^"]+)', shown) if path.startswith("/u/")]
