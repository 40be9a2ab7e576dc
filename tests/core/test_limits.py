"""Buckets, the tide of sign-ups, proofs of work, and domains that were mistyped."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from funnel.core.domains import LARGE, meant
from funnel.core.limits import FAST_MS, WORK_BITS, Level, Tide, shows_work, whole
from funnel.core.pace import MINUTE_MS, Rate
from funnel.core.schedule import DAY_MS, HOUR_MS

USUAL = Rate(2, MINUTE_MS)


@given(some.lists(some.integers(0, HOUR_MS), max_size=60))
def test_a_bucket_never_gives_more_than_its_rate_and_its_brim(waits: list[int]) -> None:
    bucket = whole(Rate(5, MINUTE_MS))
    level, now, given_at = Level(bucket.capacity, 0), 0, []
    for wait in waits:
        now += wait
        level, wait_ms = level.take(bucket, now)
        if not wait_ms:
            given_at.append(now)
    for start, end in itertools.combinations(range(len(given_at)), 2):
        passed = given_at[end] - given_at[start]
        assert end - start + 1 <= bucket.capacity + passed * 5 / MINUTE_MS + 0.001


def test_an_empty_bucket_says_when_there_is_one_again() -> None:
    bucket = whole(Rate(2, MINUTE_MS))
    level, _ = Level(0, 0).take(bucket, 0)
    wait_ms = level.take(bucket, 10_000)[1]
    assert level.take(bucket, 10_000 + wait_ms)[1] == 0
    assert level.take(bucket, 10_000 + wait_ms - 100)[1] > 0


def flood(tide: Tide, start_ms: int, a_minute: int, minutes: int) -> Tide:
    for each in range(a_minute * minutes):
        tide = tide.at(start_ms + each * MINUTE_MS // a_minute, USUAL, 1)
    return tide


def test_a_crowd_ten_times_the_usual_is_high_water_and_it_goes_by_itself() -> None:
    quiet = flood(Tide(), 0, 2, 60)
    assert not quiet.high
    burst = flood(quiet, HOUR_MS, 60, 10)
    assert burst.high
    assert not burst.at(HOUR_MS + 10 * MINUTE_MS + 4 * FAST_MS, USUAL).high


def test_what_is_usual_is_learned_from_the_week_and_not_from_a_burst() -> None:
    busy = Tide(fast=30 / MINUTE_MS, slow=30 / MINUTE_MS, at_ms=DAY_MS)
    assert not flood(busy, DAY_MS, 100, 15).high
    burst = flood(busy, DAY_MS, 600, 30)
    assert burst.high
    assert burst.slow < 1.2 * busy.slow


def test_a_clock_that_goes_back_does_no_harm() -> None:
    tide = flood(Tide(), HOUR_MS, 60, 10)
    assert tide.at(0, USUAL).fast == pytest.approx(tide.fast)


def test_work_is_shown_by_a_number_that_was_looked_for() -> None:
    found = next(str(n) for n in itertools.count() if shows_work("stamp", str(n)))
    digest = hashlib.sha256(f"stamp:{found}".encode()).digest()
    assert f"{int.from_bytes(digest, 'big'):0256b}".startswith("0" * WORK_BITS)
    assert not shows_work("another", found)
    assert not shows_work("stamp", "")


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        *(("gmial.com", "gmail.com"), ("gmai.com", "gmail.com"), ("gmail.con", "gmail.com")),
        *(("gmaill.com", "gmail.com"), ("gnail.co", "gmail.com"), ("hotmial.com", "hotmail.com")),
        *(("outlok.com", "outlook.com"), ("hotmai.com", "hotmail.com")),
        *(("yaho.com", "yahoo.com"), ("gmx.d", "gmx.de"), ("wbe.de", "web.de"), ("t-onlin.de", "t-online.de")),
        *(("googlemail.de", None), ("example.org", None), ("gmail.com", None), ("gmx.com", None), ("ms.com", None)),
        *(("email.com", None), ("gmx.co", None), ("", None), ("a" * 253, None), ("web.dk", "web.de")),
    ],
)  # fmt: skip
def test_only_what_looks_like_a_slip_is_asked_about(typed: str, wanted: str | None) -> None:
    assert meant(typed) == wanted


@given(some.sampled_from(sorted(LARGE)), some.text("abcdefghijklmnopqrstuvwxyz.-", max_size=30))
def test_nobody_is_asked_about_a_large_provider_and_only_large_ones_are_offered(known: str, other: str) -> None:
    assert meant(known) is None
    assert meant(other) in {None, *LARGE}
