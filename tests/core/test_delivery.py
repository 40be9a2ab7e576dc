"""The whole life of a delivery, as a table."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.delivery import CAUSE_OF, EVIDENCE, HANDED_OVER, MOVES, NEVER_SENT, SETTLED, Cause, State, after, bit

# Every row that changes anything; whatever is not here leaves a delivery as it is.
TABLE = """
planned     start     started
planned     skip      skipped
started     again     planned
started     refuse    failed
started     skip      skipped
started     doubt     unknown
unknown     resend    planned
unknown     assume    accepted
skipped     renew     planned
failed      renew     planned
planned     accept    accepted
started     accept    accepted
unknown     accept    accepted
skipped     accept    accepted
failed      accept    accepted
planned     defer     deferred
started     defer     deferred
unknown     defer     deferred
skipped     defer     deferred
failed      defer     deferred
accepted    defer     deferred
planned     drop      dropped
started     drop      dropped
unknown     drop      dropped
skipped     drop      dropped
failed      drop      dropped
accepted    drop      dropped
deferred    drop      dropped
planned     deliver   delivered
started     deliver   delivered
unknown     deliver   delivered
skipped     deliver   delivered
failed      deliver   delivered
accepted    deliver   delivered
deferred    deliver   delivered
dropped     deliver   delivered
planned     bounce    bounced
started     bounce    bounced
unknown     bounce    bounced
skipped     bounce    bounced
failed      bounce    bounced
accepted    bounce    bounced
deferred    bounce    bounced
dropped     bounce    bounced
delivered   bounce    bounced
planned     complain  complained
started     complain  complained
unknown     complain  complained
skipped     complain  complained
failed      complain  complained
accepted    complain  complained
deferred    complain  complained
dropped     complain  complained
delivered   complain  complained
bounced     complain  complained
"""
ROWS = {(State(row.split()[0]), Cause(row.split()[1])): State(row.split()[2]) for row in TABLE.split("\n") if row}

states = st.sampled_from(State)
evidence = st.lists(st.sampled_from(EVIDENCE), max_size=8)
decisions = [cause for cause in Cause if cause not in EVIDENCE]


@pytest.mark.parametrize(("state", "cause"), list(itertools.product(State, Cause)))
def test_a_delivery_moves_exactly_as_the_table_says(state: State, cause: Cause) -> None:
    assert after(state, cause) == ROWS.get((state, cause), state)


def test_every_cause_has_its_row_and_every_state_can_be_reached() -> None:
    assert set(MOVES) == set(Cause)
    reached = {State.PLANNED}
    while further := {after(state, cause) for state in reached for cause in Cause} - reached:
        reached |= further
    assert reached == set(State)


@given(states, evidence, st.randoms())
def test_evidence_in_any_order_and_any_number_of_times_ends_alike(
    state: State, told: list[Cause], chance: object
) -> None:
    shuffled = list(told) * 2
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _walk(state, told) == _walk(state, shuffled)


@given(states, evidence, st.lists(st.sampled_from(Cause), max_size=12))
def test_what_was_handed_over_is_never_planned_or_forgotten_again(
    state: State, told: list[Cause], later: list[Cause]
) -> None:
    before = _walk(state, told)
    if before in HANDED_OVER:
        assert _walk(before, later) in HANDED_OVER


@given(st.lists(st.sampled_from(Cause), max_size=20))
def test_a_second_hand_over_needs_a_word_that_the_first_one_failed(causes: list[Cause]) -> None:
    state, open_doubt = State.PLANNED, False
    for cause in causes:
        before, state = state, after(state, cause)
        if before == State.STARTED and cause == Cause.DOUBT:
            open_doubt = True
        if cause in (Cause.RESEND, Cause.ASSUME) or state in HANDED_OVER:
            open_doubt = False
        assert not (open_doubt and state == State.STARTED)


@given(states, evidence, st.lists(st.sampled_from(decisions), max_size=6))
def test_a_decision_changes_nothing_that_evidence_has_settled(
    state: State, told: list[Cause], decided: list[Cause]
) -> None:
    settled = _walk(state, [Cause.ACCEPT, *told])
    assert _walk(settled, decided) == settled


def test_no_decision_moves_what_is_settled_but_the_taking_up_of_what_was_never_sent() -> None:
    moved = {(state, cause) for state in SETTLED for cause in decisions if after(state, cause) != state}
    assert moved == {(state, Cause.RENEW) for state in NEVER_SENT}


def test_an_answer_of_a_provider_has_its_cause() -> None:
    assert {after(State.STARTED, cause) for cause in CAUSE_OF.values()} == set(CAUSE_OF)


def test_attempts_have_bits_that_fit_the_database() -> None:
    assert [bit(attempt) for attempt in (1, 2, 3)] == [2, 4, 8]
    assert bit(32_767) < 2**63


def _walk(state: State, causes: list[Cause]) -> State:
    for cause in causes:
        state = after(state, cause)
    return state
