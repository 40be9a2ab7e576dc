"""Accept-Language: the best language on offer, and garbage that breaks nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.locale import preferred

OFFERED = ("en", "de", "pt-br")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("de;q=0.3, en;q=0.7", "en"),
        ("en;q=0.5, de;q=0.5", "en"),
        ("de;q=0, en;q=0.1", "en"),
        ("fr, de;q=0.2", "de"),
        ("pt", "pt-br"),
        ("pt-PT", "pt-br"),
        ("*", "en"),
        ("fr, *;q=0.1", "en"),
        ("fr", None),
        ("", None),
        ("de;q=2", None),
        ("de;q=x, en", "en"),
        ("de; q = 0.4 , en;q=0.3", "de"),
        (";;;,,,=", None),
        ("\x00\xff,de", "de"),
        ("x" * 10_000, None),
        ("," * 10_000 + "de", None),
        ("../../etc/passwd", None),
    ],
)
def test_the_best_language_on_offer_is_found(header: str, found: str | None) -> None:
    assert preferred(header, OFFERED) == found


@given(st.text(max_size=600))
def test_no_header_breaks_anything(header: str) -> None:
    assert preferred(header, OFFERED) in {*OFFERED, None}


def test_where_nothing_is_offered_nothing_is_found() -> None:
    assert preferred("*,de", ()) is None
