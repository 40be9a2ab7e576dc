"""Links: what is not ours opens nothing, and looking at what is ours changes nothing."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from funnel.flow.tools import Tools
from tests.conftest import BASE_URL, Clock
from tests.robot import Page
from tests.web.conftest import Site, answers_for, opened, operator
from tests.web.shape import is_clear
from tests.world import ALICE, BOB

METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE", "BREW")
ENDINGS = {"c": ("", "/again", "/not-me"), "r": ("", "/cooked"), "u": ("", "/undo", "/delete"), "o": ("",)}


@pytest.fixture(scope="module")
def joined(shared: Site) -> Site:
    """Alice has a lesson; Bob has a confirm mail and has not opened it."""
    shared.join(ALICE)
    shared.other().apply(BOB)
    return shared


def ours(site: Site) -> dict[str, str]:
    """A real token of each kind."""
    known = {"r": "Read in", "u": "Stop", "o": "hoose"}
    return {
        "c": site.link(BOB, "onfirm").split("/")[2],
        **{k: site.link(ALICE, w).split("/")[2] for k, w in known.items()},
    }


def forged(site: Site, kind: str) -> list[str]:
    real = ours(site)
    token = real[kind]
    other = "A" if token[-2] != "A" else "B"
    swapped = [found for key, found in real.items() if key != kind]
    return [
        *("x", "A" * 22, "A" * 30, "A" * 29, "a" * 5000, "%00", f"{token}%00", "é", "%ff%fe", "...", "-", "_"),
        *(token[:-1], token[1:], f"{token}A", f"{token}=", f"{token}==", f" {token}", f"{token}%0a", token.swapcase()),
        *(f"{other}{token[1:]}", f"{token[:-2]}{other}{token[-1]}", f"{token[:10]}{other}{token[11:]}", *swapped),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ENDINGS)
def test_a_link_that_is_not_ours_opens_nothing_by_any_method(joined: Site, kind: str) -> None:
    before, visitor = joined.dump(), joined.other()
    for token in forged(joined, kind):
        if token == ours(joined)[kind]:
            continue
        for ending in ENDINGS[kind]:
            for method in METHODS:
                path = f"/{kind}/{token}{ending}"
                answer = visitor.client.request(method, path)
                assert answer.status_code in (404, 405), (method, path, answer.status_code)
                if method != "HEAD":
                    is_clear(answer, answer.status_code, joined.funnel)
    assert joined.dump() == before


@pytest.mark.parametrize("kind", ENDINGS)
def test_our_own_links_answer_only_get_head_and_the_forms_they_show(joined: Site, kind: str) -> None:
    before = joined.dump()
    for ending in ENDINGS[kind]:
        for method in ("PUT", "OPTIONS", "DELETE", "PATCH", "TRACE", "BREW"):
            is_clear(joined.client.request(method, f"/{kind}/{ours(joined)[kind]}{ending}"), 405, joined.funnel)
        if ending in ("/again", "/cooked", "/undo", "/delete"):
            is_clear(joined.client.get(f"/{kind}/{ours(joined)[kind]}{ending}"), 405, joined.funnel)
    is_clear(joined.client.post(f"/r/{ours(joined)['r']}"), 405, joined.funnel)
    assert joined.dump() == before


def test_a_path_below_a_link_is_not_there(joined: Site) -> None:
    for kind, token in ours(joined).items():
        for beyond in ("/more", "/undo/again", "/..%2f..", "/%00"):
            is_clear(joined.client.post(f"/{kind}/{token}{beyond}"), 404, joined.funnel)


@pytest.mark.parametrize(
    "path",
    ["/%ff", "/house%00", "/HOUSE", "/house/q", "/house//q//1", "/%2e%2e/%2e%2e/etc/passwd", "/house/%2e%2e/result",
     "/static/..%2fapp.py", "/static/%00", "/static/%ff", "/static/../../x.py", "/static/style.css/x", "/static//",
     "/" + "a" * 60_000, "/\u202e", "/house/result/%0d%0aX: y", "/house;a=b", "/house/q/1%20", "/c/a/b/c/d", "/.env"],
)  # fmt: skip
def test_a_path_that_is_not_there_is_not_there(joined: Site, path: str) -> None:
    is_clear(joined.client.get(path), 404, joined.funnel)


@pytest.mark.parametrize(
    "query", ["?%ff", "?a=%00", "?" + "a" * 50_000, "?a=%zz&&&=", "?next=https://elsewhere.example", "?%"]
)
def test_what_stands_behind_a_question_mark_is_ignored(joined: Site, query: str) -> None:
    plain = joined.client.get(joined.at("how"))
    asked = joined.client.get(joined.at("how") + query)
    assert (asked.status_code, asked.text) == (200, plain.text)


def links_of(page: Page) -> Iterator[str]:
    """The paths of our own that a page or a mail links to."""
    for _, target in page.links:
        parts = urlsplit(target)
        if parts.netloc in ("", urlsplit(BASE_URL).netloc) and parts.scheme in ("", "https"):
            yield parts.path
    yield from re.findall(r'(?:src|href)="(/[^"#]+)', page.html)


def test_opening_every_link_of_every_page_and_mail_again_and_again_changes_nothing(joined: Site) -> None:
    joined.take_quiz(answers_for(joined.funnel, "fawn"))
    joined.land(joined.sign_up("charlie@example.org"))
    joined.world.work()
    before = joined.dump()
    mails = [Page(BASE_URL, mail.html) for mail in joined.world.mails()]
    texts = [path for mail in joined.world.mails() for path in re.findall(rf"{BASE_URL}(/[\w/-]+)", mail.text)]
    headers = [
        path
        for mail in joined.world.mails()
        for path in re.findall(rf"{BASE_URL}(/[^>]+)", str(mail.message["List-Unsubscribe"]))
    ]
    ahead = [
        f"/{joined.slug}",
        "/",
        "/outbox",
        joined.at("inbox"),
        *texts,
        *headers,
        *(p for m in mails for p in links_of(m)),
    ]
    seen: set[str] = set()
    while ahead:
        path = ahead.pop()
        if path in seen:
            continue
        seen.add(path)
        client = operator(joined.app) if path.startswith("/outbox") else joined.client
        for _ in range(3):
            shown = client.get(path)
            assert client.head(path).status_code < 500
        assert shown.status_code in (200, 307), (path, shown.status_code)
        if shown.headers.get("content-type", "").startswith("text/html"):
            ahead += links_of(Page(f"{BASE_URL}{path}", shown.text))
    assert {path.split("/")[1] for path in seen} >= {"c", "r", "u", "o", "static", "outbox", joined.slug}
    assert joined.dump() == before


def test_looking_at_a_page_keeps_nothing_in_the_browser(joined: Site) -> None:
    visitor = joined.other()
    for path in ("", "/start", "/q/1", "/how", "/privacy", "/support", "/result"):
        assert "set-cookie" not in visitor.client.get(f"/{joined.slug}{path}").headers


def test_head_answers_as_get_does_without_a_body(joined: Site) -> None:
    mail = joined.world.mails(ALICE)[0].path.stem
    tokens = [f"/{kind}/{token}" for kind, token in ours(joined).items() if kind != "o"]
    pages = [joined.at(path) for path in ("start", "q/1", "result", "how", "privacy", "support", "inbox")]
    outbox = ["/outbox", f"/outbox/{mail}", f"/outbox/{mail}/html", "/static/style.css"]
    for path in ["/", "/healthz", f"/{joined.slug}", *pages, *tokens, *outbox, "/nowhere/at/all"]:
        get, head = joined.client.get(path), joined.client.head(path)
        assert (head.status_code, head.text) == (get.status_code, ""), path
        for name in ("content-type", "cache-control", "content-security-policy"):
            assert head.headers.get(name) == get.headers.get(name), path


def test_the_links_of_a_lesson_last_a_year_and_those_that_stop_the_notes_for_good(site: Site) -> None:
    site.join(ALICE)
    read, stop, choose = (site.link(ALICE, words) for words in ("Read in", "Stop", "hoose"))
    site.world.clock.forward(days=364)
    assert [site.client.get(path).status_code for path in (read, choose)] == [200, 200]
    site.world.clock.forward(days=2)
    before = site.dump()
    is_clear(site.client.get(read), 410, site.funnel)
    is_clear(site.client.post(f"{read}/cooked"), 410, site.funnel)
    is_clear(site.client.post(choose, data={"pattern": "fight"}), 410, site.funnel)
    assert site.dump() == before
    assert site.client.post(stop).status_code == 200


def test_how_long_the_links_of_a_lesson_last_is_set_where_every_other_period_is(
    tools: Tools, clock: Clock, tmp_path: Path
) -> None:
    with opened(tools, clock, tmp_path, FUNNEL_RETENTION="links=40d") as site:
        site.join(ALICE)
        read = site.link(ALICE, "Read in")
        clock.forward(days=40)
        assert site.client.get(read).status_code == 200
        clock.forward(days=1)
        is_clear(site.client.get(read), 410, site.funnel)
