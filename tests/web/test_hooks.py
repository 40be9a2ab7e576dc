"""The event webhook as a stranger finds it: real signatures, real requests, and everything that is wrong with them."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from funnel.flow import events
from funnel.flow.tools import Tools
from funnel.store.tables import batch, delivery, event
from funnel.web.guard import SIGNED
from tests.conftest import BASE_URL, Clock
from tests.fakes.webhook import Signer, dump
from tests.fakes.webhook import event as told
from tests.web.conftest import Site, opened
from tests.world import ALICE

PATH = "/hooks/sendgrid"
SIGNER = Signer()
SIGNATURE, TIMESTAMP = "X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"
MEGABYTE = 1_000_000


@pytest.fixture
def site(tools: Tools, clock: Clock, tmp_path: Path) -> Iterator[Site]:
    """The provider's key is set, and Alice has had her first lesson."""
    with opened(tools, clock, tmp_path, SENDGRID_WEBHOOK_KEY=SIGNER.public) as found:
        found.join(ALICE)
        yield found


def good(site: Site, *kinds: str, **more: Any) -> bytes:
    uid = [row.uid for row in site.world.rows(batch) if row.kind == "lesson"][-1]
    return dump(*(told(uid, 0, kind, site.world.clock(), **more) for kind in kinds or ("delivered",)))


def post(site: Site, body: bytes, **headers: str) -> int:
    found = {**SIGNER.headers(body, site.world.clock()), **headers}
    response = site.client.post(PATH, content=body, headers={name: text for name, text in found.items() if text})
    assert response.content == b""
    assert "set-cookie" not in response.headers
    assert response.headers["cache-control"] == "no-store"
    return int(response.status_code)


def test_a_signed_event_is_stored_answered_and_applied_later(site: Site) -> None:
    assert post(site, good(site, "processed", "delivered")) == 200
    assert [row.handled_ms for row in site.world.rows(event)] == [None, None]
    assert events.apply(site.world.tools, site.world.clock()) == 2
    assert [row.state for row in site.world.rows(delivery)] == ["delivered"]


@pytest.mark.parametrize("published", ["sqlite", "postgresql"], indirect=True)
def test_the_same_request_again_is_a_conflict_and_changes_nothing(site: Site) -> None:
    body = good(site, "processed", "bounce")
    assert post(site, body) == 200
    events.apply(site.world.tools, site.world.clock())
    before = site.dump()
    assert [post(site, body) for _ in range(3)] == [409] * 3
    assert site.dump() == before


BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "not JSON": (b"event=delivered", 400),
    "half of it": (b'[{"event": "delivered"', 400),
    "not UTF-8": (b'[{"event": "\xff\xfe"}]', 400),
    "a number": (b"5", 400),
    "an object": (b'{"event": "delivered"}', 400),
    "a list of numbers": (b"[1, 2]", 400),
    "a list with a hole": (b"[{}, null]", 400),
    "deep": (b"[" * 100_000, 400),
    "unknown batch": (dump(told("f" * 32, 0, "spamreport", 1_795_348_800_000)), 422),
    "no batch at all": (dump({"batch": "DROP TABLE event", "position": "0", "event": "x", "timestamp": 1}), 422),
    "no position": (dump({"batch": f"{'f' * 32}.1", "event": "x", "timestamp": 1}), 422),
    "a list in its place": (dump({"batch": [[[]]], "position": {}, "event": None, "timestamp": "x"}), 422),
    "10 MB": (b"[" + b" " * 10 * MEGABYTE + b"]", 413),
    "a byte too many": (b"[" + b" " * (SIGNED[PATH] - 1) + b"]", 413),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_wrong_is_refused_and_changes_nothing(site: Site, body: bytes, status: int) -> None:
    before = site.dump()
    assert post(site, body) == status
    assert site.dump() == before


def test_what_is_too_large_is_refused_even_when_it_does_not_say_so(site: Site) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield b" " * MEGABYTE

    assert site.client.post(PATH, content=chunks(), headers=SIGNER.headers(b"", 0)).status_code == 413


def test_two_megabytes_are_not_too_large(site: Site) -> None:
    body = good(site)
    assert post(site, body + b" " * (SIGNED[PATH] - len(body))) == 200


NOW = "1795348800"
HEADERS: dict[str, tuple[dict[str, str], int]] = {
    "no signature": ({SIGNATURE: ""}, 401),
    "no timestamp": ({TIMESTAMP: ""}, 401),
    "neither": ({SIGNATURE: "", TIMESTAMP: ""}, 401),
    "another body's": ({SIGNATURE: SIGNER.sign(NOW, b"[]")}, 401),
    "somebody else's": ({SIGNATURE: Signer().sign(NOW, b"[]")}, 401),
    "no signature in it": ({SIGNATURE: base64.b64encode(b"\x00" * 70).decode()}, 401),
    "badly base64": ({SIGNATURE: "%%%"}, 400),
    "half base64": ({SIGNATURE: "MEUCIQ="}, 400),
    "not ASCII": ({SIGNATURE: "é"}, 400),
    "endless": ({SIGNATURE: "A" * 4000}, 400),
    "a time in words": ({TIMESTAMP: "noon"}, 400),
    "a time before time": ({TIMESTAMP: "-5"}, 400),
    "a time without end": ({TIMESTAMP: "9" * 4000}, 400),
}


@pytest.mark.parametrize(("headers", "status"), HEADERS.values(), ids=HEADERS)
def test_a_signature_that_is_wrong_is_refused_and_changes_nothing(
    site: Site, headers: dict[str, str], status: int
) -> None:
    before = site.dump()
    raw = {name: text.encode("latin-1") for name, text in headers.items()}
    body = good(site)
    found = {**{name: text.encode() for name, text in SIGNER.headers(body, site.world.clock()).items()}, **raw}
    sent = {name: text for name, text in found.items() if text}
    response = site.client.post(PATH, content=body, headers=sent)  # type: ignore[arg-type]
    assert (response.status_code, response.content) == (status, b"")
    assert site.dump() == before


@pytest.mark.parametrize(
    ("hours", "status"), [(0, 200), (24.9, 200), (25.1, 400), (24 * 365, 400), (-0.15, 200), (-0.2, 400)]
)
def test_a_request_that_was_signed_long_ago_is_not_taken(site: Site, hours: float, status: int) -> None:
    body = good(site)
    headers = SIGNER.headers(body, site.world.clock())
    site.world.clock.forward(hours=hours)
    assert site.client.post(PATH, content=body, headers=headers).status_code == status


def test_without_a_key_there_is_no_such_page(tools: Tools, clock: Clock, tmp_path: Path) -> None:
    with opened(tools, clock, tmp_path) as without:
        body = b"[]"
        for sent in (body, b" " * 10 * MEGABYTE):
            assert without.client.post(PATH, content=sent, headers=SIGNER.headers(body, clock())).status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_only_posts_are_taken(site: Site, method: str) -> None:
    assert site.client.request(method, PATH).status_code == 405


def test_it_is_no_form_and_needs_no_origin_or_content_type(site: Site) -> None:
    foreign = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site", "Content-Type": ""}
    assert post(site, good(site), **foreign) == 200
    assert post(site, good(site, "open"), **{"Content-Type": "multipart/form-data"}) == 200
    assert site.client.post("/leave", headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert site.client.post("/leave", content=b"a" * 70_000).status_code == 413


def test_a_thousand_events_are_one_request(site: Site) -> None:
    uid = site.world.rows(batch)[-1].uid
    body = dump(*(told(uid, place, "processed", site.world.clock()) for place in range(1000)))
    assert post(site, body) == 200
    assert len(site.world.rows(event)) == 1000


def test_nothing_of_a_request_is_logged_or_kept(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as logs:
        for body in (good(site, "bounce", "deferred", "spamreport"), b"canary@example.org", good(site, batch="canary")):
            post(site, body)
        post(site, good(site), **{SIGNATURE: "canary@example.org"})
        events.apply(site.world.tools, site.world.clock())
    written = capfd.readouterr()
    for place in (repr(logs), written.out, written.err, repr(site.dump())):
        assert "canary" not in place


raw = some.binary(max_size=300) | some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=10),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(
            some.sampled_from(["batch", "position", "event", "timestamp", "type", "a"]), inner, max_size=5
        )
    ),
).map(lambda found: json.dumps(found).encode())
headers = some.fixed_dictionaries(
    {}, optional={SIGNATURE: some.binary(max_size=90), TIMESTAMP: some.binary(max_size=14) | some.just(NOW.encode())}
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=raw, headers=headers, signed=some.booleans())
def test_no_request_makes_it_stumble(site: Site, body: bytes, headers: dict[str, bytes], signed: bool) -> None:
    """The client raises whatever the service would have answered with 500."""
    printable = {name: bytes(byte for byte in text if 32 < byte < 127 or byte > 160) for name, text in headers.items()}
    found: Any = SIGNER.headers(body, site.world.clock()) if signed else printable
    status = site.client.post(f"{BASE_URL}{PATH}", content=body, headers=found).status_code
    assert status in ((200, 400, 409, 422) if signed else (400, 401))
