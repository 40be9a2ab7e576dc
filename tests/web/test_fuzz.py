"""Requests that nobody would think of, at every address, by every method: refusals at worst."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from funnel.core.schedule import is_zone
from funnel.web.joining import address_of
from tests.web.conftest import CONSENTS, Site, answers_for
from tests.world import ALICE

FIELDS = ["answer", "go", "pattern", "email", "first_name", "sensitive", "course", "zone", "from", "List-Unsubscribe"]
FIELDS += ["form", "website", "meant", "work", "locale", "to", "language"]
KINDS = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "multipart/form-data",
    "text/plain",
    "",
]
VALUES = ["yes", "none", "skip", "fawn", "fight", "alice@example.org", "Europe/Berlin", "One-Click", ""]
LINKS = ["our r", "our u", "our o", "our u/undo", "our u/delete"]
TAILS = ["", "/start", "/result", "/choose", "/join", "/inbox", "/how", "/privacy", "/support", "/q/1", "/q/11"]
FIXED = ["", "leave", "language", "c/x/not-me", "outbox", "healthz", "static/style.css", "static/", "outbox/x/html"]

texts = some.one_of(some.sampled_from(VALUES), some.text(max_size=40))
raw = some.binary(max_size=40)
pieces = some.text(some.characters(exclude_categories=["Cs"]), max_size=12)
methods = some.sampled_from(["GET", "HEAD", "POST", "POST", "POST", "PUT", "OPTIONS", "DELETE", "X"])
bodies = some.one_of(
    raw,
    some.binary(max_size=200).map(lambda rest: b'--b\r\nContent-Disposition: form-data; name="answer"\r\n' + rest),
    some.binary(max_size=200).map(lambda rest: b"--b\r\nContent-Disposition: " + rest + b"\r\n\r\nx\r\n--b--\r\n"),
    raw.map(lambda rest: b"answer=" + rest + b"&email=" + rest),
)


known = some.sampled_from([*FIXED, *(f"house{tail}" for tail in TAILS), *LINKS, *LINKS])
odd = some.builds("{}/{}".format, some.sampled_from(["c", "u", "o", "r", "house", "house/q", "outbox", ""]), pieces)
headers = some.fixed_dictionaries(
    {}, optional={"cookie": raw.map(lambda text: b"__Host-house=" + text), "content-type": some.sampled_from(KINDS)}
)
fields = some.dictionaries(some.one_of(some.sampled_from(FIELDS), some.text(max_size=9)), texts)


@pytest.fixture(scope="module")
def joined(shared: Site) -> Site:
    shared.join(ALICE)
    return shared


@pytest.fixture(scope="module")
def links(joined: Site) -> dict[str, str]:
    found = {word: joined.link(ALICE, text) for word, text in (("r", "Read in"), ("u", "Stop"), ("o", "hoose"))}
    return {f"our {word}": path[1:] for word, path in found.items()}


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(method=methods, path=some.one_of(known, known, odd), query=raw, headers=headers, body=bodies, fields=fields)
def test_no_request_makes_the_service_stumble(
    joined: Site, links: dict[str, str], method: str, path: str, query: bytes, headers: Any, body: bytes, fields: Any
) -> None:
    """The client raises whatever the service would have answered with 500."""
    for word, link in links.items():
        path = path.replace(word, link)
    sent: dict[str, Any] = {"content": body} if "content-type" in headers else {"data": fields}
    shown = joined.client.request(method, f"/{quote(path)}?{quote(query)}", headers=headers, **sent)
    assert shown.status_code < 500 or path == "readyz"


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(email=texts, name=texts, zone=texts)
def test_no_sign_up_makes_the_service_stumble(joined: Site, email: str, name: str, zone: str) -> None:
    if joined.client.get(joined.at("join")).status_code != 200:
        joined.take_quiz(answers_for(joined.funnel, "fawn"))
    assert joined.sign_up(email, name, zone=zone).status_code in (303, 400)


@settings(max_examples=1000, deadline=None)
@given(typed=some.one_of(some.text(max_size=260), some.emails(), some.builds("{}@{}".format, some.text(), some.text())))
def test_an_address_is_taken_in_plain_ascii_or_not_at_all(typed: str) -> None:
    found = address_of(typed, local=True)
    assert found is None or (found.isascii() and found.isprintable() and len(found) <= 254 and " " not in found)


@settings(max_examples=500, deadline=None)
@given(offered=some.one_of(some.text(max_size=80), some.text("./abEuropeBerlin_-%\\", max_size=30)))
def test_a_zone_is_known_or_it_is_not(offered: str) -> None:
    assert is_zone(offered) in (True, False)


def test_a_whole_form_still_works_after_all_that(joined: Site) -> None:
    joined.take_quiz(answers_for(joined.funnel, "fawn"))
    assert joined.client.post(joined.at("join"), data={"email": ALICE, **CONSENTS}).status_code == 303
