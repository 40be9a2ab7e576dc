"""Whether a mail may be sent: tables of refusals."""

import hashlib

import pytest

from funnel.core.consent import (
    BOUNCE_MS,
    NOTICE_LIMITS,
    SKEW_MS,
    Enrolled,
    Standing,
    Suppressed,
    Suppression,
    confirming_lifts,
    is_overtaken,
    lesson_refusal,
    notice_refusal,
    standing_after,
    wording_hash,
)

HOUR, DAY = NOTICE_LIMITS


def test_a_lesson_goes_to_an_active_subscriber_in_an_active_enrollment() -> None:
    assert lesson_refusal(Standing.ACTIVE, Enrolled.ACTIVE, 3, 3) is None


@pytest.mark.parametrize("standing", [standing for standing in Standing if standing != Standing.ACTIVE])
@pytest.mark.parametrize("enrollment", list(Enrolled))
def test_no_lesson_goes_to_anybody_else(standing: Standing, enrollment: Enrolled) -> None:
    assert lesson_refusal(standing, enrollment, 3, 3) == standing


@pytest.mark.parametrize("enrollment", [enrollment for enrollment in Enrolled if enrollment != Enrolled.ACTIVE])
def test_no_lesson_goes_out_of_another_enrollment(enrollment: Enrolled) -> None:
    assert lesson_refusal(Standing.ACTIVE, enrollment, 3, 3) == f"enrollment {enrollment}"


@pytest.mark.parametrize("turn", [2, 4])
def test_no_lesson_goes_out_of_another_turn(turn: int) -> None:
    assert lesson_refusal(Standing.ACTIVE, Enrolled.ACTIVE, turn, 3) == "rescheduled"


@pytest.mark.parametrize("word", ["", "Active", "nobody"])
def test_a_standing_that_nobody_knows_is_refused(word: str) -> None:
    assert lesson_refusal(word, Enrolled.ACTIVE, 3, 3) is not None


NOW_MS = 1_795_348_800_000
FRESH, RESTED = NOW_MS - BOUNCE_MS + 1, NOW_MS - BOUNCE_MS
UNSUBSCRIBED, COMPLAINT = Suppression("unsubscribed", NOW_MS), Suppression("complaint", 0)


@pytest.mark.parametrize(
    ("standing", "suppression", "sent", "refusal"),
    [
        (Standing.PENDING, None, {}, None),
        (Standing.PENDING, None, {HOUR: 3, DAY: 7}, None),
        (Standing.PENDING, None, {HOUR: 4, DAY: 4}, "too many"),
        (Standing.PENDING, None, {HOUR: 0, DAY: 8}, "too many"),
        (Standing.PENDING, None, {HOUR: 5, DAY: 9}, "too many"),
        (Standing.ACTIVE, None, {}, None),
        (Standing.UNSUBSCRIBED, UNSUBSCRIBED, {}, None),
        (Standing.ERASED, Suppression("erased", NOW_MS), {}, None),
        (Standing.PENDING, UNSUBSCRIBED, {HOUR: 4}, "too many"),
        (Standing.PENDING, COMPLAINT, {}, "suppressed"),
        (Standing.SUPPRESSED, COMPLAINT, {}, "suppressed"),
        (Standing.PENDING, Suppression("not me", 0), {}, "suppressed"),
        (Standing.PENDING, Suppression("bounced", FRESH), {}, "suppressed"),
        (Standing.SUPPRESSED, Suppression("bounced", FRESH), {}, "suppressed"),
        (Standing.PENDING, Suppression("bounced", NOW_MS), {}, "suppressed"),
        (Standing.SUPPRESSED, Suppression("bounced", RESTED), {}, None),
        (Standing.PENDING, Suppression("bounced", 0), {}, None),
        (Standing.SUPPRESSED, Suppression("bounced", RESTED), {HOUR: 4}, "too many"),
        (Standing.PENDING, Suppression("", 0), {}, "suppressed"),  # a reason that nobody knows
        (Standing.SUPPRESSED, None, {}, "suppressed"),
        (Standing.SUPPRESSED, UNSUBSCRIBED, {}, "suppressed"),
        (Standing.PENDING, COMPLAINT, {HOUR: 4}, "suppressed"),
    ],
)
def test_a_confirm_mail_goes_only_where_it_may(
    standing: Standing, suppression: Suppression | None, sent: dict[int, int], refusal: str | None
) -> None:
    assert notice_refusal(standing, suppression, sent, NOW_MS) == refusal
    assert confirming_lifts(standing, suppression, NOW_MS) == (refusal != "suppressed")


@pytest.mark.parametrize(
    ("standing", "reason", "after"),
    [
        (Standing.ACTIVE, Suppressed.UNSUBSCRIBED, Standing.UNSUBSCRIBED),
        (Standing.PENDING, Suppressed.UNSUBSCRIBED, Standing.UNSUBSCRIBED),
        (Standing.SUPPRESSED, Suppressed.UNSUBSCRIBED, Standing.SUPPRESSED),
        (Standing.ACTIVE, Suppressed.BOUNCED, Standing.SUPPRESSED),
        (Standing.UNSUBSCRIBED, Suppressed.BOUNCED, Standing.SUPPRESSED),
        (Standing.PENDING, Suppressed.COMPLAINT, Standing.SUPPRESSED),
        (Standing.ERASED, Suppressed.COMPLAINT, Standing.ERASED),
        (Standing.ERASED, Suppressed.UNSUBSCRIBED, Standing.ERASED),
    ],
)
def test_where_somebody_stands_once_suppressed(standing: Standing, reason: Suppressed, after: Standing) -> None:
    assert standing_after(standing, reason) == after


def test_a_complaint_outranks_a_bounce_and_a_bounce_outranks_leaving() -> None:
    assert Suppressed.COMPLAINT.weaker == ("unsubscribed", "erased", "bounced")
    assert Suppressed.BOUNCED.weaker == ("unsubscribed", "erased")
    assert Suppressed.UNSUBSCRIBED.weaker == ()
    assert all(len(reason) <= 24 for reason in Suppressed)


@pytest.mark.parametrize(
    ("reason", "standing", "ahead_ms", "overtaken"),
    [
        (Suppressed.UNSUBSCRIBED, Standing.ACTIVE, SKEW_MS + 1, True),
        (Suppressed.BOUNCED, Standing.ACTIVE, SKEW_MS + 1, True),
        (Suppressed.UNSUBSCRIBED, Standing.ACTIVE, SKEW_MS, False),  # two clocks are never quite the same
        (Suppressed.UNSUBSCRIBED, Standing.ACTIVE, -1, False),
        (Suppressed.COMPLAINT, Standing.ACTIVE, 10 * SKEW_MS, False),
        (Suppressed.BOUNCED, Standing.UNSUBSCRIBED, 10 * SKEW_MS, False),
    ],
)
def test_confirming_overtakes_only_what_confirming_lifts(
    reason: Suppressed, standing: Standing, ahead_ms: int, overtaken: bool
) -> None:
    assert is_overtaken(reason, NOW_MS - ahead_ms, standing, NOW_MS) == overtaken


def test_a_wording_is_named_by_its_exact_bytes() -> None:
    assert wording_hash("Café, yes.") == hashlib.sha256("Café, yes.".encode()).hexdigest()
    assert len({wording_hash(text) for text in ("Yes.", "Yes. ", "yes.", "Yes")}) == 4
