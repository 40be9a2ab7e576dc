"""Whether a mail may be sent: tables of refusals."""

import hashlib

import pytest

from funnel.core.consent import NOTICE_LIMITS, Enrolled, Standing, lesson_refusal, notice_refusal, wording_hash

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


@pytest.mark.parametrize(
    ("standing", "suppressed_for", "sent", "refusal"),
    [
        (Standing.PENDING, None, {}, None),
        (Standing.PENDING, None, {HOUR: 3, DAY: 7}, None),
        (Standing.PENDING, None, {HOUR: 4, DAY: 4}, "too many"),
        (Standing.PENDING, None, {HOUR: 0, DAY: 8}, "too many"),
        (Standing.PENDING, None, {HOUR: 5, DAY: 9}, "too many"),
        (Standing.ACTIVE, None, {}, None),
        (Standing.UNSUBSCRIBED, Standing.UNSUBSCRIBED, {}, None),
        (Standing.ERASED, Standing.ERASED, {}, None),
        (Standing.PENDING, Standing.UNSUBSCRIBED, {HOUR: 4}, "too many"),
        (Standing.PENDING, "complained", {}, "suppressed"),
        (Standing.PENDING, "bounced", {}, "suppressed"),
        (Standing.PENDING, "", {}, "suppressed"),  # a reason that nobody knows
        (Standing.SUPPRESSED, None, {}, "suppressed"),
        (Standing.SUPPRESSED, Standing.UNSUBSCRIBED, {}, "suppressed"),
        (Standing.PENDING, "complained", {HOUR: 4}, "suppressed"),
    ],
)
def test_a_confirm_mail_goes_only_where_it_may(
    standing: Standing, suppressed_for: str | None, sent: dict[int, int], refusal: str | None
) -> None:
    assert notice_refusal(standing, suppressed_for, sent) == refusal


def test_a_wording_is_named_by_its_exact_bytes() -> None:
    assert wording_hash("Café, yes.") == hashlib.sha256("Café, yes.".encode()).hexdigest()
    assert len({wording_hash(text) for text in ("Yes.", "Yes. ", "yes.", "Yes")}) == 4
