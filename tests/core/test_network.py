"""Whose address counts: nobody's word but that of proxies we trust, and a whole /64 is one visitor."""

import pytest

from funnel.core.network import DIRECT, hops, is_here, network_of, parse_proxies

ME, PROXY, OUTER = "203.0.113.7", "10.0.0.1", "10.0.0.2"
LIED = "198.51.100.1"


@pytest.mark.parametrize(
    ("proxies", "peer", "told", "client"),
    [
        ("0", ME, [LIED], ME),
        ("1", PROXY, [ME], ME),
        ("1", PROXY, [LIED, ME], ME),
        ("2", PROXY, [LIED, ME, OUTER], ME),
        ("2", PROXY, [ME], ME),  # who came past the outer one
        ("1", ME, [], ME),
        ("1", PROXY, ["127.0.0.1"], ""),  # nobody comes from this machine by hearsay
        ("1", PROXY, ["::ffff:127.0.0.1"], ""),
        ("1", PROXY, ["unknown"], ""),
        ("1", PROXY, ["_hidden"], ""),
        ("1", PROXY, [f"{ME}:4711"], ME),
        ("1", PROXY, ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("1", PROXY, [f"::ffff:{ME}"], ME),
        ("10.0.0.0/8", PROXY, [LIED, ME, OUTER], ME),
        ("10.0.0.0/8", ME, [LIED], ME),  # who is no proxy of ours may say what they like
        ("10.0.0.0/8", PROXY, [OUTER], OUTER),
        ("10.0.0.0/8, fd00::/8", "fd00::1", [ME, PROXY], ME),
        ("10.0.0.0/8", "testclient", [LIED], "testclient"),
    ],
)
def test_only_trusted_proxies_tell_who_is_behind_them(proxies: str, peer: str, told: list[str], client: str) -> None:
    assert parse_proxies(proxies).client(peer, told) == client


def test_by_default_nobody_is_trusted() -> None:
    assert not DIRECT
    assert DIRECT.client(ME, [LIED]) == ME


@pytest.mark.parametrize("text", ["anything", "-1", "99", "10.0.0.1/8", "10.0.0.0/33", "1,2", "10.0.0.0/8;fd00::/8"])
def test_what_is_neither_a_number_nor_networks_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="must be") as refused:
        parse_proxies(text)
    assert text not in str(refused.value).replace("10.0.0.0/8, fd00::/8", "")


def test_several_headers_are_read_in_order_and_empty_entries_are_nobody() -> None:
    assert hops([f"{LIED}, {ME}", "", f" {OUTER} ,"]) == [LIED, ME, OUTER]
    assert len(hops([",".join([ME] * 10_000)])) == 64


@pytest.mark.parametrize(
    ("client", "network"),
    [
        (ME, ME),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        (f"::ffff:{ME}", ME),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", ""),
    ],
)
def test_a_visitor_is_an_ipv4_address_or_a_64_of_ipv6(client: str, network: str) -> None:
    assert network_of(client) == network


def test_this_machine_is_known_by_its_loopback() -> None:
    assert all(map(is_here, ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")))
    assert not any(map(is_here, (ME, "", "x", "::2")))
