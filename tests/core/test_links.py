"""Links open only what they were made for, and nothing that was changed."""

import base64
import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from funnel.core.links import Use, confirm_token, subject_of, token, token_hash

KEY = bytes(range(32))
OLD_KEY = bytes(32)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

subjects = st.integers(0, 2**48 - 1)
uses = st.sampled_from(Use)


@given(uses, subjects)
def test_a_token_names_its_subject(use: Use, subject: int) -> None:
    assert subject_of([KEY], use, token(KEY, use, subject)) == subject


@given(uses, uses, subjects)
def test_a_token_opens_nothing_but_its_own_use(use: Use, other: Use, subject: int) -> None:
    assume(use != other)
    assert subject_of([KEY], other, token(KEY, use, subject)) is None


@given(uses, subjects, st.data())
def test_an_altered_token_is_nobodys(use: Use, subject: int, data: st.DataObject) -> None:
    text = token(KEY, use, subject)
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(ALPHABET + "=+/ .é\n\x00"))
    assume(letter != text[place])
    assert subject_of([KEY], use, text[:place] + letter + text[place + 1 :]) is None


@given(uses, subjects, st.integers(0, 29))
def test_a_truncated_token_is_nobodys(use: Use, subject: int, length: int) -> None:
    text = token(KEY, use, subject)
    assert subject_of([KEY], use, text[:length]) is None
    assert subject_of([KEY], use, text[len(text) - length :]) is None


@given(uses, subjects, st.text(min_size=1, max_size=5))
def test_a_lengthened_token_is_nobodys(use: Use, subject: int, more: str) -> None:
    assert subject_of([KEY], use, token(KEY, use, subject) + more) is None
    assert subject_of([KEY], use, more + token(KEY, use, subject)) is None


@given(uses, st.one_of(st.text(max_size=60), st.text(alphabet=ALPHABET, min_size=30, max_size=30)))
def test_a_forged_token_is_nobodys(use: Use, text: str) -> None:
    assert subject_of([KEY], use, text) is None


@given(uses, subjects, st.integers(1, 2**48 - 1))
def test_a_token_cannot_be_moved_to_another_subject(use: Use, subject: int, step: int) -> None:
    other = (subject + step) % 2**48
    mac = base64.urlsafe_b64decode(token(KEY, use, subject) + "==")[6:]
    moved = base64.urlsafe_b64encode(other.to_bytes(6, "big") + mac).rstrip(b"=").decode()
    assert subject_of([KEY], use, moved) is None


def test_a_token_outlives_a_change_of_keys_but_not_the_loss_of_its_own() -> None:
    text = token(OLD_KEY, Use.UNSUBSCRIBE, 7)
    assert subject_of([KEY, OLD_KEY], Use.UNSUBSCRIBE, text) == 7
    assert subject_of([KEY], Use.UNSUBSCRIBE, text) is None
    assert subject_of([], Use.UNSUBSCRIBE, text) is None


def test_a_token_fits_into_a_path() -> None:
    assert all(set(token(KEY, use, 2**48 - 1)) <= set(ALPHABET) for use in Use)


def test_a_confirm_token_follows_from_its_notice() -> None:
    made = confirm_token(KEY, 12, 1_795_348_800_000)
    assert made == confirm_token(KEY, 12, 1_795_348_800_000)
    others = [
        confirm_token(KEY, 13, 1_795_348_800_000),
        confirm_token(KEY, 12, 1_795_348_800_001),
        confirm_token(OLD_KEY, 12, 1_795_348_800_000),
    ]
    assert len({made, *others}) == 4
    assert len(base64.urlsafe_b64decode(made + "==")) * 8 == 128


def test_a_confirm_token_is_kept_as_a_hash_of_its_bytes() -> None:
    made = confirm_token(KEY, 12, 1)
    assert token_hash(made) == hashlib.sha256(base64.urlsafe_b64decode(made + "==")).digest()


@pytest.mark.parametrize(
    "text", ["", "a", "é" * 22, "A" * 21, "A" * 23, "A" * 22 + "==", "A" * 21 + "B", " " + "A" * 21]
)
def test_what_cannot_be_a_confirm_token_has_no_hash(text: str) -> None:
    assert token_hash(text) is None


def test_a_lesson_token_is_no_confirm_token() -> None:
    assert token_hash(token(KEY, Use.READ, 12)) is None
    assert subject_of([KEY], Use.CONFIRM, confirm_token(KEY, 12, 1)) is None
