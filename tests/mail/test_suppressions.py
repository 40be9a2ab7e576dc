"""Reading SendGrid's suppression lists through its SDK, over real HTTP."""

import logging
import socket
from collections.abc import Iterator

import pytest

from funnel.mail.suppressions import PAGE, Entry, List, ListFault, Suppressions
from tests.conftest import NOON_MS
from tests.fakes.suppressions import FakeSuppressions, Fault

NOON_S = NOON_MS // 1000
KEY = "SG.test"


@pytest.fixture
def fake() -> Iterator[FakeSuppressions]:
    with FakeSuppressions(KEY) as running:
        yield running


@pytest.mark.parametrize("list_", list(List))
def test_every_list_is_read_by_its_name(fake: FakeSuppressions, list_: List) -> None:
    fake.lists[list_] = [("alice@example.org", NOON_S), ("bob@example.org", NOON_S - 5)]
    page = Suppressions(KEY, fake.url).page(list_, 0, 0, NOON_MS)
    assert page == ([Entry("alice@example.org", NOON_MS), Entry("bob@example.org", NOON_MS - 5000)], 2)


def test_pages_are_full_and_end_with_an_empty_one(fake: FakeSuppressions) -> None:
    fake.lists["bounces"] = [(f"reader{number}@example.org", NOON_S - number) for number in range(PAGE + 3)]
    lists = Suppressions(KEY, fake.url)
    sizes = [lists.page(List.BOUNCES, offset, 0, NOON_MS).size for offset in (0, PAGE, PAGE + 3)]
    assert sizes == [PAGE, 3, 0]


def test_only_what_came_between_two_moments_is_asked_for(fake: FakeSuppressions) -> None:
    fake.lists["blocks"] = [("late@example.org", NOON_S + 1), ("in@example.org", NOON_S), ("old@example.org", 5)]
    page = Suppressions(KEY, fake.url).page(List.BLOCKS, 0, 6000, NOON_MS)
    assert [entry.address for entry in page.entries] == ["in@example.org"]
    assert (fake.asked[0].start_s, fake.asked[0].end_s) == (6, NOON_S)


@pytest.mark.parametrize(
    ("fault", "temporary"),
    [
        (Fault(400), False),
        (Fault(401), False),
        (Fault(403), False),
        (Fault(404), False),
        (Fault(408), True),
        (Fault(429), True),
        (Fault(500), True),
        (Fault(502, b"<html>canary@example.org</html>"), True),
        (Fault(503), True),
        (Fault(200, None), True),
        (Fault(200, b""), True),
        (Fault(200, b"{canary@example.org"), True),
        (Fault(200, b'{"email": "canary@example.org"}'), True),
        (Fault(200, b"null"), True),
    ],
)
def test_a_fault_says_whether_it_is_temporary_and_nothing_else(
    fake: FakeSuppressions, fault: Fault, temporary: bool
) -> None:
    fake.script(fault)
    with pytest.raises(ListFault) as raised:
        Suppressions(KEY, fake.url).page(List.BOUNCES, 0, 0, NOON_MS)
    assert raised.value.temporary == temporary
    assert "canary" not in f"{raised.value!r} {raised.value.__cause__!r}"
    assert KEY not in str(raised.value)


def test_nobody_there_is_temporary() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ListFault, match="no answer") as raised:
        Suppressions(KEY, f"http://127.0.0.1:{port}").page(List.BOUNCES, 0, 0, NOON_MS)
    assert raised.value.temporary


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funnel.mail.suppressions.LONGEST_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ListFault, match="no answer") as raised:
        Suppressions(KEY, f"http://127.0.0.1:{silent.getsockname()[1]}").page(List.BOUNCES, 0, 0, NOON_MS)
    assert raised.value.temporary


@pytest.mark.parametrize(
    "entry",
    [
        b"null",
        b"[]",
        b"{}",
        b'{"email": "canary@example.org"}',
        b'{"email": 5, "created": 1}',
        b'{"email": "canary@example.org", "created": "1"}',
        b'{"email": "canary@example.org", "created": -1}',
        b'{"email": "canary@example.org", "created": true}',
        b'{"email": "a\\u0000b", "created": 1}',
    ],
)
def test_an_entry_that_makes_no_sense_is_counted_and_left_out(fake: FakeSuppressions, entry: bytes) -> None:
    fake.script(Fault(200, b'[{"email": "alice@example.org", "created": 1}, ' + entry + b"]"))
    page = Suppressions(KEY, fake.url).page(List.BOUNCES, 0, 0, NOON_MS)
    assert page == ([Entry("alice@example.org", 1000)], 2)


def test_not_even_at_debug_does_a_log_hold_the_key_or_an_address(
    fake: FakeSuppressions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "python_http_client")
    caplog.set_level(logging.DEBUG, "python_http_client.client")
    fake.lists["bounces"] = [("alice@example.org", NOON_S)]
    lists = Suppressions(KEY, fake.url)
    lists.page(List.BOUNCES, 0, 0, NOON_MS)
    fake.script(Fault(500))
    with pytest.raises(ListFault):
        lists.page(List.BOUNCES, 0, 0, NOON_MS)
    assert KEY not in caplog.text
    assert "example.org" not in caplog.text
