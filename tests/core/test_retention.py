"""The retention table and its setting."""

import pytest

from funnel.core.retention import DAY_MS, RULES, parse_retention, periods_ms


def test_the_periods_are_those_that_the_privacy_page_promises() -> None:
    assert {name: rule.days for name, rule in RULES.items()} == {
        **{"pending": 7, "pattern": 90, "links": 365, "events": 30, "tokens": 7, "mails": 30, "erasures": 30}
    }


def test_a_setting_changes_what_it_names_and_nothing_else() -> None:
    found = periods_ms(parse_retention("pattern=60d, events=14d,"))
    assert found == {**periods_ms({}), "pattern": 60 * DAY_MS, "events": 14 * DAY_MS}


@pytest.mark.parametrize("text", ["pattern", "pattern=60", "nothing=3d", "pattern=60d events=3d", "pattern=-1d"])
def test_what_is_no_period_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="must read like pattern=60d"):
        parse_retention(text)


@pytest.mark.parametrize("text", ["pending=3d", "events=3d", "pattern=0d", "pattern=4000d"])
def test_nothing_is_kept_shorter_than_it_is_needed_or_for_ever(text: str) -> None:
    with pytest.raises(ValueError, match="must keep"):
        parse_retention(text)
