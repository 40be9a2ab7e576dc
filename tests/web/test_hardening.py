"""What an attacker found once, and must not find again."""

import pytest

from tests.conftest import Clock
from tests.web.conftest import CONSENTS, Site, answers_for, browser, opened, operator
from tests.web.shape import is_clear
from tests.world import ALICE


def test_a_number_of_5000_digits_is_no_question(shared: Site) -> None:
    is_clear(shared.client.get(shared.at("q/" + "9" * 5000)), 404, shared.funnel)


@pytest.mark.parametrize("origin", ["http://[", "https://[::1", "//[x]:y"])
def test_an_origin_that_cannot_be_read_is_foreign(shared: Site, origin: str) -> None:
    is_clear(shared.client.post(shared.at("start"), headers={"origin": origin}), 403, shared.funnel)


def test_a_length_beyond_reason_is_too_large(shared: Site) -> None:
    sent = {"content-length": "9" * 5000}
    is_clear(shared.client.post(shared.at("start"), headers=sent), 413, shared.funnel)


def test_head_of_the_two_pages_with_forms_answers_as_get(shared: Site) -> None:
    shared.join(ALICE)
    for path in (shared.at("join"), shared.link(ALICE, "hoose")):
        assert shared.client.head(path).status_code == shared.client.get(path).status_code == 200


def test_a_redirect_never_names_the_host_it_was_told(shared: Site) -> None:
    shown = shared.client.get(shared.at(""), headers={"host": "elsewhere.example"})
    assert "elsewhere" not in shown.headers.get("location", "")


def test_a_refused_method_says_which_are_allowed(shared: Site) -> None:
    assert "GET" in shared.client.put(shared.at("how")).headers["allow"]


def test_static_files_may_be_kept(shared: Site) -> None:
    assert "no-store" not in shared.client.get("/static/style.css?1").headers["cache-control"]


def test_bytes_that_are_not_utf8_are_refused(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    before = site.dump()
    body = b"email=alice%40example.org&first_name=%ff&sensitive=yes&course=yes"
    is_clear(
        site.client.post(site.at("join"), content=body, headers={"content-type": "application/x-www-form-urlencoded"}),
        400,
        site.funnel,
    )
    assert site.dump() == before


def test_a_field_sent_twice_is_refused(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    data = {"email": [ALICE, "bob@example.org"], **CONSENTS}
    is_clear(site.client.post(site.at("join"), data=data), 400, site.funnel)


def test_an_empty_token_opens_nothing(site: Site, clock: Clock) -> None:
    with opened(site.world.tools, clock, site.world.folder.parent, FUNNEL_TOKEN="") as open_:
        assert browser(open_.app, client=("203.0.113.7", 1)).get("/outbox").status_code == 404


def test_the_page_about_a_fault_carries_the_headers_too(site: Site) -> None:
    client = browser(site.app, raise_server_exceptions=False)
    with site.world.tools.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE signup")
    client.post(site.at("start"))
    site.take_quiz(answers_for(site.funnel, "fawn"))
    broken = client.post(
        site.at("join"),
        data={"email": ALICE, **CONSENTS},
        headers={"cookie": f"{site.cookie}={site.client.cookies[site.cookie]}"},
    )
    assert (broken.status_code, broken.headers.get("cache-control")) == (500, "no-store")
    assert "content-security-policy" in broken.headers


def test_a_parser_keeps_what_it_saw_to_itself(shared: Site, caplog: pytest.LogCaptureFixture) -> None:
    body = b"--edge\r\nQ\x01: x\r\n\r\nx\r\n--edge--\r\n"
    shared.client.post(shared.at("q/1"), content=body, headers={"content-type": "multipart/form-data; boundary=edge"})
    assert [record for record in caplog.records if record.name.startswith("python_multipart")] == []


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "notes.example.org.elsewhere.example", "127.0.0.1", "[", "", "x:y"]
)
def test_a_name_that_is_not_ours_is_not_answered_to(shared: Site, host: str) -> None:
    for path in ("/", shared.at("start"), "/u/unknown", "/outbox"):
        shown = shared.client.get(path, headers={"host": host})
        is_clear(shown, 421, shared.funnel)
        assert "elsewhere" not in shown.text + str(shown.headers)


@pytest.mark.parametrize("host", ["notes.example.org", "NOTES.example.org", "notes.example.org:8443"])
def test_our_own_name_is_answered_to_however_it_is_written(shared: Site, host: str) -> None:
    assert shared.client.get(shared.at("start"), headers={"host": host}).status_code == 200


def test_platforms_ask_for_our_health_by_any_name(shared: Site) -> None:
    assert shared.client.get("/healthz", headers={"host": "10.0.0.5:8000"}).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("x-forwarded-for", "203.0.113.7"), ("x-real-ip", "203.0.113.7"), ("forwarded", "for=203.0.113.7")),
        *(("via", "1.1 proxy"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "notes.example.org")),
    ],
)
def test_a_proxy_here_that_nobody_told_us_of_does_not_make_everybody_the_operator(
    shared: Site, name: str, value: str
) -> None:
    for path in ("/outbox", "/metrics"):
        assert operator(shared.app).get(path).status_code == 200
        assert operator(shared.app).get(path, headers={name: value}).status_code == 404


def test_behind_a_proxy_nobody_is_the_operator_by_what_they_say(site: Site, clock: Clock) -> None:
    with opened(site.world.tools, clock, site.world.folder.parent, FUNNEL_PROXIES="1") as behind:
        near = operator(behind.app, "127.0.0.1")
        for said in ("127.0.0.1", "::1", "203.0.113.7, 127.0.0.1"):
            assert near.get("/outbox", headers={"x-forwarded-for": said}).status_code == 404
