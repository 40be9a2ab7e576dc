"""What events mean, as tables."""

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from funnel.core.consent import Suppressed
from funnel.core.delivery import EVIDENCE, MOVES, Cause, State, after
from funnel.core.event import CAUSES, KNOWN, SUPPRESSES, Why, kind_of, why

BOUNCED, COMPLAINT, UNSUBSCRIBED = Suppressed.BOUNCED, Suppressed.COMPLAINT, Suppressed.UNSUBSCRIBED


@pytest.mark.parametrize(
    ("kind", "type_", "reason", "status", "found", "suppressed"),
    [
        ("bounce", "bounce", "550 no such user", "5.1.1", Why.BOUNCED, BOUNCED),
        ("bounce", "bounce", "", "", Why.BOUNCED, BOUNCED),
        ("bounce", "bounce", "", "4.2.2", Why.BOUNCED, BOUNCED),
        ("bounce", "blocked", "550 spam", "5.7.1", Why.BLOCKED, None),
        ("bounce", "expired", "", "5.4.7", Why.BLOCKED, None),
        ("bounce", "", "", "5.1.1", Why.BOUNCED, BOUNCED),
        ("bounce", "", "", "4.2.2", Why.BLOCKED, None),
        ("bounce", "", "", "", Why.BLOCKED, None),
        ("bounce", "something new", "", "", Why.BLOCKED, None),
        ("dropped", "", "Bounced Address", "5.0.0", Why.BOUNCED, BOUNCED),
        ("dropped", "", " bounced address ", "", Why.BOUNCED, BOUNCED),
        ("dropped", "", "Spam Reporting Address", "", Why.COMPLAINT, COMPLAINT),
        ("dropped", "", "Unsubscribed Address", "", Why.UNSUBSCRIBED, UNSUBSCRIBED),
        ("dropped", "", "Invalid", "", Why.INVALID, BOUNCED),
        ("dropped", "", "Invalid SMTPAPI header", "", Why.OTHER, None),
        ("dropped", "", "Spam Content", "", Why.CONTENT, None),
        ("dropped", "", "Recipient List over Package Quota", "", Why.QUOTA, None),
        ("dropped", "", "", "", Why.OTHER, None),
        ("dropped", "bounce", "alice@example.org", "5.1.1", Why.OTHER, None),
        ("spamreport", "", "", "", Why.COMPLAINT, COMPLAINT),
        ("unsubscribe", "", "", "", Why.UNSUBSCRIBED, UNSUBSCRIBED),
        ("group_unsubscribe", "", "", "", Why.UNSUBSCRIBED, UNSUBSCRIBED),
        ("group_resubscribe", "", "", "", Why.NONE, None),
        ("processed", "bounce", "Bounced Address", "5.1.1", Why.NONE, None),
        ("deferred", "", "", "4.2.2", Why.NONE, None),
        ("delivered", "", "", "", Why.NONE, None),
        ("open", "", "", "", Why.NONE, None),
        ("account_status_change", "bounce", "Bounced Address", "5.1.1", Why.NONE, None),
    ],
)
def test_only_what_says_that_nobody_wants_it_suppresses(
    kind: str, type_: str, reason: str, status: str, found: Why, suppressed: Suppressed | None
) -> None:
    assert why(kind, type_, reason, status) == found
    assert SUPPRESSES.get(found) == suppressed


@given(some.text(), some.text(), some.text(), some.text())
def test_the_provider_cannot_put_words_into_what_is_kept(kind: str, type_: str, reason: str, status: str) -> None:
    kept = kind_of(kind)
    assert kept.isascii()
    assert 1 <= len(kept) <= 24
    assert why(kept, type_, reason, status) in Why
    assert max(len(each) for each in Why) <= 24


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("delivered", "delivered"),
        ("account_status_change", "account_status_change"),
        ("a" * 24, "a" * 24),
        ("a" * 25, "other"),
        ("", "other"),
        ("Delivered", "other"),
        ("alice@example.org", "other"),
        ("delivered\n", "other"),
    ],
)
def test_a_kind_that_nobody_knows_is_kept_as_far_as_it_is_a_word(word: str, kept: str) -> None:
    assert kind_of(word) == kept


def test_every_kind_that_moves_a_delivery_is_known_and_every_kind_of_evidence_has_one() -> None:
    assert set(CAUSES) <= KNOWN
    assert set(CAUSES.values()) == set(EVIDENCE)
    assert {kind_of(kind) for kind in KNOWN} == KNOWN


@given(some.sampled_from(list(State)), some.lists(some.sampled_from(EVIDENCE), min_size=1), some.randoms())
def test_evidence_in_any_order_and_any_number_of_times_leads_to_the_same_state(
    state: State, told: list[Cause], chance: Random
) -> None:
    def walk(causes: list[Cause]) -> State:
        end = state
        for cause in causes:
            end = after(end, cause)
        return end

    shuffled = told * 2
    chance.shuffle(shuffled)
    strongest = max(told, key=EVIDENCE.index)
    assert walk(told) == walk(shuffled) == after(state, strongest)


def test_each_evidence_outdoes_the_ones_before_it() -> None:
    for weaker, stronger in itertools.combinations(EVIDENCE, 2):
        assert after(MOVES[weaker].after, stronger) == MOVES[stronger].after
        assert after(MOVES[stronger].after, weaker) == MOVES[stronger].after
