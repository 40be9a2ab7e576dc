"""What every answer carries, and whose forms are taken."""

import re

import httpx2
import pytest

from tests.conftest import BASE_URL, Clock
from tests.web.conftest import Site, answers_for, opened
from tests.web.shape import is_clear
from tests.web.tour import tour
from tests.world import ALICE

HEADERS = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "strict-transport-security": "max-age=63072000; includeSubDomains",
}
POLICY = {
    *("default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'", "font-src 'self'"),
    *("connect-src 'self'", "frame-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
}
OTHERS = [
    *(
        "https://elsewhere.example",
        "https://notes.example.org.elsewhere.example",
        "https://elsewhere.notes.example.org",
    ),
    *("https://notes.example.org:444", "https://NOTES.example.org@elsewhere.example", "notes.example.org"),
    *("file://", "https://", ""),
]


def test_every_page_carries_them(shared: Site) -> None:
    for name, response in tour(shared):
        carries(name, response)


@pytest.mark.parametrize("path", ["/static/style.css", "/static/nothing.css", "/healthz", "/readyz", "/", "/house/"])
def test_so_does_what_is_not_a_page(shared: Site, path: str) -> None:
    carries(path, shared.client.get(path))


def carries(name: str, response: httpx2.Response) -> None:
    for key, value in HEADERS.items():
        assert response.headers[key] == value, name
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy, name
    assert set(policy.split("; ")) == POLICY, name
    assert {"camera=()", "browsing-topics=()"} <= set(response.headers["permissions-policy"].split(", ")), name
    if not name.startswith("/static/style"):
        assert response.headers["cache-control"] == "no-store", name
    assert "server" not in response.headers


def test_only_https_promises_https(site: Site, clock: Clock) -> None:
    home = site.world.folder.parent
    with opened(site.world.tools, clock, home, FUNNEL_BASE_URL="http://127.0.0.1:8000") as local:
        assert "strict-transport-security" not in local.client.get("/").headers


def test_pages_stay_out_of_search_engines_but_say_so_only_in_headers(shared: Site) -> None:
    assert shared.client.get(shared.at("start")).headers["x-robots-tag"] == "noindex"


@pytest.fixture(scope="module")
def forms(shared: Site) -> list[tuple[str, dict[str, str]]]:
    """(path, fields) of a good form of every kind."""
    shared.join("forms@example.org")
    stop, choose = shared.link("forms@example.org", "Stop"), shared.link("forms@example.org", "hoose")
    shared.take_quiz(answers_for(shared.funnel, "fawn"))
    here = [("start", {}), ("q/1", {"answer": "none"}), ("choose", {"pattern": "none"}), ("inbox", {})]
    join = {"email": ALICE, "sensitive": "yes", "course": "yes"}
    mine = [(shared.at(path), fields) for path, fields in here]
    away = [("/leave", {}), (choose, {"pattern": "fight"}), (f"{stop}/delete", {}), (stop, {})]
    return [*mine, (shared.at("join"), join), *away]


@pytest.mark.parametrize("origin", OTHERS)
def test_a_form_from_another_origin_is_left_alone(
    shared: Site, forms: list[tuple[str, dict[str, str]]], origin: str
) -> None:
    before = shared.dump()
    for path, fields in forms:
        refused = shared.client.post(path, data=fields, headers={"origin": origin})
        is_clear(refused, 403, shared.funnel)
        assert "set-cookie" not in refused.headers
    assert shared.dump() == before


@pytest.mark.parametrize("origin", [None, BASE_URL, "null"])
@pytest.mark.parametrize("from_site", ["cross-site", "same-site", "elsewhere", ""])
def test_a_browser_that_says_the_form_is_foreign_is_believed(
    shared: Site, forms: list[tuple[str, dict[str, str]]], from_site: str, origin: str | None
) -> None:
    before = shared.dump()
    sent = {"sec-fetch-site": from_site} | ({"origin": origin} if origin else {})
    for path, fields in forms:
        is_clear(shared.client.post(path, data=fields, headers=sent), 403, shared.funnel)
    assert shared.dump() == before


@pytest.mark.parametrize(
    "sent",
    [{}, {"origin": BASE_URL}, {"origin": BASE_URL, "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"},
     {"origin": "null", "sec-fetch-site": "same-origin"}, {"origin": "null"}],
)  # fmt: skip
def test_our_own_forms_are_taken(shared: Site, sent: dict[str, str]) -> None:
    visitor = shared.other()
    assert visitor.client.post(visitor.at("start"), headers=sent).status_code == 303


@pytest.mark.parametrize("sent", [{"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}])
def test_anybody_may_follow_a_link_to_us(shared: Site, sent: dict[str, str]) -> None:
    assert shared.client.get(shared.at("start"), headers=sent).status_code == 200


def test_a_fault_of_ours_says_so_in_our_own_look_and_logs_nothing_that_was_typed(
    site: Site, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The one test of a 500: a table is gone, as after a migration that went wrong."""
    visitor = site.other()
    visitor.client._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
    visitor.take_quiz(answers_for(site.funnel, "fawn"))
    with site.world.tools.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE signup")
    broken = visitor.sign_up("xq7canary@example.org", "xq7canary")
    assert broken.status_code == 500
    assert site.funnel.title in broken.text
    logged = "".join(capfd.readouterr())
    assert "xq7canary" not in broken.text + caplog.text + logged
    assert "kind=OperationalError" in logged


def test_a_head_start_of_a_header_cannot_be_smuggled_into_a_redirect(shared: Site) -> None:
    for path in ("/house%0d%0aX-Evil: 1/", "/%0aSet-Cookie: a=b/", "//elsewhere.example/", "/\\elsewhere.example/"):
        answer = shared.client.get(path)
        assert answer.status_code in (307, 404)
        assert "x-evil" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert re.match(rf"({BASE_URL})?/(?!/)", answer.headers.get("location", "/house"))
