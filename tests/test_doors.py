"""The doors against a real Valkey that two processes share, and without it: the same, and nobody's address."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from funnel.bucket import connect
from funnel.core.limits import FormLimits, Tide
from funnel.core.pace import MINUTE_MS, Rate
from funnel.core.schedule import HOUR_MS
from funnel.doors import AWAY_MS, MOST_HELD, Doors
from tests.conftest import NOON_MS
from tests.test_bucket import valkey_server

KEY = bytes(range(32))
LIMITS = FormLimits(Rate(3, HOUR_MS), Rate(8, HOUR_MS), Rate(2, MINUTE_MS), Rate(5, HOUR_MS))
ONE, OTHER = "203.0.113.7", "2001:db8::1"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture(params=["redis", "alone", "away"])
def doors(request: pytest.FixtureRequest, server: str) -> Doors:
    if request.param == "alone":
        return Doors(None, KEY, LIMITS)
    if request.param == "away":
        return Doors(connect("redis://127.0.0.1:1"), KEY, LIMITS)
    client = connect(server)
    client.flushall()
    return Doors(client, KEY, LIMITS)


def test_a_visitor_may_send_so_many_forms_and_is_told_how_long_to_wait(doors: Doors) -> None:
    assert [doors.knock(ONE, NOON_MS) for _ in range(3)] == [0, 0, 0]
    wait_ms = doors.knock(ONE, NOON_MS)
    assert wait_ms == pytest.approx(HOUR_MS / 3, abs=2)
    assert doors.knock(ONE, NOON_MS + wait_ms - 1_000) > 0
    assert doors.knock(ONE, NOON_MS + wait_ms) == 0


def test_one_visitor_is_a_whole_64_and_others_are_not_held_up(doors: Doors) -> None:
    for last in "123":
        assert doors.knock(f"2001:db8::{last}", NOON_MS) == 0
    assert doors.knock("2001:db8::ffff", NOON_MS) > 0
    assert doors.knock("2001:db8:0:1::1", NOON_MS) == doors.knock(ONE, NOON_MS) == 0


def test_everybody_together_may_send_so_many_and_this_machine_only_counts_there(doors: Doors) -> None:
    assert [doors.knock("127.0.0.1", NOON_MS) for _ in range(8)] == [0] * 8
    assert doors.knock(ONE, NOON_MS) > 0
    assert doors.knock("127.0.0.1", NOON_MS) > 0


def test_who_has_to_wait_takes_nothing_from_the_others(doors: Doors) -> None:
    for _ in range(50):
        doors.knock(ONE, NOON_MS)
    assert [doors.knock(f"198.51.100.{each}", NOON_MS) for each in range(5)] == [0] * 5


def test_a_small_domain_gets_few_confirm_mails_and_a_large_one_as_many_as_it_wants(doors: Doors) -> None:
    found = [doors.may_mail("small.example", NOON_MS) for _ in range(LIMITS.domain.count + 1)]
    assert found == [True] * LIMITS.domain.count + [False]
    assert doors.may_mail("other.example", NOON_MS)
    assert all(doors.may_mail("gmail.com", NOON_MS) for _ in range(LIMITS.domain.count * 2))
    assert doors.may_mail("small.example", NOON_MS + HOUR_MS)


def test_a_proof_is_good_for_once(doors: Doors) -> None:
    assert [doors.spend(proof, NOON_MS) for proof in ("one", "two", "one")] == [True, True, False]


def test_a_crowd_is_noticed_and_goes_by_itself(doors: Doors) -> None:
    assert not doors.is_crowded(NOON_MS)
    for each in range(200):
        doors.arrive(NOON_MS + each * 100)
    assert doors.is_crowded(NOON_MS + 20_000)
    assert not doors.is_crowded(NOON_MS + HOUR_MS)


def test_two_processes_share_what_they_count(server: str) -> None:
    connect(server).flushall()
    one, other = (Doors(connect(server), KEY, LIMITS) for _ in range(2))
    for each in (one, other, one):
        assert each.knock(ONE, NOON_MS) == 0
    assert other.knock(ONE, NOON_MS) > 0
    assert one.spend("proof", NOON_MS)
    assert not other.spend("proof", NOON_MS)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(some.lists(some.tuples(some.integers(-1_000, HOUR_MS), some.integers(0, 1)), max_size=40))
def test_redis_reckons_the_tide_as_core_does(server: str, steps: list[tuple[int, int]]) -> None:
    client = connect(server)
    client.flushall()
    doors, tide, now_ms = Doors(client, KEY, LIMITS), Tide(), NOON_MS
    for wait_ms, arrivals in steps:
        now_ms += wait_ms
        tide = tide.at(now_ms, LIMITS.usual, arrivals)
        found = doors._look(now_ms, arrivals)
        assert (found.fast, found.slow) == pytest.approx((tide.fast, tide.slow), rel=1e-9, abs=1e-30)
        assert (found.at_ms, found.high) == (tide.at_ms, tide.high)


def test_redis_holds_nobodys_address_and_nothing_for_ever(server: str) -> None:
    client = connect(server)
    client.flushall()
    doors = Doors(client, KEY, LIMITS)
    doors.knock(ONE, NOON_MS)
    doors.knock(OTHER, NOON_MS)
    doors.may_mail("small.example", NOON_MS)
    doors.arrive(NOON_MS)
    doors.spend("stamp", NOON_MS)
    names = list(client.scan_iter())
    assert len(names) == 6
    said = b" ".join([*names, *(repr(client.hgetall(name)).encode() for name in names if client.type(name) == b"hash")])
    assert not [word for word in (b"203.0.113", b"2001:db8", b"small", b"stamp") if word in said]
    assert all(int(str(client.pttl(name))) > 0 for name in names)


def test_a_redis_that_does_not_answer_is_asked_once_and_then_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        doors = Doors(connect(f"redis://127.0.0.1:{listening.getsockname()[1]}", 0.05), KEY, LIMITS)
        assert doors.knock(ONE, NOON_MS) == 0
        assert doors._away_until_ms == NOON_MS + AWAY_MS
        assert doors.knock(ONE, NOON_MS + 1) == 0


def test_a_flood_of_visitors_does_not_fill_the_memory() -> None:
    doors = Doors(None, KEY, replace(LIMITS, all=Rate(10**6, MINUTE_MS)))
    for each in range(MOST_HELD + 100):
        doors.knock(f"10.{each >> 16}.{each >> 8 & 255}.{each & 255}", NOON_MS)
    assert len(doors._held._levels) == MOST_HELD
