"""SendGrid's event webhook: whom we believe, and what we read out of its JSON."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as some
from sendgrid.helpers.eventwebhook import EventWebhook

from funnel.core.event import Event, Why
from funnel.mail.events import AHEAD_MS, OLDEST_MS, Signed, Webhook, read
from tests.conftest import NOON_MS
from tests.fakes.webhook import Signer, dump, event

UID = "0123456789abcdef" * 2
BODY = dump(event(UID, 0, "delivered", NOON_MS))
STAMP = str(NOON_MS // 1000)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


def test_what_sendgrid_signed_is_believed_and_its_own_library_agrees(signer: Signer) -> None:
    signature = signer.sign(STAMP, BODY)
    assert Webhook(signer.public).check(signature, STAMP, BODY, NOON_MS) == Signed.TRUE
    assert EventWebhook(signer.public).verify_signature(BODY.decode(), signature, STAMP)


def test_every_byte_counts(signer: Signer) -> None:
    checks, signature = Webhook(signer.public), signer.sign(STAMP, BODY)
    for other in (BODY + b" ", BODY[:-1], BODY.replace(b"delivered", b"delivereD"), b""):
        assert checks.check(signature, STAMP, other, NOON_MS) == Signed.FALSE
    assert checks.check(signature, str(int(STAMP) + 1), BODY, NOON_MS) == Signed.FALSE
    assert Webhook(Signer().public).check(signature, STAMP, BODY, NOON_MS) == Signed.FALSE


@pytest.mark.parametrize(
    ("signature", "timestamp", "found"),
    [
        ("", STAMP, Signed.FALSE),
        ("TRUE", "", Signed.FALSE),
        ("", "", Signed.FALSE),
        ("AAAA", STAMP, Signed.FALSE),
        (base64.b64encode(b"\x30\x06\x02\x01\x00\x02\x01\x00").decode(), STAMP, Signed.FALSE),
        (base64.b64encode(b"\x30\x80").decode(), STAMP, Signed.FALSE),
        ("A", STAMP, Signed.DAMAGED),
        ("no base64!", STAMP, Signed.DAMAGED),
        ("\xe9\xe9\xe9\xe9", STAMP, Signed.DAMAGED),
        ("A" * 204, STAMP, Signed.DAMAGED),
        ("AAAA", "soon", Signed.DAMAGED),
        ("AAAA", "-1", Signed.DAMAGED),
        ("AAAA", "1.5", Signed.DAMAGED),
        ("AAAA", "\xb2", Signed.DAMAGED),
        ("AAAA", " 1", Signed.DAMAGED),
        ("AAAA", "9" * 13, Signed.DAMAGED),
        ("AAAA", "9" * 5000, Signed.DAMAGED),
        ("AAAA", "0", Signed.STALE),
    ],
)
def test_a_signature_that_is_none(signer: Signer, signature: str, timestamp: str, found: Signed) -> None:
    assert Webhook(signer.public).check(signature, timestamp, BODY, NOON_MS) == found


@pytest.mark.parametrize(
    ("late_ms", "found"),
    [
        (OLDEST_MS, Signed.TRUE),
        (OLDEST_MS + 1, Signed.STALE),
        (-AHEAD_MS, Signed.TRUE),
        (-AHEAD_MS - 1, Signed.STALE),
    ],
)
def test_an_old_signature_is_not_taken_again(signer: Signer, late_ms: int, found: Signed) -> None:
    assert Webhook(signer.public).check(signer.sign(STAMP, BODY), STAMP, BODY, NOON_MS + late_ms) == found


@given(some.text(max_size=120), some.text(max_size=20), some.binary(max_size=60))
def test_no_signature_makes_it_stumble(signature: str, timestamp: str, raw: bytes) -> None:
    checks = Webhook(Signer().public)
    assert checks.check(signature, timestamp, BODY, NOON_MS) != Signed.TRUE
    assert checks.check(base64.b64encode(raw).decode(), STAMP, BODY, NOON_MS) == Signed.FALSE or not raw


def _key(key: Any) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@pytest.mark.parametrize(
    "key",
    [
        "no base64!",
        "AAAA",
        _key(rsa.generate_private_key(65537, 2048).public_key()),
        _key(ec.generate_private_key(ec.SECP384R1()).public_key()),
        "é",
    ],
)
def test_only_a_public_key_on_the_right_curve_is_one(key: str) -> None:
    with pytest.raises(ValueError, match="not a public key"):
        Webhook(key)


def test_an_event_is_boiled_down_to_what_we_keep() -> None:
    told = read(dump(event(UID, 7, "bounce", NOON_MS, attempt=2)))
    assert told is not None
    assert told == ([Event(UID, 2, 7, "bounce", Why.BOUNCED, NOON_MS)], 0)
    assert "canary" not in repr(told)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{}", b"1", b'"text"', b"[1]", b"[{}, null]", b"[[]]", b"[{]", b"\xff\xfe", b"[" * 5000, b"NaN",
     b'[{"event": "\xff"}]', b"[] []"],
)  # fmt: skip
def test_what_is_not_a_list_of_objects_is_nothing(body: bytes) -> None:
    assert read(body) is None


@pytest.mark.parametrize(
    "more",
    [
        {"batch": UID},
        {"batch": f"{UID}."},
        {"batch": f"{UID}.0"},
        {"batch": f"{UID}.01"},
        {"batch": f"{UID}.10000"},
        {"batch": f"{UID}.1\n"},
        {"batch": f"{UID.upper()}.1"},
        {"batch": f"{UID}a.1"},
        {"batch": "' OR 1=1 --"},
        {"batch": None},
        {"batch": 7},
        {"batch": [UID]},
        {"position": "1000"},
        {"position": "-1"},
        {"position": "1.0"},
        {"position": ""},
        {"position": "²"},
        {"position": None},
        {"position": 3},
        {"position": {"a": 1}},
        {"event": None},
        {"event": 5},
        {"timestamp": None},
        {"timestamp": "1795348800"},
        {"timestamp": 1.5},
        {"timestamp": True},
        {"timestamp": 0},
        {"timestamp": -5},
        {"timestamp": 10**11},
        {"timestamp": 2**70},
    ],
)
def test_arguments_like_ours_that_make_no_sense_are_counted_and_left_out(more: dict[str, Any]) -> None:
    good = event(UID, 1, "delivered", NOON_MS)
    told = read(dump(good, {**good, **more}))
    assert told is not None
    assert (len(told.events), told.strange) == (1, 1)


@pytest.mark.parametrize("missing", ["position", "event", "timestamp"])
def test_so_are_arguments_that_are_missing(missing: str) -> None:
    good = event(UID, 1, "delivered", NOON_MS)
    told = read(dump({name: value for name, value in good.items() if name != missing}))
    assert told == ([], 1)


def test_events_of_somebody_elses_mail_are_nobodys_business() -> None:
    foreign = {"email": "canary@example.org", "event": "delivered", "timestamp": 1, "position": "3"}
    assert read(dump(foreign, foreign)) == ([], 0)


def test_the_details_may_be_anything() -> None:
    odd = event(UID, 1, "bounce", NOON_MS, type=["bounce"], reason={"a": 1}, status=5.1)
    assert read(dump(odd)) == ([Event(UID, 1, 1, "bounce", Why.BLOCKED, NOON_MS)], 0)


anything = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = some.sampled_from(["batch", "position", "event", "timestamp", "type", "reason", "status"])


@given(some.lists(some.dictionaries(names, anything | some.just(f"{UID}.1") | some.just("5")), max_size=4))
def test_no_json_makes_it_stumble(found: list[dict[str, Any]]) -> None:
    body = json.dumps(found).encode()
    told = read(body)
    assert told is None or len(told.events) + told.strange <= len(found)
