"""The visitor's language: guessed, chosen, kept in the browser, and never a way in."""

import shutil
from pathlib import Path

import pytest

from funnel.core.quiz import Outcome
from funnel.core.sequence import Funnel
from funnel.flow.publish import publish
from funnel.store.tables import consent, subscriber
from tests.conftest import BASE_URL, ROOT
from tests.web.conftest import CONSENTS, Site, answers_for, answers_leading_to
from tests.web.shape import Shape, unstamped
from tests.world import ALICE, BOB

GERMAN = {"accept-language": "de-AT,de;q=0.9,en;q=0.5"}


def shown_in(html: str) -> str | None:
    return Shape(html).all("html")[0].get("lang")


def choose(site: Site, language: str, to: str) -> str:
    """Presses the switch; returns where it leads."""
    pressed = site.client.post("/language", data={"language": language, "to": to})
    assert pressed.status_code == 303
    return str(pressed.headers["location"])


@pytest.fixture
def german(funnel: Funnel) -> Funnel:
    return funnel.translations["de"]


@pytest.mark.parametrize(
    ("header", "locale"),
    [("de", "de"), ("de-CH;q=0.9, en;q=0.1", "de"), ("en-US", "en"), ("fr", "en"), ("", "en"), ("\xff;q=;,", "en")],
)
def test_the_first_guess_is_what_the_browser_asks_for(shared: Site, header: str, locale: str) -> None:
    shown = shared.client.get(f"/{shared.slug}", headers={b"accept-language": header.encode("latin-1")})
    assert (shown.status_code, shown_in(shown.text)) == (200, locale)
    assert shown.headers["content-language"] == locale
    assert shown.headers["vary"] == "Accept-Language, Cookie"
    assert shown.headers["cache-control"] == "no-store"


def test_the_choice_outweighs_the_guess_and_stays_on_every_page(site: Site) -> None:
    before = site.dump()
    assert choose(site, "de", f"/{site.slug}/how") == f"/{site.slug}/how"
    for path in ("", "/how", "/privacy", "/support", "/start", "/q/1"):
        shown = site.client.get(f"/{site.slug}{path}", headers={"accept-language": "en"})
        assert shown_in(shown.text) == "de", path
    assert shown_in(site.client.get("/no/such/page").text) == "de"
    choose(site, "en", f"/{site.slug}")
    assert shown_in(site.client.get(f"/{site.slug}", headers=GERMAN).text) == "en"
    assert site.dump() == before, "a language changes nothing but the browser"


def test_every_page_names_its_languages_and_the_one_it_is_in(shared: Site) -> None:
    shape = Shape(shared.client.get(f"/{shared.slug}/how", headers=GERMAN).text)
    buttons = [found for found in shape.all("button") if found.get("name") == "language"]
    assert [(each["value"], each["lang"], each.get("aria-current")) for each in buttons] == [
        *(("en", "en", None), ("de", "de", "true")),
    ]
    assert {found.get("value") for found in shape.all("input") if found.get("name") == "to"} == {f"/{shared.slug}/how"}


def test_the_cookie_of_the_choice_holds_nothing_else_and_leaving_quickly_removes_it(site: Site) -> None:
    choose(site, "de", "/")
    assert dict(site.client.cookies) == {"__Host-language": "de"}
    site.client.post("/leave", data={"from": site.slug})
    assert dict(site.client.cookies) == {}


@pytest.mark.parametrize("language", ["", "fr", "de\r\nSet-Cookie: a=b", "../de", "x" * 300])
def test_a_language_that_nobody_offers_is_refused(shared: Site, language: str) -> None:
    pressed = shared.client.post("/language", data={"language": language, "to": "/"})
    assert pressed.status_code == 400
    assert "set-cookie" not in pressed.headers


@pytest.mark.parametrize(
    "to",
    [
        *(
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "",
            "house",
            "/house/../x",
        ),
        *(
            "//evil.example/how",
            "/house?next=//evil.example",
            "/house#x",
            "/house/how\r\nX: y",
            "/house/%2f%2fevil",
        ),
    ],
)
def test_the_switch_leads_nowhere_but_to_a_page_of_ours(shared: Site, to: str) -> None:
    assert choose(shared, "de", to) == "/"
    shared.client.cookies.clear()


def test_the_switch_on_the_answer_to_a_form_leads_to_the_page_of_the_form(site: Site) -> None:
    site.join(ALICE)
    stop = site.link(ALICE, "Stop")
    for path in (f"{stop}/undo", f"{stop}/delete", stop):
        assert choose(site, "de", path) == stop
    assert shown_in(site.client.get(stop).text) == "de"


@pytest.mark.parametrize("cookie", ["fr", "garbage", "", "de;de", "\x01", "x" * 5000])
def test_a_cookie_that_is_no_choice_is_nobodys_business(shared: Site, cookie: str) -> None:
    headers = {b"cookie": f"__Host-language={cookie}".encode("latin-1"), b"accept-language": b"de"}
    shown = shared.other().client.get(f"/{shared.slug}", headers=headers)
    assert (shown.status_code, shown_in(shown.text)) == (200, "de")


def test_the_quiz_and_every_outcome_are_in_german(site: Site, german: Funnel) -> None:
    choose(site, "de", "/")
    asked = site.client.get(site.at("q/2")).text
    assert german.quiz.questions[1].text.partition("„")[0].strip() in asked
    for outcome in Outcome:
        page = site.take_quiz(answers_leading_to(site.funnel, outcome)[0]).text
        assert shown_in(page) == "de"
        if outcome in german.quiz.outcomes:
            assert german.quiz.outcomes[outcome].name.casefold() in page.casefold()
        else:
            assert "Heute führten mehr von deinen Antworten hierher" in page
            assert "\xa0%</b>" in page
        assert 'lang="en"' not in page.replace('value="en" lang="en"', "")


def test_a_visitor_reads_and_is_written_to_in_german_from_the_first_page_to_the_last(
    site: Site, german: Funnel
) -> None:
    choose(site, "de", f"/{site.slug}")
    site.take_quiz(answers_for(site.funnel, "freeze"))
    joining = site.client.get(site.at("join")).text
    for words in german.wordings.values():
        assert words in joining
    assert "Sieben Notizen: das stille Zimmer" in joining
    inbox = site.land(site.sign_up(ALICE, locale="de")).text
    site.world.work()
    mail = site.world.mails(ALICE)[-1]
    assert mail.subject in inbox
    link = mail.link("bestätigen").removeprefix(BASE_URL)
    elsewhere = site.other()  # the mail is opened in another browser, which knows nothing of the choice
    assert "Ein Klick, und es kann losgehen" in elsewhere.client.get(link).text
    assert "Danke, das ist bestätigt" in elsewhere.client.post(link).text
    site.world.work()
    lesson = site.world.mails(ALICE)[-1]
    assert lesson.subject == "Notiz 1 von 7: die Lampe"
    for words, said in (
        ("Browser", "Fugenmörtel"),
        ("Abbestellen", "Notizen abbestellen?"),
        ("wählen", "Was passt besser?"),
    ):
        page = elsewhere.client.get(lesson.link(words).removeprefix(BASE_URL)).text
        assert (shown_in(page), said in page) == ("de", True), words
    assert {row.locale for row in site.world.rows(subscriber)} == {"de"}
    assert {row.locale for row in site.world.rows(consent)} == {"de"}


def test_looking_at_a_readers_pages_in_another_language_changes_nothing(site: Site) -> None:
    site.join(ALICE)
    links = [site.link(ALICE, words) for words in ("Read", "Stop", "hoose")]
    before = site.dump()
    choose(site, "de", links[0])
    assert [shown_in(site.client.get(link).text) for link in links] == ["de"] * 3
    assert site.dump() == before


def test_a_form_is_agreed_to_in_the_language_it_was_shown_in_whatever_was_chosen_meanwhile(site: Site) -> None:
    choose(site, "de", "/")
    site.take_quiz(answers_for(site.funnel, "freeze"))
    shown = {
        found.get("name"): found.get("value") for found in Shape(site.client.get(site.at("join")).text).all("input")
    }
    choose(site, "en", "/")
    site.sign_up(ALICE, locale=str(shown["locale"]))
    assert {row.locale for row in site.world.rows(consent)} == {"de"}


@pytest.mark.parametrize("locale", ["fr", "", "de\x7f", "x" * 100])
def test_a_form_in_a_language_that_nobody_offers_is_in_the_one_that_was_shown(site: Site, locale: str) -> None:
    site.take_quiz(answers_for(site.funnel, "freeze"))
    assert site.sign_up(ALICE, locale=locale).status_code == 303
    assert {row.locale for row in site.world.rows(consent)} == {"en"}


def test_the_reply_is_the_same_for_a_known_and_an_unknown_address_in_german(site: Site) -> None:
    site.join(ALICE)
    replies = []
    for address in (ALICE, BOB):
        visitor = site.other()
        visitor.take_quiz(answers_for(site.funnel, "fawn"))
        shown = visitor.client.post(
            visitor.at("join"), data={"email": address, **CONSENTS, "locale": "de"}, headers=GERMAN
        )
        landed = visitor.client.get(visitor.at("inbox"), headers=GERMAN)
        replies.append((shown.status_code, unstamped(landed.text).replace(address, "")))
    assert replies[0] == replies[1]


def test_mistakes_and_errors_are_told_in_german(site: Site) -> None:
    choose(site, "de", "/")
    site.take_quiz(answers_for(site.funnel, "freeze"))
    refused = site.client.post(site.at("join"), data={"email": "x", "first_name": "\x07"}).text
    for said in ("Schau dir bitte die unten markierten Zeilen an", "bis zu 60 Buchstaben", "Ohne dieses Häkchen"):
        assert said in refused
    assert "Hier ist nichts" in site.client.get("/house/no/such/page").text
    assert "Es wurde nichts ausgewählt" in site.client.post(site.at("choose"), data={}).text


def test_what_is_not_translated_falls_back_and_is_marked_with_its_own_language(site: Site, tmp_path: Path) -> None:
    for room in ("sequences", "emails"):
        shutil.copytree(ROOT / room, tmp_path / "content" / room)
    for path in (tmp_path / "content").rglob("*.de.*"):
        if path.name != "quiz.de.toml":
            path.unlink()
    publish(site.world.tools, tmp_path / "content", site.world.clock())
    choose(site, "de", "/")
    for place in ("", "/how", "/privacy", "/support"):
        page = site.client.get(f"/{site.slug}{place}").text
        assert shown_in(page) == "de"
        assert ' lang="en"' in page.partition("<main")[2].partition("</main")[0], place
    assert 'lang="en"' not in site.client.get(site.at("q/1")).text.partition("<main")[2].partition("</main")[0]
    page = site.take_quiz(answers_for(site.funnel, "freeze")).text
    assert '<h1 lang="en">The Quiet Room</h1>' in page
    assert '<span lang="en">Yes, ' in site.client.get(site.at("join")).text
