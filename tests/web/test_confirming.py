"""The confirm link: every state it can be in, and what happens when it is pressed twice at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from funnel.store.tables import delivery, due, enrollment, subscriber
from tests.conftest import Clock
from tests.web.conftest import Site, answers_for, browser
from tests.web.shape import Shape, is_clear
from tests.world import ALICE, BOB

BOTH = pytest.mark.parametrize("published", ["sqlite", "postgresql"], indirect=True)
AT_ONCE = 8


def heading(text: str) -> str:
    return text.partition("<h1>")[2].partition("</h1>")[0]


def buttons(text: str) -> list[str | None]:
    """Where the page's forms go, but for those of every page."""
    actions = [found.get("action") for found in Shape(text).all("form")]
    return [action for action in actions if action not in ("/leave", "/language")]


def test_an_open_link_shows_one_button_and_says_nothing_of_the_topic(site: Site) -> None:
    link = site.apply()
    shown = site.other().client.get(link)
    assert (shown.status_code, buttons(shown.text)) == (200, [link])
    for word in (ALICE, "freeze", "Quiet Room", "pattern", "sex"):
        assert word not in shown.text


def test_pressing_the_button_confirms_and_pressing_again_changes_nothing(site: Site) -> None:
    link = site.apply()
    first = site.client.post(link)
    before = site.dump()
    again, looked = site.client.post(link), site.client.get(link)
    assert [each.status_code for each in (first, again, looked)] == [200, 200, 200]
    assert "confirmed" in heading(first.text)
    assert buttons(first.text + again.text + looked.text) == []
    assert site.dump() == before


def test_the_button_needs_neither_cookie_nor_form(site: Site) -> None:
    assert site.other().client.post(site.apply()).status_code == 200
    assert len(site.world.rows(enrollment)) == 1


def test_an_expired_link_changes_nothing_and_offers_a_new_mail_that_works(site: Site, clock: Clock) -> None:
    link = site.apply()
    clock.forward(hours=72)
    before = site.dump()
    for shown in (site.client.get(link), site.client.post(link)):
        assert (shown.status_code, buttons(shown.text)) == (410, [f"{link}/again"])
    assert site.dump() == before
    assert site.client.post(f"{link}/again").status_code == 200
    site.world.work()
    fresh = site.link(ALICE, "onfirm")
    assert fresh != link
    assert site.client.post(fresh).status_code == 200
    assert len(site.world.rows(enrollment)) == 1
    assert site.client.post(f"{link}/again").status_code == 200
    site.world.work()
    assert [mail.path.name.partition("-")[0] for mail in site.world.mails(ALICE)] == ["notice", "notice", "lesson"]


def test_one_millisecond_earlier_it_still_works(site: Site, clock: Clock) -> None:
    link = site.apply()
    clock.now_ms += 72 * 3_600_000 - 1
    assert site.client.post(link).status_code == 200


def test_a_link_to_a_mistyped_address_is_replaced_when_it_is_corrected(site: Site) -> None:
    link = site.apply(BOB)
    site.land(site.sign_up(ALICE))
    before = site.dump()
    for shown in (site.client.get(link), site.client.post(link)):
        is_clear(shown, 410, site.funnel)
        assert buttons(shown.text) == []
    assert site.dump() == before
    site.world.work()
    assert site.client.post(site.link(ALICE, "onfirm")).status_code == 200


def test_of_two_links_the_first_one_pressed_settles_both(site: Site) -> None:
    first, second = site.apply(pattern="freeze"), site.other().apply(pattern="fawn")
    assert site.client.post(second).status_code == 200
    before = site.dump()
    assert site.client.post(first).status_code == 410
    assert site.dump() == before
    assert [row.pattern for row in site.world.rows(enrollment)] == ["fawn"]


def test_signing_up_without_a_course_leads_back_to_the_result(site: Site) -> None:
    site.take_quiz({})
    before = site.dump()
    assert site.client.get(site.at("join")).headers["location"] == site.at("result")
    assert site.sign_up(ALICE).headers["location"] == site.at("result")
    site.take_quiz(answers_for(site.funnel, "fawn"))
    site.client.post(site.at("choose"), data={"pattern": "none"})
    assert site.sign_up(ALICE).headers["location"] == site.at("result")
    assert site.dump() == before


@BOTH
def test_a_button_pressed_many_times_at_once_enrolls_once(site: Site) -> None:
    link = site.apply()

    def press(_: int) -> int:
        return int(browser(site.app).post(link).status_code)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert set(pool.map(press, range(AT_ONCE))) == {200}
    assert (len(site.world.rows(enrollment)), len(site.world.rows(due))) == (1, 1)
    site.world.work()
    assert (len(site.world.rows(delivery)), len(site.world.lessons(ALICE))) == (1, 1)


@BOTH
def test_two_links_pressed_at_once_leave_one_course(site: Site) -> None:
    links = [site.other().apply(pattern=pattern) for pattern in ("freeze", "fawn", "fight")]

    def press(link: str) -> int:
        return int(browser(site.app).post(link).status_code)

    with ThreadPoolExecutor(len(links)) as pool:
        assert set(pool.map(press, links)) <= {200, 410}
    assert len([row for row in site.world.rows(enrollment) if row.state == "active"]) == 1


@BOTH
def test_signing_up_many_times_at_once_makes_one_person(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    kept = {"cookie": f"{site.cookie}={site.client.cookies[site.cookie]}"}

    def send(_: int) -> int:
        data = {"email": ALICE, "sensitive": "yes", "course": "yes"}
        return int(browser(site.app).post(site.at("join"), data=data, headers=kept).status_code)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert set(pool.map(send, range(AT_ONCE))) == {303}
    site.world.work()
    assert len(site.world.rows(subscriber)) == 1


@BOTH
def test_leaving_while_confirming_ends_in_one_of_the_two(site: Site) -> None:
    site.join(ALICE)
    stop, link = site.link(ALICE, "Stop"), ""
    site.client.post(stop)
    link = site.other().apply(ALICE, "fawn")

    def send(path: str) -> int:
        return int(browser(site.app).post(path).status_code)

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(send, [link, stop])) == {200}
    state = site.world.rows(subscriber)[0].state
    live = [row for row in site.world.rows(enrollment) if row.state == "active"]
    assert (state, len(live)) in {("active", 1), ("unsubscribed", 0)}
    site.world.days(40)
    whole = 1 + len(site.funnel.patterns["fawn"].lessons)
    assert len(site.world.lessons(ALICE)) == (whole if live else 1)
