"""The life of a batch, as a table."""

import pytest

from funnel.core.delivery import MOVES, SETTLED, State, may_move

ALLOWED = {
    ("planned", "started"),
    ("started", "accepted"),
    ("started", "unknown"),
    ("started", "failed"),
    ("planned", "skipped"),  # nobody started it: unplanned
    ("started", "skipped"),
    ("started", "planned"),  # the provider said "later"
    ("unknown", "accepted"),
    ("unknown", "planned"),  # evidence says it never arrived
}


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("after", list(State))
def test_a_batch_moves_only_along_the_table(before: State, after: State) -> None:
    assert may_move(before, after) == ((before, after) in ALLOWED)


def test_every_state_has_its_row() -> None:
    assert set(MOVES) == set(State)


def test_what_is_settled_stays_settled() -> None:
    assert {State.ACCEPTED, State.FAILED, State.SKIPPED} == SETTLED
    assert not any(may_move(before, after) for before in SETTLED for after in State)


def test_nothing_is_accepted_that_was_not_started() -> None:
    assert [before for before in State if may_move(before, State.ACCEPTED)] == [State.STARTED, State.UNKNOWN]


def test_every_state_can_be_reached_and_every_open_one_can_be_settled() -> None:
    assert _reachable(State.PLANNED) == set(State)
    for state in set(State) - SETTLED:
        assert _reachable(state) & SETTLED


def _reachable(start: State) -> set[State]:
    found, open_ends = {start}, [start]
    while open_ends:
        onward = MOVES[open_ends.pop()] - found
        found |= onward
        open_ends += onward
    return found
