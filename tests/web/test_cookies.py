"""What the browser keeps for us: sealed, bound to its funnel, and cleared when it cannot be read."""

import base64
import json

import pytest

from funnel.core.consent import NOTICE_LIMITS
from funnel.keyring import Keyring
from funnel.store.tables import subscriber
from tests.conftest import Clock
from tests.web.conftest import Site, answers_for, opened
from tests.web.shape import is_clear
from tests.world import ALICE

READERS = ("q/1", "result", "join", "inbox")


@pytest.fixture(scope="module")
def taken(shared: Site) -> Site:
    shared.take_quiz(answers_for(shared.funnel, "fawn"))
    return shared


def kept(site: Site) -> str:
    return str(site.client.cookies[site.cookie]).strip('"')


def forged(site: Site) -> dict[str, str | bytes]:
    """Cookies that are not ours, or not whole."""
    real, ring = kept(site), site.world.tools.keyring
    plain = ring.open_cookie(real, site.cookie)
    flipped = bytearray(base64.urlsafe_b64decode(real))
    flipped[-1] ^= 1
    return {
        "empty": "",
        "garbage": "garbage",
        "not base64": "!!!!",
        "beyond ASCII": "é😀".encode(),
        "bytes": b"\xff\xfe\xfd",
        "too short": "AAAA",
        "zeros": base64.urlsafe_b64encode(bytes(200)).decode(),
        "truncated": real[: len(real) // 2 // 4 * 4],
        "without its end": real[:-1],
        "one bit flipped": base64.urlsafe_b64encode(bytes(flipped)).decode(),
        "twice": real + real,
        "oversized": "A" * 60_000,
        "for another funnel": ring.seal_cookie(plain, "__Host-another"),
        "for the plain name": ring.seal_cookie(plain, site.slug),
        "under another key": Keyring({1: b"x" * 32}).seal_cookie(plain, site.cookie),
        "unsealed": base64.urlsafe_b64encode(plain).decode(),
        "no JSON": ring.seal_cookie(b"{", site.cookie),
        "another shape": ring.seal_cookie(b"[1]", site.cookie),
        "unknown keys": ring.seal_cookie(json.dumps({"revision_id": "x", "admin": True}).encode(), site.cookie),
        "nothing in it": ring.seal_cookie(b"{}", site.cookie),
    }


def test_a_cookie_that_is_not_ours_is_refused_and_cleared(taken: Site) -> None:
    before, visitor = taken.dump(), taken.other()
    for kind, value in forged(taken).items():
        sent = {"cookie": f"{taken.cookie}=".encode() + (value if isinstance(value, bytes) else value.encode())}
        for path in READERS:
            refused = visitor.client.get(taken.at(path), headers=sent)  # type: ignore[arg-type]
            is_clear(refused, 400, taken.funnel)
            assert f'{taken.cookie}=""' in refused.headers["set-cookie"], kind
            assert "Max-Age=0" in refused.headers["set-cookie"], kind
        for path, data in (("q/1", {"answer": "none"}), ("choose", {"pattern": "none"}), ("join", {}), ("inbox", {})):
            is_clear(visitor.client.post(taken.at(path), data=data, headers=sent), 400, taken.funnel)  # type: ignore[arg-type]
    assert taken.dump() == before


@pytest.mark.parametrize("path", ["", "/start", "/how", "/privacy", "/support"])
def test_a_broken_cookie_never_keeps_anyone_from_reading(taken: Site, path: str) -> None:
    sent = {"cookie": f"{taken.cookie}=garbage"}
    assert taken.other().client.get(f"/{taken.slug}{path}", headers=sent).status_code == 200


def test_a_broken_cookie_does_not_keep_anyone_from_starting_afresh_or_leaving(taken: Site) -> None:
    visitor, sent = taken.other(), {"cookie": f"{taken.cookie}=garbage"}
    assert visitor.client.post(taken.at("start"), headers=sent).status_code == 303
    assert visitor.client.post("/leave", headers=sent).status_code == 200


@pytest.mark.parametrize("header", ["=", ";;;", "a=b; =c", "\x01=\x02", "house=garbage", "__Host-house", "x" * 60_000])
def test_cookies_of_others_are_not_our_business(taken: Site, header: str) -> None:
    assert taken.other().client.get(taken.at("q/1"), headers={"cookie": header}).status_code == 200


def test_the_pages_that_need_a_cookie_lead_to_the_start_without_one(taken: Site) -> None:
    visitor = taken.other()
    before = taken.dump()
    for path in ("result", "join", "inbox"):
        assert visitor.client.get(taken.at(path)).headers["location"] == taken.at("start")
    for path, data in (("choose", {"pattern": "fawn"}), ("join", {"email": ALICE}), ("inbox", {})):
        assert visitor.client.post(taken.at(path), data=data).headers["location"] == taken.at("start")
    assert taken.dump() == before


def test_the_cookie_is_for_this_site_only_and_out_of_reach_of_scripts(taken: Site) -> None:
    given = taken.other().client.post(taken.at("start")).headers["set-cookie"]
    name, *attributes = [part.strip().lower() for part in given.split(";")]
    assert name.startswith("__host-house=")
    assert {"httponly", "samesite=lax", "secure", "path=/", "max-age=86400"} <= set(attributes)
    assert not [each for each in attributes if each.startswith("domain")]


def test_without_https_the_cookie_goes_by_its_plain_name(site: Site, clock: Clock) -> None:
    home = site.world.folder.parent
    with opened(site.world.tools, clock, home, FUNNEL_BASE_URL="http://127.0.0.1:8000") as local:
        given = local.client.post(local.at("start")).headers["set-cookie"].lower()
        assert given.startswith("house=")
        assert "secure" not in given
        assert "httponly" in given


def test_the_cookie_shows_nothing_of_the_answers(taken: Site) -> None:
    value = kept(taken)
    raw = base64.urlsafe_b64decode(value)
    for question in taken.funnel.quiz.questions:
        for text in (question.key, *(answer.key for answer in question.answers)):
            assert text not in value or len(text) < 4
            assert text.encode() not in raw or len(text) < 4
    assert b"answers" not in raw


def test_the_same_answers_look_different_each_time(taken: Site) -> None:
    first = taken.other().client.post(taken.at("q/1"), data={"answer": "none"}).headers["set-cookie"]
    again = taken.other().client.post(taken.at("q/1"), data={"answer": "none"}).headers["set-cookie"]
    assert first != again


def test_answers_are_in_no_table(site: Site) -> None:
    answers = answers_for(site.funnel, "fawn")
    site.join(ALICE, "fawn")
    held = site.dump()
    held.pop("revision")  # the quiz itself, compressed
    stored = repr(held)
    assert [key for item in answers.items() for key in item if f"'{key}'" in stored] == []


def test_a_cookie_fits_into_what_browsers_hold(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    address = f"{'a' * 64}@{'.'.join(['d' * 63, 'd' * 63, 'd' * 57])}.org"
    given = site.sign_up(address, "😀" * 60).headers["set-cookie"]
    assert len(given.partition(";")[0]) < 4096


def test_an_old_form_sent_again_and_again_makes_one_person_and_few_mails(site: Site) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    old = {"cookie": f"{site.cookie}={kept(site)}"}
    for _ in range(NOTICE_LIMITS[3_600_000] * 3):
        data = {"email": ALICE, "sensitive": "yes", "course": "yes"}
        assert site.other().client.post(site.at("join"), data=data, headers=old).status_code == 303
    site.world.work()
    assert len(site.world.rows(subscriber)) == 1
    assert len(site.world.mails(ALICE)) <= NOTICE_LIMITS[3_600_000]


def test_a_copy_of_a_cookie_opens_nothing_once_its_day_is_over(site: Site, clock: Clock) -> None:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    copy = {"cookie": f"{site.cookie}={kept(site)}"}
    stranger = site.other().client
    assert stranger.get(site.at("result"), headers=copy).status_code == 200
    clock.forward(hours=24)
    assert stranger.get(site.at("result"), headers=copy).status_code == 200
    clock.forward(seconds=1)
    assert stranger.get(site.at("result"), headers=copy).status_code == 303
