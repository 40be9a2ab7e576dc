"""Names and addresses as the world writes them, and as attackers do."""

import pytest
from markupsafe import escape

from funnel.store.tables import subscriber
from tests.web.conftest import Site, answers_for
from tests.web.shape import Shape, is_clear
from tests.world import ALICE, BOB

LONG_DOMAIN = ".".join(["d" * 63, "d" * 63, "d" * 57, "org"])  # 189 characters: with 64 before the @, 254 in all

BAD_ADDRESSES = [
    *("", " ", "alice", "@", "alice@", "@example.org", "alice@@example.org", "alice@example", "alice@localhost"),
    *("alice@example..org", "alice@.example.org", "alice@example.org.", "a..b@example.org", ".a@example.org"),
    *("alice@-example.org", "alice@exa_mple.org", "alice@example.org, bob@example.org", "alice@[127.0.0.1]"),
    *("Alice <alice@example.org>", "mailto:alice@example.org", "<alice@example.org>", "alice @example.org"),
    *("alice@example.org\r\nBcc: bob@example.org", "alice@example.org\nX: y", "al\tice@example.org"),
    *('"alice bob"@example.org', '"a\\"@example.org', "(comment)alice@example.org", "alice@exam\u200bple.org"),
    *("älice@example.org", "😀@example.org", "alice@example.org\u202e", "alice@\ud7ff.org", "alice@例え.\u0000"),
    *("a" * 65 + "@example.org", "a" * 10_000, f"{'a' * 65}@{LONG_DOMAIN}", "alice@" + "d" * 64 + ".org"),
    *("alice@xn--a.org", "alice@123", "alice@1.2.3.4", "{{ config }}@example.org"),
]  # fmt: skip
GOOD_ADDRESSES = {
    "alice@example.org": "alice@example.org",
    "  alice@example.org ": "alice@example.org",
    "Alice+notes@Example.ORG": "Alice+notes@example.org",
    "alice%0a@example.org\r": "alice%0a@example.org",
    "${7*7}@example.org": "${7*7}@example.org",
    "{{first_name}}@example.org": "{{first_name}}@example.org",
    "o'brien@example.org": "o'brien@example.org",
    "alice@bücher.example.org": "alice@xn--bcher-kva.example.org",
    f"{'a' * 64}@{LONG_DOMAIN}": f"{'a' * 64}@{LONG_DOMAIN}",
}
BAD_NAMES = [
    *("Ali\x07ce", "Ali\tce", "Ali\r\nBcc: bob@example.org", "Alice\x1b[31m", "\x7f", "Ali\u202ece", "Ali\u200bce"),
    *("\u2066Alice", "Ali\u2028ce", "\ufeff", "\ue000", "A" * 61, "A" * 2000, "A" * 10_000, "\U000e0041", "Al\x00"),
]
GOOD_NAMES = [
    *("", "Zoë", "李", "أليس", "O'Brien", "Anne-Marie", "D’Arcy", "😀", "A", "J. R.", "Ａｌｉｃｅ", "A" * 60, "é" * 60),
    *("{{ first_name }}", "{% raw %}", "%(email)s", "-alice_", "</b>", "=?utf-8?b?QQ==?=", "\\1", "$1", "none", "0"),
]


@pytest.fixture(scope="module")
def ready(shared: Site) -> Site:
    """Somebody with a result."""
    shared.take_quiz(answers_for(shared.funnel, "fawn"))
    return shared


@pytest.mark.parametrize("address", BAD_ADDRESSES, ids=ascii)
def test_what_is_no_address_is_not_taken(ready: Site, address: str) -> None:
    before = ready.dump()
    is_clear(ready.sign_up(address), 400, ready.funnel)
    assert ready.dump() == before


def test_an_address_is_written_to_as_it_was_meant(ready: Site) -> None:
    for typed, meant in GOOD_ADDRESSES.items():
        assert f">{escape(meant)}<" in ready.land(ready.sign_up(typed)).text
        ready.world.work()
        assert ready.world.mails()[-1].to == meant


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_with_control_characters_or_beyond_length_is_not_taken(ready: Site, name: str) -> None:
    before = ready.dump()
    refused = ready.sign_up(ALICE, name)
    is_clear(refused, 400, ready.funnel)
    assert name.strip()[:50] not in refused.text or not name.strip()
    assert ready.dump() == before


@pytest.mark.parametrize("place", range(len(GOOD_NAMES)), ids=map(ascii, GOOD_NAMES))
def test_a_name_from_anywhere_arrives_as_it_was_written(ready: Site, place: int) -> None:
    name, address = GOOD_NAMES[place], f"reader{place}@example.org"
    ready.land(ready.sign_up(address, name))
    ready.world.work()
    assert ready.client.post(ready.link(address, "onfirm")).status_code == 200
    ready.world.work()
    lesson = ready.world.mails(address)[-1]
    assert lesson.path.name.startswith("lesson")
    assert name in lesson.text
    assert "</b>" not in lesson.html


def test_a_name_shows_in_the_form_as_it_was_typed(ready: Site) -> None:
    ready.land(ready.sign_up(ALICE, '"><i>Ali & Co'))
    fields = {
        each.get("name"): each.get("value") for each in Shape(ready.client.get(ready.at("join")).text).all("input")
    }
    assert (fields["first_name"], fields["email"]) == ('"><i>Ali & Co', ALICE)


@pytest.mark.parametrize(
    "zone",
    ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", "Europe/", "a" * 2000, "Europe//Berlin", "..",
     "Europe/__init__.py", "tzdata.zi", "UTC\n", "é", "Europe/./Berlin", "-1", "%s"],
)  # fmt: skip
def test_a_zone_that_is_none_is_not_kept_so_that_the_funnels_own_counts(ready: Site, zone: str) -> None:
    ready.land(ready.sign_up(f"reader{abs(hash(zone))}@example.org", zone=zone))
    assert ready.world.rows(subscriber)[-1].zone == ""


def test_the_browsers_zone_is_taken(ready: Site) -> None:
    ready.land(ready.sign_up(BOB, zone="Asia/Tokyo"))
    assert ready.world.rows(subscriber)[-1].zone == "Asia/Tokyo"
