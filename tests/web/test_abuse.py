"""Machines at the sign-up form, and people who look like one: limits, stamps, bait, work, and slips of the keyboard."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from funnel.core.limits import TOO_FAST_MS, TOO_OLD_MS, WAIT_MS, shows_work
from funnel.flow.tools import Tools
from funnel.store.tables import notice, subscriber
from funnel.store.tables import signup as signup_table
from tests.conftest import Clock
from tests.robot import Page
from tests.web.conftest import CONSENTS, Site, answers_for, browser, opened
from tests.web.shape import Shape, is_clear
from tests.world import ALICE, BOB

AFAR = {"FUNNEL_MAIL": "smtp://user:secret@mail.example.org"}  # mail that would leave this machine
ME = "203.0.113.7"


@pytest.fixture
def far(tools: Tools, clock: Clock, tmp_path: Path) -> Iterator[Site]:
    """A site whose mail leaves the machine; one visitor has their result."""
    with opened(tools, clock, tmp_path, **AFAR) as site:
        site.take_quiz(answers_for(site.funnel, "fawn"))
        yield site


def fields(site: Site, html: str) -> dict[str, str]:
    """What a browser would send of the sign-up form, ticked and filled in."""
    form = next(form for form in Page("", html).forms if form.action.endswith("/join"))
    sent = {each.name: each.value for each in form.controls if each.kind not in ("button", "checkbox")}
    return {**sent, "email": ALICE, **CONSENTS}


def fill(site: Site, **more: str) -> dict[str, str]:
    return {**fields(site, site.client.get(site.at("join")).text), **more}


def reasons(site: Site) -> list[tuple[str | None, str | None]]:
    site.world.work()
    return [(row.state, row.reason) for row in site.world.rows(notice)]


# Limits


@pytest.fixture
def strict(tools: Tools, clock: Clock, tmp_path: Path) -> Iterator[Site]:
    env = {"FUNNEL_VISITOR_RATE": "3/h", "FUNNEL_FORM_RATE": "8/h", "FUNNEL_PROXIES": "1"}
    with opened(tools, clock, tmp_path, **env) as site:
        yield site


def flood(site: Site, address: str, times: int) -> list[int]:
    """From the status of each of so many sign-ups from this address."""
    visitor = site.other()
    visitor.take_quiz(answers_for(site.funnel, "fawn"))
    sent = {"x-forwarded-for": f"198.51.100.9, {address}"}
    data = {"email": ALICE, **CONSENTS}
    return [visitor.client.post(site.at("join"), data=data, headers=sent).status_code for _ in range(times)]


def test_a_visitor_who_sends_too_many_forms_is_asked_to_wait_whoever_they_say_they_are(strict: Site) -> None:
    assert flood(strict, ME, 5) == [303, 303, 303, 429, 429]
    assert flood(strict, "2001:db8::1", 2) + flood(strict, "2001:db8::2", 2) == [303, 303, 303, 429]


def test_everybody_together_may_send_so_many_and_then_nothing_is_written(strict: Site) -> None:
    assert [flood(strict, f"203.0.113.{each}", 1) for each in range(8)] == [[303]] * 8
    before = strict.dump()
    assert flood(strict, "203.0.113.99", 2) == [429, 429]
    assert strict.dump() == before


def test_the_page_about_it_is_friendly_and_says_when(strict: Site, clock: Clock) -> None:
    visitor = strict.other()
    visitor.take_quiz(answers_for(strict.funnel, "fawn"))
    visitor.land(visitor.sign_up(ALICE))
    for path in ("inbox", "inbox", "inbox"):
        refused = visitor.client.post(strict.at(path))
    is_clear(refused, 429, strict.funnel)
    assert int(refused.headers["retry-after"]) == 1200
    clock.forward(seconds=1200)
    assert visitor.client.post(strict.at("inbox")).status_code == 200


def test_reading_and_confirming_and_leaving_are_never_limited(strict: Site) -> None:
    link = strict.apply()
    for _ in range(12):
        assert strict.client.get(strict.at("join")).status_code == 200
        assert strict.client.post(link).status_code == 200
    strict.world.work()
    assert {strict.client.post(strict.link(ALICE, "Stop")).status_code for _ in range(12)} == {200}


def test_no_address_of_a_visitor_is_written_anywhere(strict: Site, capfd: pytest.CaptureFixture[str]) -> None:
    flood(strict, "203.0.113.77", 5)
    strict.world.work()
    files = b"".join(path.read_bytes() for path in strict.world.folder.parent.rglob("*") if path.is_file())
    held = repr(strict.dump()) + repr(vars(strict.app.state.site.doors._held)) + "".join(capfd.readouterr())
    assert "203.0.113.77" not in held
    assert b"203.0.113.77" not in files


# Stamps


def test_the_forms_of_a_quiz_are_taken_only_from_the_browser_they_were_shown_to(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    site.land(site.sign_up(ALICE))
    theirs = browser(site.app)
    theirs.post(site.at("start"))
    before = site.dump()
    forms = {"q/1": {"answer": "none"}, "choose": {"pattern": "none"}, "inbox": {}, "join": {"email": BOB, **CONSENTS}}
    for path, data in forms.items():
        for stamp in (theirs.stamp()["form"], "", "x" * 32, "é"):  # type: ignore[attr-defined]
            refused = site.client.post(site.at(path), data={**data, "form": stamp})
            is_clear(refused, 403, site.funnel)
            assert "set-cookie" not in refused.headers
    assert site.dump() == before


def test_every_form_that_needs_a_stamp_shows_the_one_that_is_taken(site: Site, clock: Clock) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    for path, data in {
        "q/2": {"answer": "none"},
        "result": {"pattern": "fawn"},
        "join": {"email": ALICE, **CONSENTS},
        "inbox": {},
    }.items():
        form = next(each for each in site.page(site.at(path)).forms if f"/{site.slug}/" in each.action)
        stamp = next(each.value for each in form.controls if each.name == "form")
        clock.forward(hours=5)
        assert site.client.post(form.action, data={**data, "form": stamp}).status_code in (200, 303), path


def test_a_tab_that_was_open_too_long_gets_a_kind_page_with_what_was_typed(far: Site, clock: Clock) -> None:
    typed = fill(far, first_name="Alice")
    clock.now_ms += TOO_OLD_MS + 1
    before = far.dump()
    shown = far.client.post(far.at("join"), data=typed)
    is_clear(shown, 403, far.funnel)
    shape = Shape(shown.text)
    held = {each.get("name"): each.get("value") for each in shape.all("input")}
    assert (held["email"], held["first_name"]) == (ALICE, "Alice")
    assert shape.checked == ["sensitive", "course"]
    assert far.dump() == before
    clock.forward(seconds=3)
    assert far.client.post(far.at("join"), data=fields(far, shown.text)).status_code == 303


# Programs that fill in forms


def test_who_is_faster_than_anybody_types_is_answered_like_all_and_gets_no_mail(far: Site, clock: Clock) -> None:
    fast, slow = fill(far), fill(far, email=BOB)
    quick = far.client.post(far.at("join"), data=fast)
    clock.now_ms += TOO_FAST_MS
    calm = far.client.post(far.at("join"), data=slow)
    assert (quick.status_code, quick.headers["location"]) == (calm.status_code, calm.headers["location"])
    assert reasons(far) == [("skipped", "faster than anybody types"), (None, None)]
    assert [mail.to for mail in far.world.mails()] == [BOB]


def test_who_fills_in_what_nobody_sees_is_answered_like_all_and_gets_no_mail(far: Site, clock: Clock) -> None:
    typed = fill(far, website="https://elsewhere.example")
    clock.forward(seconds=5)
    assert far.client.post(far.at("join"), data=typed).status_code == 303
    assert reasons(far) == [("skipped", "filled in what nobody sees")]


def test_a_person_taken_for_a_program_still_gets_the_mail_by_asking_for_it(far: Site, clock: Clock) -> None:
    far.land(far.client.post(far.at("join"), data=fill(far)))
    far.world.work()
    clock.forward(seconds=20)
    assert far.client.post(far.at("inbox")).status_code == 200
    assert reasons(far)[1:] == [(None, None)]
    assert [mail.to for mail in far.world.mails()] == [ALICE]


def test_the_bait_is_nothing_to_people_and_has_no_style_of_its_own(far: Site) -> None:
    shape = Shape(far.client.get(far.at("join")).text)
    bait = next(each for each in shape.all("input") if each.get("name") == "website")
    assert (bait["tabindex"], bait["autocomplete"], bait["value"]) == ("-1", "off", "")
    assert "style" not in bait
    css = next(Path("funnel/web/static").glob("style.css")).read_text()
    assert ".bait { display: none; }" in css


# A crowd


@pytest.fixture
def crowded(tools: Tools, clock: Clock, tmp_path: Path) -> Iterator[Site]:
    """Ten times the usual sign-ups have arrived."""
    with opened(tools, clock, tmp_path, **AFAR, FUNNEL_USUAL_RATE="1/m") as site:
        site.take_quiz(answers_for(site.funnel, "fawn"))
        for _ in range(60):
            site.app.state.site.doors.arrive(clock())
        yield site


def work_for(form: dict[str, str]) -> str:
    return next(str(n) for n in itertools.count() if shows_work(form["form"], str(n)))


def test_in_a_crowd_a_form_needs_a_second_of_work_and_each_work_counts_once(crowded: Site, clock: Clock) -> None:
    form = fill(crowded)
    clock.forward(seconds=3)
    before = crowded.dump()
    refused = crowded.client.post(crowded.at("join"), data=form)
    is_clear(refused, 429, crowded.funnel)
    assert Shape(refused.text).checked == ["sensitive", "course"]
    assert crowded.dump() == before
    form = fields(crowded, refused.text)
    worked = {**form, "work": work_for(form)}
    clock.forward(seconds=3)
    assert crowded.client.post(crowded.at("join"), data=worked).status_code == 303
    assert crowded.client.post(crowded.at("join"), data=worked).status_code == 429
    assert reasons(crowded) == [(None, None)]


def test_without_scripts_half_a_minute_of_waiting_does_instead(crowded: Site, clock: Clock) -> None:
    form = fill(crowded)
    clock.now_ms += WAIT_MS - 1
    assert crowded.client.post(crowded.at("join"), data=form).status_code == 429
    clock.now_ms += 1
    assert crowded.client.post(crowded.at("join"), data=form).status_code == 303


def test_the_work_is_asked_for_only_while_there_is_a_crowd(crowded: Site, clock: Clock) -> None:
    assert "data-work" in crowded.client.get(crowded.at("join")).text
    clock.forward(hours=1)
    assert "data-work" not in crowded.client.get(crowded.at("join")).text
    form = fill(crowded)
    clock.forward(seconds=3)
    assert crowded.client.post(crowded.at("join"), data=form).status_code == 303


# Slips of the keyboard


def test_a_likely_slip_is_asked_about_and_never_corrected_by_itself(far: Site, clock: Clock) -> None:
    typed = fill(far, email="alice@gmial.com")
    clock.forward(seconds=3)
    before = far.dump()
    asked = far.client.post(far.at("join"), data=typed)
    assert asked.status_code == 200
    assert "Did you mean gmail.com?" in asked.text
    assert far.dump() == before
    buttons = {
        each.label: each.value for form in Page("", asked.text).forms for each in form.buttons if each.name == "meant"
    }
    assert buttons == {"It's right as I typed it": "typed", "Yes, use gmail.com": "gmail.com"}
    again = {**fields(far, asked.text), "email": "alice@gmial.com"}
    clock.forward(seconds=3)
    for meant in ("gmail.com", "typed"):
        assert far.client.post(far.at("join"), data={**again, "meant": meant}).status_code == 303
        far.world.work()
    assert {mail.to for mail in far.world.mails()} == {"alice@gmail.com", "alice@gmial.com"}


@pytest.mark.parametrize("meant", ["evil.example", "", "GMAIL.COM", "gmail.com\n", "outlook.com"])
def test_only_what_was_asked_about_can_be_meant(far: Site, clock: Clock, meant: str) -> None:
    typed = fill(far, email="alice@gmial.com", meant=meant)
    clock.forward(seconds=3)
    before = far.dump()
    assert far.client.post(far.at("join"), data=typed).status_code == 200
    assert far.dump() == before


def test_an_address_that_is_right_is_not_turned_into_another(far: Site, clock: Clock) -> None:
    clock.forward(seconds=3)
    typed = fill(far, meant="gmail.com")
    assert far.client.post(far.at("join"), data=typed).status_code == 303
    assert [row.state for row in far.world.rows(signup_table)] == ["asked"]


# "This wasn't me"


def test_this_was_not_me_deletes_the_sign_up_and_nobody_can_ask_again_for_this_address(site: Site) -> None:
    link = site.apply()
    assert f'href="{link}/not-me"' in site.client.get(link).text
    kept = site.dump()
    asked = site.other().client.get(f"{link}/not-me")
    assert "never write to me" in asked.text
    assert site.dump() == kept
    told = site.other().client.post(f"{link}/not-me")
    assert (told.status_code, "Thank you for telling us" in told.text) == (200, True)
    assert site.client.post(link).status_code == 410
    before = len(site.world.mails(ALICE))
    visitor = site.other()
    visitor.take_quiz(answers_for(site.funnel, "fawn"))
    visitor.land(visitor.sign_up(ALICE))
    site.world.work()
    assert len(site.world.mails(ALICE)) == before
    assert site.client.post(f"{link}/not-me").status_code == 200


def test_who_disowns_what_a_stranger_asked_for_keeps_their_own_notes(site: Site, clock: Clock) -> None:
    stranger = site.other()
    link = stranger.apply()
    other = site.other()
    other.take_quiz(answers_for(site.funnel, "fawn"))
    other.land(other.sign_up(ALICE))
    clock.forward(hours=2)
    site.world.work()
    second = site.link(ALICE, "onfirm")
    site.client.post(link)
    site.world.work()
    assert site.client.post(f"{second}/not-me").status_code == 200
    assert [row.state for row in site.world.rows(subscriber)] == ["active"]


def test_a_confirmed_link_disowns_nothing(site: Site) -> None:
    link = site.apply()
    site.client.post(link)
    before = site.dump()
    assert "Already confirmed" in site.client.post(f"{link}/not-me").text
    assert site.dump() == before
