"""Rates, ramps and patience: tables of cases."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.delivery import Health
from funnel.core.pace import (
    LONGEST_BACKOFF_MS,
    WARM_UP,
    Rate,
    Unpaced,
    backoff_ms,
    bucket,
    hold_ms,
    parse_domain_rates,
    parse_rate,
    warm_up_bucket,
    warm_up_limit,
)
from funnel.core.schedule import DAY_MS

MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", Rate(100, 1_000)),
        ("6000/m", Rate(6_000, 60_000)),
        ("50000/h", Rate(50_000, 3_600_000)),
        (" 1/h ", Rate(1, 3_600_000)),
        ("9999999/s", Rate(9_999_999, 1_000)),
    ],
)
def test_a_rate_is_a_number_and_a_unit(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "100", "100/", "/s", "0/s", "-1/s", "1.5/s", "100/d", "100 / s", "10000000/s", "١/s"]
)
def test_what_is_no_rate_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="must be a rate like 100/s, 6000/m or 50000/h"):
        parse_rate(text)


def test_domains_have_rates_of_their_own_and_one_for_the_others() -> None:
    assert parse_domain_rates("gmail.com=20/s, Outlook.com = 5/m,*=50/h,") == {
        "gmail.com": Rate(20, 1_000),
        "outlook.com": Rate(5, 60_000),
        "*": Rate(50, 3_600_000),
    }
    assert parse_domain_rates("") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("20/s", "must be like gmail.com=20/s"),
        ("gmail=20/s", "must be like gmail.com=20/s"),
        ("alice@gmail.com=20/s", "must be like gmail.com=20/s"),
        ("*.com=20/s", "must be like gmail.com=20/s"),
        ("gmail.com=", "must be a rate like"),
        ("gmail.com=20", "must be a rate like"),
        ("gmail.com=1/s,GMAIL.COM=2/s", "names gmail.com twice"),
    ],
)
def test_malformed_domain_rates_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_domain_rates(text)


@pytest.mark.parametrize(
    ("rate", "capacity"),
    [("100/s", 200), ("1/s", 2), ("50000/h", 28), ("6000/m", 200), ("10/h", 1), ("1/h", 1), ("1/m", 1)],
)
def test_bursts_are_short_and_single_mails_always_get_through(rate: str, capacity: int) -> None:
    assert bucket(parse_rate(rate)).capacity == capacity


@pytest.mark.parametrize(
    ("day", "limit"), [(-400, 50), (-1, 50), (0, 50), (1, 100), (15, 500_000), (16, None), (9_999, None)]
)
def test_a_new_sender_warms_up_day_by_day(day: int, limit: int | None) -> None:
    assert warm_up_limit(day) == limit


def test_no_day_of_the_ramp_more_than_doubles_the_one_before() -> None:
    assert all(before < after <= 2 * before for before, after in pairwise(WARM_UP))


@pytest.mark.parametrize("limit", WARM_UP)
def test_a_day_that_begins_with_a_full_bucket_brings_its_limit_and_no_more(limit: int) -> None:
    held = warm_up_bucket(limit)
    assert held.capacity + held.rate.count * DAY_MS // held.rate.per_ms == limit
    assert held.capacity <= limit / 12


@given(st.integers(1, 60_000), st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_back_off_grows_to_an_hour_and_never_beyond(base_ms: int, retries: int, draw: float) -> None:
    longest = min(base_ms * 2 ** min(retries, 40), LONGEST_BACKOFF_MS)
    assert longest // 2 <= backoff_ms(base_ms, retries, draw) <= longest


@pytest.mark.parametrize(
    ("retries", "draw", "wait_ms"),
    [
        (0, 0, 500),
        (0, 0.999999, 1_000),
        (1, 0, 1_000),
        (3, 0.5, 6_000),
        (12, 0, 1_800_000),
        (500, 0.999999999, 3_600_000),
    ],
)
def test_a_back_off_doubles_and_is_drawn_from_its_upper_half(retries: int, draw: float, wait_ms: int) -> None:
    assert backoff_ms(1_000, retries, draw) == wait_ms


@pytest.mark.parametrize(
    ("health", "in_a_row", "strikes", "retry_ms", "held_ms"),
    [
        (Health.FINE, 0, 0, 0, None),
        (Health.FINE, 0, 7, 9_000, None),
        (Health.REFUSING, 1, 0, 0, 5 * MINUTE_MS),
        (Health.REFUSING, 1, 1, 0, 10 * MINUTE_MS),
        (Health.REFUSING, 1, 3, 0, 40 * MINUTE_MS),
        (Health.REFUSING, 1, 4, 0, 60 * MINUTE_MS),
        (Health.REFUSING, 1, 99, 0, 60 * MINUTE_MS),
        (Health.FAILING, 1, 0, 0, None),
        (Health.FAILING, 4, 0, 0, None),
        (Health.FAILING, 5, 0, 0, 30_000),
        (Health.FAILING, 6, 0, 0, 30_000),
        (Health.FAILING, 1, 1, 0, 60_000),
        (Health.FAILING, 1, 4, 0, 480_000),
        (Health.FAILING, 1, 5, 0, 600_000),
        (Health.FAILING, 1, 10**9, 0, 600_000),
        (Health.BUSY, 0, 0, 7_000, 7_000),
        (Health.BUSY, 0, 5, 7_000, 7_000),
        (Health.BUSY, 0, 0, 10**12, 60 * MINUTE_MS),
        (Health.BUSY, 0, 0, 0, None),
    ],
)
def test_how_long_an_answer_holds_a_provider(
    health: Health, in_a_row: int, strikes: int, retry_ms: int, held_ms: int | None
) -> None:
    assert hold_ms(health, in_a_row, strikes, retry_ms) == held_ms


def test_without_limits_everything_may_go() -> None:
    pace = Unpaced()
    pace.give_back(3)
    assert pace.take(7) == 7
    assert pace.take_domains({"example.org": 7}) == {}
