"""A worker's meters: what they count, what they never say, and that serving them harms nobody."""

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from funnel.core.delivery import Health, State
from funnel.meters import HERE, MOST_ANSWERS, Meters


@pytest.fixture
def meters() -> Iterator[Meters]:
    made = Meters()
    yield made
    made.close()


def value(meters: Meters, name: str, **labels: str) -> float | None:
    return meters.registry.get_sample_value(f"funnel_{name}", labels)


def test_a_step_is_timed_though_it_fails(meters: Meters) -> None:
    with meters.time("plan"):
        assert value(meters, "step_seconds_count", step="plan") == 0
    with pytest.raises(RuntimeError), meters.time("plan"):
        raise RuntimeError
    assert value(meters, "step_seconds_count", step="plan") == 2
    assert value(meters, "step_seconds_count", step="settle") == 0
    assert value(meters, "step_seconds_sum", step="plan")


def test_an_answer_is_told_by_provider_fate_and_kind(meters: Meters) -> None:
    meters.answered("sendgrid", State.ACCEPTED, Health.FINE, 0.2, 200)
    meters.answered("sendgrid", State.ACCEPTED, Health.FINE, 3.0, 100)
    meters.answered("sendgrid", State.PLANNED, Health.BUSY, 0.01, 200)
    fine = {"provider": "sendgrid", "fate": "accepted", "answer": "fine"}
    assert value(meters, "hand_over_seconds_count", **fine) == 2
    assert value(meters, "hand_over_seconds_sum", **fine) == pytest.approx(3.2)
    assert value(meters, "hand_over_seconds_bucket", **fine, le="0.25") == 1
    assert value(meters, "hand_over_seconds_count", provider="sendgrid", fate="planned", answer="busy") == 1


def test_recipients_are_counted_by_their_own_fate(meters: Meters) -> None:
    meters.answered("smtp", State.ACCEPTED, Health.FINE, 0.2, 48)
    meters.differed(State.FAILED, 2)
    counts = {state: value(meters, "handed_over_recipients_total", fate=state) for state in State}
    assert {state: count for state, count in counts.items() if count} == {State.ACCEPTED: 48, State.FAILED: 2}


def test_what_is_in_flight_is_counted_and_lands_though_it_fails(meters: Meters) -> None:
    with meters.in_flight(), meters.in_flight():
        assert value(meters, "batches_in_flight") == 2
    with pytest.raises(RuntimeError), meters.in_flight():
        raise RuntimeError
    assert value(meters, "batches_in_flight") == 0


@pytest.mark.parametrize("strange", ["alice@example.org", "550 no such user <bob>", "Freeze", "", "x" * 25, "a\nb"])
def test_a_strange_kind_of_answer_is_never_repeated(meters: Meters, strange: str) -> None:
    meters.answered("smtp", State.FAILED, strange, 0.1, 1)
    assert value(meters, "hand_over_seconds_count", provider="smtp", fate="failed", answer="other") == 1
    assert value(meters, "hand_over_seconds_count", provider="smtp", fate="failed", answer=strange) is None


def test_labels_do_not_grow_without_end(meters: Meters) -> None:
    for number in range(10 * MOST_ANSWERS):
        letters = "".join(chr(97 + int(digit)) for digit in str(number))
        meters.answered("smtp", State.FAILED, letters, 0.1, 1)
    [family] = [each for each in meters.registry.collect() if each.name == "funnel_hand_over_seconds"]
    assert len([each for each in family.samples if each.name.endswith("_count")]) == MOST_ANSWERS + 1
    assert value(meters, "hand_over_seconds_count", provider="smtp", fate="failed", answer="other") == 9 * MOST_ANSWERS


def test_they_are_served_on_this_machine_as_text(meters: Meters) -> None:
    with meters.time("tick"):
        pass
    port = meters.serve(0)
    with urllib.request.urlopen(f"http://{HERE}:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    samples = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
    assert samples["funnel_batches_in_flight"].value == 0
    assert "process_resident_memory_bytes" in samples
    assert re.search(r'^funnel_step_seconds_count\{step="tick"\} 1.0$', text, re.MULTILINE)


def test_once_closed_they_are_served_no_more(meters: Meters) -> None:
    port = meters.serve(0)
    meters.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{HERE}:{port}/metrics", timeout=10)
    meters.close()


def test_a_port_that_is_taken_stops_no_worker(meters: Meters) -> None:
    with socket.socket() as other, capture_logs() as logs:
        other.bind((HERE, 0))
        other.listen()
        assert meters.serve(other.getsockname()[1]) is None
    assert [entry["event"] for entry in logs] == ["meters are not served"]
    meters.answered("outbox", State.ACCEPTED, Health.FINE, 0.1, 1)


def test_two_workers_of_one_process_have_meters_of_their_own(meters: Meters) -> None:
    other = Meters()
    other.differed(State.ACCEPTED, 5)
    assert value(meters, "handed_over_recipients_total", fate="accepted") == 0
