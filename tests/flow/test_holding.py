"""Pause, resume, and the breaker: what is held, by whom, and what ends it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from funnel.core.delivery import Health
from funnel.flow import holding
from funnel.flow.holding import PROBE_MS, PROVIDERS, Breaker, Gate, Held
from funnel.mail.outbox import Outbox
from funnel.mail.sendgrid import SendGrid
from funnel.mail.smtp import Smtp
from funnel.store import holds
from funnel.store.db import reading, writing
from funnel.store.tables import Record
from tests.conftest import NAME, NOON_MS, Clock

MINUTE_MS = 60_000
FREE = Held(False, frozenset(), {})


def held(engine: Engine, now_ms: int = NOON_MS) -> Held:
    with reading(engine) as connection:
        return holding.current(connection, now_ms)


def row(engine: Engine, scope: str = "provider:smtp") -> Record | None:
    with reading(engine) as connection:
        return holds.by_scope(connection, scope)


def admits(breaker: Breaker, engine: Engine, now_ms: int) -> bool:
    with writing(engine) as connection:
        return breaker.admits(connection, holding.current(connection, now_ms), now_ms)


def tripped(engine: Engine, clock: Clock, health: Health = Health.FAILING) -> Breaker:
    """A breaker that has just shut the gate."""
    breaker = Breaker("smtp")
    for _ in range(4 if health == Health.FAILING else 0):
        assert not breaker.listen(engine, health, 0, clock())
    assert breaker.listen(engine, health, 0, clock())
    return breaker


def test_nothing_is_held_in_the_beginning(engine: Engine) -> None:
    assert held(engine) == FREE
    assert held(engine).provider("smtp") == Gate.OPEN


def test_the_providers_go_by_these_names() -> None:
    assert sorted(provider.name for provider in (Outbox, SendGrid, Smtp)) == sorted(PROVIDERS)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("all", Held(True, frozenset(), {})),
        (f"funnel:{NAME}", Held(False, frozenset({NAME}), {})),
        ("provider:smtp", Held(False, frozenset(), {"smtp": Gate.SHUT})),
    ],
)
def test_a_pause_lasts_until_a_person_resumes(published: Engine, scope: str, expected: Held) -> None:
    assert holding.pause(published, scope, "a look at the texts", NOON_MS) is None
    assert held(published) == held(published, NOON_MS * 2) == expected
    found = row(published, scope)
    assert found is not None
    assert (found.reason, found.since_ms, found.until_ms) == ("a look at the texts", NOON_MS, None)
    assert holding.resume(published, scope, NOON_MS)
    assert held(published) == FREE


def test_pausing_all_shuts_every_provider(engine: Engine) -> None:
    holding.pause(engine, "all", "", NOON_MS)
    assert {held(engine).provider(name) for name in PROVIDERS} == {Gate.SHUT}


def test_what_is_not_held_cannot_be_resumed(engine: Engine) -> None:
    assert not holding.resume(engine, "all", NOON_MS)
    assert not holding.resume(engine, "funnel:nobody", NOON_MS)


@pytest.mark.parametrize(
    ("scope", "says"),
    [
        ("funnel:house", f"There is no such funnel. Known: {NAME}."),
        ("funnel:", f"There is no such funnel. Known: {NAME}."),
        ("provider:pigeon", "There is no such provider. Known: outbox, sendgrid, smtp."),
        ("everything", "Pause all, funnel:<name> or provider:<name>."),
        (NAME, "Pause all, funnel:<name> or provider:<name>."),
        ("all:smtp", "Pause all, funnel:<name> or provider:<name>."),
    ],
)
def test_what_does_not_exist_is_not_paused(published: Engine, scope: str, says: str) -> None:
    assert holding.pause(published, scope, "", NOON_MS) == says
    assert held(published) == FREE


def test_a_long_reason_is_cut_and_not_refused(engine: Engine) -> None:
    holding.pause(engine, "all", "x" * 999, NOON_MS)
    assert holding.pause(engine, "all", "again", NOON_MS) is None
    found = row(engine, "all")
    assert found is not None
    assert found.reason == "again"


def test_all_is_well_costs_nothing() -> None:
    breaker = Breaker("smtp")
    nowhere: Engine = None  # type: ignore[assignment]  # whatever asks the database fails
    for health in (Health.FINE, *[Health.FAILING] * 4, Health.FINE, *[Health.FAILING] * 4, Health.FINE):
        assert not breaker.listen(nowhere, health, 0, NOON_MS)


def test_five_failures_in_a_row_hold_the_provider(engine: Engine, clock: Clock) -> None:
    breaker = tripped(engine, clock)
    assert not admits(breaker, engine, clock())
    assert held(engine).providers == {"smtp": Gate.SHUT}
    found = row(engine)
    assert found is not None
    assert (found.reason, found.until_ms, found.strikes) == ("the provider is failing", NOON_MS + 30_000, 1)
    assert held(engine).provider("sendgrid") == Gate.OPEN


def test_one_refusal_is_enough(engine: Engine, clock: Clock) -> None:
    tripped(engine, clock, Health.REFUSING)
    found = row(engine)
    assert found is not None
    assert (found.reason, found.until_ms) == ("the provider is refusing", NOON_MS + 5 * MINUTE_MS)


def test_every_worker_heeds_what_one_has_heard(engine: Engine, clock: Clock) -> None:
    tripped(engine, clock)
    assert not admits(Breaker("smtp"), engine, clock())
    assert admits(Breaker("sendgrid"), engine, clock())


def test_one_batch_goes_first_and_its_acceptance_lifts_the_hold(engine: Engine, clock: Clock) -> None:
    breaker, other = tripped(engine, clock), Breaker("smtp")
    clock.forward(seconds=30)
    assert held(engine, clock()).provider("smtp") == Gate.HALF_OPEN
    assert admits(other, engine, clock())
    assert not admits(breaker, engine, clock())
    assert not admits(other, engine, clock())
    clock.forward(seconds=1)
    assert not other.listen(engine, Health.FINE, 0, clock())
    assert row(engine) is None
    assert admits(breaker, engine, clock())
    assert admits(other, engine, clock())


def test_the_probe_that_fails_holds_it_longer_each_time(engine: Engine, clock: Clock) -> None:
    breaker, waits = tripped(engine, clock), []
    for _ in range(7):
        found = row(engine)
        assert found is not None
        waits.append((found.until_ms - clock()) // 1_000)
        assert found.since_ms == NOON_MS
        clock.now_ms = found.until_ms
        assert admits(breaker, engine, clock())
        assert breaker.listen(engine, Health.FAILING, 0, clock())
    assert waits == [30, 60, 120, 240, 480, 600, 600]


def test_a_provider_that_was_asked_nothing_is_no_better_and_no_worse_for_it(engine: Engine, clock: Clock) -> None:
    breaker = Breaker("smtp")
    for health in (*[Health.FAILING] * 3, Health.UNASKED, Health.FAILING):
        assert not breaker.listen(engine, health, 0, clock())
    assert breaker.listen(engine, Health.FAILING, 0, clock())
    clock.forward(seconds=31)
    assert admits(breaker, engine, clock())
    breaker.listen(engine, Health.UNASKED, 0, clock())
    assert held(engine, clock()).provider("smtp") != Gate.OPEN


def test_after_an_acceptance_it_begins_anew(engine: Engine, clock: Clock) -> None:
    breaker = tripped(engine, clock)
    clock.forward(seconds=30)
    assert admits(breaker, engine, clock())
    breaker.listen(engine, Health.FINE, 0, clock())
    assert not breaker.listen(engine, Health.FAILING, 0, clock())
    assert admits(breaker, engine, clock())


def test_a_probe_that_never_answers_is_followed_by_another(engine: Engine, clock: Clock) -> None:
    tripped(engine, clock)
    clock.forward(seconds=30)
    assert admits(Breaker("smtp"), engine, clock())  # … and then the worker is gone
    clock.forward(seconds=PROBE_MS / 1000 - 1)
    assert not admits(Breaker("smtp"), engine, clock())
    clock.forward(seconds=1)
    assert admits(Breaker("smtp"), engine, clock())


def test_of_many_workers_one_sends_the_probe(engine: Engine, clock: Clock) -> None:
    tripped(engine, clock)
    clock.forward(seconds=30)
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda _: admits(Breaker("smtp"), engine, clock()), range(12))) == 1


def test_a_busy_provider_is_left_alone_for_as_long_as_it_asks(engine: Engine, clock: Clock) -> None:
    breaker = Breaker("smtp")
    assert breaker.listen(engine, Health.BUSY, 9_000, clock())
    assert not breaker.listen(engine, Health.BUSY, 4_000, clock())
    found = row(engine)
    assert found is not None
    assert found.until_ms == NOON_MS + 9_000
    clock.forward(seconds=9)
    assert admits(breaker, engine, clock())
    assert breaker.listen(engine, Health.BUSY, 2_000, clock())
    clock.forward(seconds=2)
    assert admits(breaker, engine, clock())
    breaker.listen(engine, Health.FINE, 0, clock())
    assert row(engine) is None


def test_a_busy_provider_that_names_no_time_is_not_held(engine: Engine, clock: Clock) -> None:
    assert not Breaker("smtp").listen(engine, Health.BUSY, 0, clock())
    assert row(engine) is None


def test_acceptances_that_come_late_do_not_cut_a_hold_short(engine: Engine, clock: Clock) -> None:
    breaker = Breaker("smtp")
    breaker.listen(engine, Health.BUSY, 9_000, clock())
    breaker.listen(engine, Health.FINE, 0, clock())
    assert held(engine, clock()).provider("smtp") == Gate.SHUT


def test_failures_that_come_late_are_no_new_strikes(engine: Engine, clock: Clock) -> None:
    breaker = tripped(engine, clock, Health.REFUSING)
    for _ in range(15):
        clock.forward(seconds=0.1)
        assert not breaker.listen(engine, Health.REFUSING, 0, clock())
    found = row(engine)
    assert found is not None
    assert (found.strikes, found.until_ms) == (1, clock() + 5 * MINUTE_MS)


@pytest.mark.parametrize("scope", ["all", "provider:smtp"])
@pytest.mark.parametrize("health", [Health.FINE, Health.REFUSING, Health.FAILING, Health.BUSY])
def test_no_answer_moves_what_a_person_holds(engine: Engine, clock: Clock, scope: str, health: Health) -> None:
    holding.pause(engine, scope, "a person", clock())
    breaker = Breaker("smtp")
    assert not admits(breaker, engine, clock())
    for _ in range(7):
        said = breaker.listen(engine, health, 5_000, clock())
        assert not said or scope == "all"
    found = row(engine, scope)
    assert found is not None
    assert (found.reason, found.until_ms) == ("a person", None)
    assert not admits(breaker, engine, clock.forward(days=9))


def test_a_person_may_resume_what_the_breaker_holds(engine: Engine, clock: Clock) -> None:
    breaker = tripped(engine, clock)
    assert holding.resume(engine, "provider:smtp", clock())
    assert admits(breaker, engine, clock())
    assert not breaker.listen(engine, Health.FAILING, 0, clock())


def test_a_persons_pause_takes_the_place_of_the_breakers(engine: Engine, clock: Clock) -> None:
    breaker = tripped(engine, clock)
    holding.pause(engine, "provider:smtp", "a person", clock())
    clock.forward(seconds=60)
    assert not admits(breaker, engine, clock())
    breaker.listen(engine, Health.FINE, 0, clock())
    assert held(engine, clock()).provider("smtp") == Gate.SHUT


def test_a_persons_pause_outlasts_the_probe_that_was_under_way(engine: Engine, clock: Clock) -> None:
    breaker = tripped(engine, clock)
    clock.forward(seconds=30)
    assert admits(breaker, engine, clock())
    holding.pause(engine, "provider:smtp", "a person", clock())
    breaker.listen(engine, Health.FINE, 0, clock())
    assert held(engine, clock()).provider("smtp") == Gate.SHUT


def test_workers_that_trip_at_the_same_moment_hold_it_once(engine: Engine, clock: Clock) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: Breaker("smtp").listen(engine, Health.REFUSING, 0, clock()), range(8)))
    assert any(answers)
    with reading(engine) as connection:
        assert len(holds.listed(connection)) == 1


HISTORIES = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([None, *Health]), st.integers(0, 90_000)), max_size=30
)  # which worker, what it hears (None: it wants to start a batch), after how many ms


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(HISTORIES)
def test_whatever_happens_mail_goes_on_once_the_provider_is_well(
    engine: Engine, history: list[tuple[int, Health | None, int]]
) -> None:
    clock, workers = Clock(), [Breaker("smtp") for _ in range(3)]
    with writing(engine) as connection:
        holds.remove(connection, "provider:smtp")
    for who, health, later_ms in history:
        clock.now_ms += later_ms
        if health is None:
            admits(workers[who], engine, clock())
        else:
            workers[who].listen(engine, health, 3_000, clock())
    for _ in range(2):
        clock.forward(hours=1)
        assert admits(workers[0], engine, clock())
        workers[0].listen(engine, Health.FINE, 0, clock())
    assert all(admits(worker, engine, clock()) for worker in workers)
    assert row(engine) is None
