"""Whether a mail may be sent: tables of refusals."""

import hashlib

import pytest

from funnel.core.consent import NOTICES_PER_WINDOW, Enrolled, Standing, lesson_refusal, notice_refusal, wording_hash


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
        (Standing.PENDING, None, 0, None),
        (Standing.PENDING, None, NOTICES_PER_WINDOW - 1, None),
        (Standing.PENDING, None, NOTICES_PER_WINDOW, "too many"),
        (Standing.PENDING, None, NOTICES_PER_WINDOW + 1, "too many"),
        (Standing.ACTIVE, None, 0, None),
        (Standing.UNSUBSCRIBED, Standing.UNSUBSCRIBED, 0, None),
        (Standing.ERASED, Standing.ERASED, 0, None),
        (Standing.PENDING, Standing.UNSUBSCRIBED, NOTICES_PER_WINDOW, "too many"),
        (Standing.PENDING, "complained", 0, "suppressed"),
        (Standing.PENDING, "bounced", 0, "suppressed"),
        (Standing.PENDING, "", 0, "suppressed"),  # a reason that nobody knows
        (Standing.SUPPRESSED, None, 0, "suppressed"),
        (Standing.SUPPRESSED, Standing.UNSUBSCRIBED, 0, "suppressed"),
        (Standing.PENDING, "complained", NOTICES_PER_WINDOW, "suppressed"),
    ],
)
def test_a_confirm_mail_goes_only_where_it_may(
    standing: Standing, suppressed_for: str | None, sent: int, refusal: str | None
) -> None:
    assert notice_refusal(standing, suppressed_for, sent) == refusal


def test_a_wording_is_named_by_its_exact_bytes() -> None:
    assert wording_hash("Café, yes.") == hashlib.sha256("Café, yes.".encode()).hexdigest()
    assert len({wording_hash(text) for text in ("Yes.", "Yes. ", "yes.", "Yes")}) == 4
