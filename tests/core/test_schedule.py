"""When lessons are due: tables of cases, and an independent calculation that walks the clock in small steps."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.core.reasons import Code
from funnel.core.schedule import DAY_MS, HOUR_MS, Awaited, Timing, due, due_ms, is_zone

STEP_MS = 15 * 60_000  # every offset and every change of one is a whole number of these
EVERY_DAY = frozenset(range(7))
WORKDAYS = frozenset(range(5))
BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"


def instant(text: str, zone: str) -> int:
    """Epoch milliseconds of a local wall-clock time; the first of two where it comes twice."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


def local(instant_ms: int, zone: str) -> datetime:
    return datetime.fromtimestamp(instant_ms // 1000, ZoneInfo(zone))


def shown(instant_ms: int, zone: str) -> str:
    return local(instant_ms, zone).strftime("%a %Y-%m-%d %H:%M %z")


@pytest.mark.parametrize(
    ("read", "wait_ms", "at", "due"),
    [
        # "1 day at 09:00" is the next 09:00 that is at least half a day away.
        ("2026-11-22 20:59", DAY_MS, "09:00", "Mon 2026-11-23 09:00"),
        ("2026-11-22 21:00", DAY_MS, "09:00", "Mon 2026-11-23 09:00"),
        ("2026-11-22 21:01", DAY_MS, "09:00", "Tue 2026-11-24 09:00"),
        ("2026-11-22 00:30", DAY_MS, "09:00", "Mon 2026-11-23 09:00"),
        ("2026-11-22 09:00", DAY_MS, "09:00", "Mon 2026-11-23 09:00"),
        ("2026-11-22 23:00", DAY_MS, "21:00", "Mon 2026-11-23 21:00"),
        ("2026-11-22 09:00", 2 * DAY_MS, "09:00", "Tue 2026-11-24 09:00"),
        ("2026-11-22 12:00", 3 * DAY_MS, "09:00", "Wed 2026-11-25 09:00"),
        ("2026-11-22 23:00", 3 * DAY_MS, "09:00", "Thu 2026-11-26 09:00"),
        # Hours mean hours: only whole days are rounded to mornings.
        ("2026-11-22 02:00", 6 * HOUR_MS, "09:00", "Sun 2026-11-22 09:00"),
        ("2026-11-22 03:00", 6 * HOUR_MS, "09:00", "Sun 2026-11-22 09:00"),
        ("2026-11-22 03:01", 6 * HOUR_MS, "09:00", "Mon 2026-11-23 09:00"),
        ("2026-11-22 09:00", 0, "09:00", "Sun 2026-11-22 09:00"),
        ("2026-11-22 09:01", 0, "09:00", "Mon 2026-11-23 09:00"),
    ],
)
@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_a_lesson_waits_for_its_local_hour(read: str, wait_ms: int, at: str, due: str, zone: str) -> None:
    found = due_ms(instant(read, zone), Timing(wait_ms, time.fromisoformat(at)), zone)
    assert shown(found, zone).startswith(due)


@pytest.mark.parametrize(
    ("zone", "read", "at", "due"),
    [
        # The clocks skip an hour: it is read as the instant it would have been.
        (BERLIN, "2027-03-27 09:00", "02:30", "Sun 2027-03-28 03:30 +0200"),
        (NEW_YORK, "2027-03-13 09:00", "02:30", "Sun 2027-03-14 03:30 -0400"),
        ("Australia/Lord_Howe", "2026-10-03 09:00", "02:15", "Sun 2026-10-04 02:45 +1100"),
        ("Africa/Cairo", "2026-04-23 09:00", "00:00", "Fri 2026-04-24 01:00 +0300"),
        # An hour that comes twice: the first.
        (BERLIN, "2026-10-24 09:00", "02:30", "Sun 2026-10-25 02:30 +0200"),
        (NEW_YORK, "2026-10-31 09:00", "01:30", "Sun 2026-11-01 01:30 -0400"),
        # The hour on the clock stays, whatever the clocks did in the night.
        (BERLIN, "2027-03-27 09:00", "09:00", "Sun 2027-03-28 09:00 +0200"),
        (BERLIN, "2026-10-24 09:00", "09:00", "Sun 2026-10-25 09:00 +0100"),
        (NEW_YORK, "2027-03-13 19:00", "08:30", "Sun 2027-03-14 08:30 -0400"),
        # Samoa had no 30 December 2011.
        ("Pacific/Apia", "2011-12-29 09:00", "09:00", "Sat 2011-12-31 09:00 +1400"),
        ("Pacific/Apia", "2011-12-31 09:00", "09:00", "Sun 2012-01-01 09:00 +1400"),
    ],
)
def test_the_local_hour_survives_every_change_of_the_clocks(zone: str, read: str, at: str, due: str) -> None:
    assert shown(due_ms(instant(read, zone), Timing(DAY_MS, time.fromisoformat(at)), zone), zone) == due


def test_the_second_of_two_equal_hours_counts_as_past() -> None:
    between = instant("2026-10-25 02:30", BERLIN) + 1
    found = due_ms(between, Timing(0, time(2, 30)), BERLIN)
    assert shown(found, BERLIN) == "Mon 2026-10-26 02:30 +0100"


@pytest.mark.parametrize(
    ("read", "timing", "due"),
    [
        ("2026-11-20 12:00", Timing(DAY_MS, time(9), WORKDAYS), "Mon 2026-11-23 09:00"),
        ("2026-11-19 12:00", Timing(DAY_MS, time(9), WORKDAYS), "Fri 2026-11-20 09:00"),
        ("2026-11-22 12:00", Timing(DAY_MS, time(9), frozenset({6})), "Sun 2026-11-29 09:00"),
        ("2026-11-22 08:00", Timing(0, time(9), frozenset({6})), "Sun 2026-11-22 09:00"),
        ("2026-11-22 10:00", Timing(0, time(9), frozenset({6})), "Sun 2026-11-29 09:00"),
        ("2026-11-20 12:00", Timing(6 * HOUR_MS, None, WORKDAYS), "Fri 2026-11-20 18:00"),
        ("2026-11-20 20:00", Timing(6 * HOUR_MS, None, WORKDAYS), "Mon 2026-11-23 00:00"),
        ("2026-11-20 12:00", Timing(DAY_MS, None, WORKDAYS), "Mon 2026-11-23 00:00"),
    ],
)
def test_a_lesson_waits_for_one_of_its_weekdays(read: str, timing: Timing, due: str) -> None:
    assert shown(due_ms(instant(read, BERLIN), timing, BERLIN), BERLIN).startswith(due)


def test_a_weekday_is_the_readers_own() -> None:
    sunday_in_london = instant("2026-11-22 12:00", "Europe/London")  # Monday in Kiritimati
    sunday_in_london -= HOUR_MS
    timing = Timing(HOUR_MS, None, frozenset({0}))
    assert due_ms(sunday_in_london, timing, "Pacific/Kiritimati") == sunday_in_london + HOUR_MS
    assert due_ms(sunday_in_london, timing, "Europe/London") == instant("2026-11-23 00:00", "Europe/London")


def test_without_an_hour_a_day_is_twenty_four_hours_even_when_the_clocks_change() -> None:
    read = instant("2027-03-27 09:00", BERLIN)
    assert due_ms(read, Timing(DAY_MS), BERLIN) - read == DAY_MS


def test_a_slower_pace_doubles_the_wait() -> None:
    read = instant("2026-11-22 12:00", BERLIN)
    assert due_ms(read, Timing(DAY_MS), BERLIN, "slower") - read == 2 * DAY_MS
    assert shown(due_ms(read, Timing(3 * DAY_MS, time(9)), BERLIN, "slower"), BERLIN).startswith("Sat 2026-11-28 09:00")


def test_a_daily_pace_makes_no_wait_longer_than_a_day() -> None:
    read = instant("2026-11-22 12:00", BERLIN)
    assert due_ms(read, Timing(3 * DAY_MS), BERLIN, "daily") - read == DAY_MS
    assert due_ms(read, Timing(6 * HOUR_MS), BERLIN, "daily") - read == 6 * HOUR_MS
    assert shown(due_ms(read, Timing(3 * DAY_MS, time(9)), BERLIN, "daily"), BERLIN).startswith("Mon 2026-11-23 09:00")


NIGHT = (time(21, 30), time(7, 30))
NOON_NAP = (time(12), time(14))
SHORT_NIGHT = (time(22), time(2, 30))


@pytest.mark.parametrize(
    ("read", "timing", "due_at", "codes"),
    [
        ("2026-11-20 12:00", Timing(6 * HOUR_MS, quiet=NIGHT), "Fri 2026-11-20 18:00", []),
        ("2026-11-20 15:29", Timing(6 * HOUR_MS, quiet=NIGHT), "Fri 2026-11-20 21:29", []),
        ("2026-11-20 15:30", Timing(6 * HOUR_MS, quiet=NIGHT), "Sat 2026-11-21 07:30", [Code.QUIET]),
        ("2026-11-20 20:00", Timing(6 * HOUR_MS, quiet=NIGHT), "Sat 2026-11-21 07:30", [Code.QUIET]),
        ("2026-11-20 20:00", Timing(6 * HOUR_MS, None, WORKDAYS, None, NIGHT), "Mon 2026-11-23 07:30",
         [Code.QUIET, Code.DAYS]),
        ("2026-11-20 07:00", Timing(6 * HOUR_MS, quiet=NOON_NAP), "Fri 2026-11-20 14:00", [Code.QUIET]),
        ("2026-11-20 06:00", Timing(6 * HOUR_MS, quiet=NOON_NAP), "Fri 2026-11-20 14:00", [Code.QUIET]),
        ("2026-11-20 08:00", Timing(6 * HOUR_MS, quiet=NOON_NAP), "Fri 2026-11-20 14:00", []),
        ("2026-11-20 02:00", Timing(6 * HOUR_MS, not_before=time(10)), "Fri 2026-11-20 10:00", [Code.NOT_BEFORE]),
        ("2026-11-20 05:00", Timing(6 * HOUR_MS, not_before=time(10)), "Fri 2026-11-20 11:00", []),
        ("2026-11-20 20:00", Timing(6 * HOUR_MS, None, EVERY_DAY, time(10), NIGHT), "Sat 2026-11-21 10:00",
         [Code.NOT_BEFORE]),
        # The reader's own act is answered at any hour.
        ("2026-11-20 23:00", Timing(0, None, frozenset({0}), time(10), NIGHT), "Fri 2026-11-20 23:00", [Code.OWN_ACT]),
        ("2026-11-20 23:00", Timing(0, time(9), EVERY_DAY, None, NIGHT), "Sat 2026-11-21 09:00", [Code.AT]),
        # The night in which the clocks are put forward or back ends when the clock on the wall says so.
        ("2027-03-27 22:00", Timing(HOUR_MS, quiet=SHORT_NIGHT), "Sun 2027-03-28 03:00 +0200", [Code.QUIET]),
        ("2026-10-24 22:00", Timing(HOUR_MS, quiet=SHORT_NIGHT), "Sun 2026-10-25 02:30 +0200", [Code.QUIET]),
    ],
)  # fmt: skip
def test_nothing_is_due_in_quiet_hours_or_too_early_in_the_day(
    read: str, timing: Timing, due_at: str, codes: list[Code]
) -> None:
    found = due(instant(read, BERLIN), timing, BERLIN)
    assert shown(found.ms, BERLIN).startswith(due_at)
    assert [reason.code for reason in found.reasons] == [Code.WAIT, *codes]


@pytest.mark.parametrize(
    ("reached", "timing", "due_at", "code"),
    [
        # No event: nobody waits longer than five days.
        (None, Timing(0), "Wed 2026-11-25 20:00", Code.NO_EVENT),
        (None, Timing(DAY_MS, time(9)), "Wed 2026-11-25 09:00", Code.NO_EVENT),
        ("2026-12-01 09:00", Timing(0), "Wed 2026-11-25 20:00", Code.NO_EVENT),
        (None, Timing(0, quiet=(time(18), time(7))), "Thu 2026-11-26 07:00", Code.NO_EVENT),
        # The event is the reader's own act.
        ("2026-11-22 23:10", Timing(0, quiet=NIGHT), "Sun 2026-11-22 23:10", Code.EVENT),
        ("2026-11-22 10:00", Timing(0, time(9)), "Mon 2026-11-23 09:00", Code.EVENT),
        # … and the wait is the least that lies between two lessons.
        ("2026-11-20 21:00", Timing(DAY_MS), "Sat 2026-11-21 20:00", Code.EVENT),
        ("2026-11-22 21:00", Timing(DAY_MS), "Sun 2026-11-22 21:00", Code.EVENT),
        ("2026-11-20 19:00", Timing(0), "Fri 2026-11-20 20:00", Code.EVENT),
    ],
)
def test_a_lesson_waits_for_an_event_but_not_for_ever(
    reached: str | None, timing: Timing, due_at: str, code: Code
) -> None:
    awaited = Awaited("cooked", 5 * DAY_MS, instant(reached, BERLIN) if reached else None)
    found = due(instant("2026-11-20 20:00", BERLIN), timing, BERLIN, awaited=awaited)
    assert shown(found.ms, BERLIN).startswith(due_at)
    assert code in {reason.code for reason in found.reasons}


def test_a_day_that_is_full_is_left_for_the_next_that_fits() -> None:
    read = instant("2026-11-20 06:00", BERLIN)  # a Friday
    full = {date(2026, 11, 20), date(2026, 11, 23)}
    timing = Timing(6 * HOUR_MS, None, WORKDAYS, time(8))
    found = due(read, timing, BERLIN, full=full)
    assert shown(found.ms, BERLIN).startswith("Tue 2026-11-24 08:00")
    assert {reason.code for reason in found.reasons} == {Code.WAIT, Code.DAYS, Code.CAP}
    assert due(read, Timing(0), BERLIN, full=full).ms == read


@pytest.mark.parametrize(
    ("wait_ms", "pace", "day_ms", "waited_ms"),
    [
        (DAY_MS, "as-written", 2000, 2000),
        (3 * DAY_MS, "as-written", 2000, 6000),
        (3 * DAY_MS, "slower", 2000, 12_000),
        (6 * HOUR_MS, "as-written", 2000, 500),
        (0, "as-written", 2000, 0),
        (DAY_MS, "as-written", 1, 1),
        (3 * DAY_MS, "daily", 2000, 2000),
    ],
)
def test_a_shorter_day_scales_the_wait_and_knows_no_hours(wait_ms: int, pace: str, day_ms: int, waited_ms: int) -> None:
    read = instant("2026-11-22 22:00", BERLIN)
    timing = Timing(wait_ms, time(9), frozenset({2}), time(8), NIGHT)
    assert due_ms(read, timing, BERLIN, pace, day_ms) - read == waited_ms


def test_a_schedule_without_weekdays_is_a_fault() -> None:
    with pytest.raises(ValueError, match="at least one weekday"):
        due_ms(0, Timing(0, time(9), frozenset()), BERLIN)


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_a_zone_of_the_database_is_known(name: str) -> None:
    assert is_zone(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "Europe", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe/Berlin\n", "a\x00b"),
        *("\ud800", "zone.tab", "x" * 5000, "Europe/Berlin/", "GMT+25"),
    ],
)
def test_anything_else_is_no_zone(name: str) -> None:
    assert not is_zone(name)


ZONES = st.sampled_from(
    [
        *("UTC", BERLIN, NEW_YORK, "Europe/London", "Africa/Cairo", "Africa/Casablanca", "America/Havana"),
        *("America/St_Johns", "America/Sao_Paulo", "Asia/Beirut", "Asia/Kathmandu", "Asia/Pyongyang"),
        *("Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Marquesas"),
    ]
)
INSTANTS = st.one_of(
    st.integers(instant("2010-01-01 00:00", "UTC"), instant("2040-01-01 00:00", "UTC")),
    # Around the changes that the zones above make.
    *(
        st.integers(instant(day, "UTC") - 4 * DAY_MS, instant(day, "UTC") + 2 * DAY_MS)
        for day in ("2011-12-30 12:00", "2026-03-29 00:00", "2026-10-25 00:00", "2026-11-01 06:00", "2026-04-24 00:00")
    ),
)
HOURS = st.builds(lambda quarters: time(quarters // 4, quarters % 4 * 15), st.integers(0, 95))
WEEKDAYS = st.frozensets(st.integers(0, 6), min_size=1)
WAITS = st.one_of(st.integers(0, 72).map(lambda hours: hours * HOUR_MS), st.integers(1, 9).map(lambda n: n * DAY_MS))


def test_no_millisecond_is_lost_and_with_it_a_day() -> None:
    sunday_free = Timing(HOUR_MS, None, frozenset(range(5)))
    assert due_ms(2_148_967_253_838 - HOUR_MS, sunday_free, "UTC") == 2_148_967_253_838


QUIET = st.one_of(st.none(), st.tuples(HOURS, HOURS).filter(lambda pair: pair[0] != pair[1]))
TIMINGS = st.builds(Timing, WAITS, st.one_of(st.none(), HOURS), WEEKDAYS, st.one_of(st.none(), HOURS), QUIET)
QUARTERS = [time(hour, quarter * 15) for hour in range(24) for quarter in range(4)]


@settings(max_examples=300, deadline=None)
@given(ZONES, INSTANTS, TIMINGS, st.frozensets(st.integers(0, 4), max_size=3))
def test_the_due_instant_is_the_one_found_by_walking_the_clock(
    zone: str, read_ms: int, timing: Timing, ahead: frozenset[int]
) -> None:
    full = {local(read_ms + timing.wait_ms, zone).date() + timedelta(days=days) for days in ahead}
    if any(opens(clock, timing) for clock in QUARTERS):
        assert due(read_ms, timing, zone, full=full).ms == walk(read_ms, timing, zone, full)
    elif not timing.at_once:
        with pytest.raises(ValueError, match="one open hour"):
            due(read_ms, timing, zone, full=full)


@given(ZONES, INSTANTS, WAITS, HOURS, WEEKDAYS)
def test_a_lesson_is_never_more_than_half_a_day_early(
    zone: str, read_ms: int, wait_ms: int, at: time, days: frozenset[int]
) -> None:
    due = due_ms(read_ms, Timing(wait_ms, at, days), zone)
    assert due - read_ms >= (wait_ms if wait_ms < DAY_MS else wait_ms - DAY_MS // 2)


def walk(read_ms: int, timing: Timing, zone: str, full: Collection[date]) -> int:
    """The first instant that the clock on the wall allows, found by looking at every quarter of an hour."""
    if timing.at_once:
        return read_ms
    found_ms = read_ms + timing.wait_ms
    if timing.at is not None:
        found_ms -= DAY_MS // 2 if timing.wait_ms >= DAY_MS else 0
        found_ms = -(-found_ms // STEP_MS) * STEP_MS
        while not _shows(found_ms, timing.at, timing.days, zone, full):
            found_ms += STEP_MS
    while not _allows(local(found_ms, zone), timing, full, strict=timing.at is None):
        found_ms = (found_ms // STEP_MS + 1) * STEP_MS
        timing = replace(timing, at=None)
    return found_ms


def opens(clock: time, timing: Timing) -> bool:
    if timing.not_before is not None and clock < timing.not_before:
        return False
    if timing.quiet is None:
        return True
    begin, end = timing.quiet
    night = begin > end
    return (end <= clock < begin) if night else not begin <= clock < end


def _allows(now: datetime, timing: Timing, full: Collection[date], *, strict: bool) -> bool:
    on_day = not strict or now.weekday() in timing.days
    return on_day and now.date() not in full and opens(now.time(), timing)


def _shows(instant_ms: int, at: time, days: frozenset[int], zone: str, full: Collection[date]) -> bool:
    now = local(instant_ms, zone)
    if now.date() in full:
        return False
    if now.fold == 0 and now.time() == at and now.weekday() in days:
        return True
    before = local(instant_ms - 25 * HOUR_MS, zone).utcoffset()
    jump = (now.utcoffset() or timedelta()) - (before or timedelta())
    if jump <= timedelta() or local(instant_ms - jump // timedelta(milliseconds=1), zone).utcoffset() != before:
        return False
    # The clocks have just been put forward: what would they have shown otherwise?
    otherwise = datetime.fromtimestamp(instant_ms // 1000, UTC).replace(tzinfo=None) + (before or timedelta())
    return otherwise.time() == at and otherwise.weekday() in days and otherwise.date() not in full
