"""Due times, against examples and against a slow reference that walks minute by minute on the wall clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inquiry_svc_plugins.routers.rules.business_hours import LATEST, Calendar, round_the_clock_due_at
from inquiry_svc_plugins.routers.rules.schema import BusinessHours, Weekday, minute_of_day

WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ZONES = (
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    "America/St_Johns",  # half an hour off
    "Australia/Lord_Howe",  # its summer time is half an hour
    "Asia/Kathmandu",  # 45 minutes off
    "Pacific/Kiritimati",  # 14 hours ahead
    "Pacific/Pago_Pago",  # 11 hours behind
    "Africa/Casablanca",  # negative summer time
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(hours: BusinessHours, received_at: datetime, minutes: int) -> datetime:
    return Calendar(hours).due_at(received_at, timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("received_at", "minutes", "due_at"),
    [
        ("2026-03-04 12:00", 60, "2026-03-04 13:00"),
        ("2026-03-04 16:00", 60, "2026-03-04 17:00"),  # used up exactly at closing
        ("2026-03-04 16:00", 61, "2026-03-05 09:01"),
        ("2026-03-04 17:00", 60, "2026-03-05 10:00"),  # closing time is closed
        ("2026-03-04 03:00", 60, "2026-03-04 10:00"),
        ("2026-03-04 09:00", 480, "2026-03-04 17:00"),
        ("2026-03-06 16:30", 60, "2026-03-09 09:30"),  # over a weekend
        ("2026-03-07 12:00", 1, "2026-03-09 09:01"),
        ("2026-03-04 12:00", 1440, "2026-03-09 12:00"),
        ("2026-03-04 16:59:59.5", 1, "2026-03-05 09:00:59.5"),
        ("2026-12-24 16:30", 60, "2026-12-28 09:30"),  # Christmas is a Friday
    ],
)
def test_only_open_minutes_count(received_at: str, minutes: int, due_at: str) -> None:
    hours = BusinessHours(holidays=(date(2026, 12, 25),))
    assert due(hours, utc(received_at), minutes) == utc(due_at)


@pytest.mark.parametrize(
    ("received_at", "due_at"),
    [
        ("2026-03-27 15:30", "2026-03-30 07:30"),  # Friday 16:30 CET, Monday 09:30 CEST
        ("2026-10-23 14:30", "2026-10-26 08:30"),  # Friday 16:30 CEST, Monday 09:30 CET
    ],
)
def test_opening_follows_daylight_saving(received_at: str, due_at: str) -> None:
    hours = BusinessHours(time_zone="Europe/Vienna")
    assert due(hours, utc(received_at), 60) == utc(due_at)


@pytest.mark.parametrize(("day", "hours_long"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-03-04", 24)])
def test_a_whole_day_is_as_long_as_the_clocks_make_it(day: str, hours_long: int) -> None:
    hours = BusinessHours(time_zone="Europe/Vienna", days=WEEKDAYS, opens="00:00", closes="24:00")
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Vienna"))
    next_midnight = (midnight + timedelta(days=1)).astimezone(UTC)
    assert due(hours, midnight, 60 * hours_long) == next_midnight
    assert due(hours, midnight, 60 * hours_long + 1) == next_midnight + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("opens", "closes", "received_at", "minutes", "due_at"),
    [
        ("02:30", "09:00", "2026-03-29 00:00", 1, "2026-03-29 01:31"),  # 02:30 is skipped: 03:30 CEST
        ("02:00", "03:00", "2026-03-29 00:00", 1, "2026-03-30 00:01"),  # the whole hour is skipped
        ("02:30", "09:00", "2026-10-25 00:00", 1, "2026-10-25 00:31"),  # 02:30 comes twice: the first, CEST
    ],
)
def test_an_opening_within_a_change_of_clocks_is_read_as_calendars_do(
    opens: str, closes: str, received_at: str, minutes: int, due_at: str
) -> None:
    hours = BusinessHours(time_zone="Europe/Vienna", days=WEEKDAYS, opens=opens, closes=closes)
    assert due(hours, utc(received_at), minutes) == utc(due_at)


def test_received_in_another_offset_is_the_same_moment() -> None:
    received_at = datetime(2026, 3, 4, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    answer = due(BusinessHours(), received_at, 60)
    assert answer == utc("2026-03-04 13:00")
    assert answer.tzinfo is UTC
    assert round_the_clock_due_at(received_at, timedelta(minutes=15)) == utc("2026-03-04 12:15")


def test_the_ends_of_the_calendar_are_survived() -> None:
    for zone in ZONES:
        calendar = Calendar(BusinessHours(time_zone=zone))
        assert calendar.due_at(datetime.min.replace(tzinfo=UTC), timedelta(minutes=1)).year == 1
        assert calendar.due_at(LATEST, timedelta(minutes=43_200)) == LATEST
    assert round_the_clock_due_at(LATEST, timedelta(minutes=15)) == LATEST


@st.composite
def business_hours(draw: st.DrawFn) -> BusinessHours:
    """Hours from 05:00 on: clocks change earlier in the day, so wall time is plain to the reference."""
    opens = draw(st.integers(5 * 60, 23 * 60))
    closes = draw(st.integers(opens + 1, 24 * 60))
    days = draw(st.sets(st.sampled_from(WEEKDAYS), min_size=1))
    near = st.dates(date(2026, 3, 20), date(2026, 4, 10)) | st.dates(date(2026, 10, 20), date(2026, 11, 5))
    return BusinessHours(
        time_zone=draw(st.sampled_from(ZONES)),
        days=tuple(sorted(days, key=WEEKDAYS.index)),
        opens=f"{opens // 60:02}:{opens % 60:02}",
        closes=f"{closes // 60:02}:{closes % 60:02}",
        holidays=tuple(draw(st.lists(near, max_size=5))),
    )


@settings(max_examples=150)
@given(
    hours=business_hours(),
    start=st.sampled_from([utc("2026-03-25"), utc("2026-10-22"), utc("2026-03-05"), utc("2026-12-30")]),
    offset_minutes=st.integers(0, 7 * 24 * 60),
    seconds=st.integers(0, 59),
    target=st.integers(1, 900),
)
def test_the_due_time_is_what_walking_minute_by_minute_gives(
    hours: BusinessHours, start: datetime, offset_minutes: int, seconds: int, target: int
) -> None:
    received_at = start + timedelta(minutes=offset_minutes, seconds=seconds)
    days_open = max(1, -(-target // (minute_of_day(hours.closes) - minute_of_day(hours.opens))))
    target = target if days_open <= 4 else 4  # narrow hours: keep the walk below a few weeks
    assert due(hours, received_at, target) == walk(hours, received_at, target)


@settings(max_examples=150)
@given(
    hours=business_hours(),
    start=st.sampled_from([utc("2026-03-25"), utc("2026-10-22"), utc("2026-12-30")]),
    received_after=st.lists(st.tuples(st.integers(0, 7 * 24 * 60), st.sampled_from([0, 0, 1, 59])), max_size=40),
    targets=st.lists(st.integers(1, 3_000), min_size=1, max_size=2),
)
def test_the_due_time_does_not_depend_on_what_was_asked_before(
    hours: BusinessHours, start: datetime, received_after: list[tuple[int, int]], targets: list[int]
) -> None:
    calendar = Calendar(hours)
    opens, closes = (60 * each for each in (minute_of_day(hours.opens), minute_of_day(hours.closes)))
    edges = [(0, second) for edge in (opens, closes) for second in (edge - 1, edge, edge + 1)]
    for minutes, seconds in [*received_after, *sorted(received_after), *edges]:
        received_at = start + timedelta(minutes=minutes, seconds=seconds)
        for target in targets:
            assert calendar.due_at(received_at, timedelta(minutes=target)) == due(hours, received_at, target)


def walk(hours: BusinessHours, received_at: datetime, target_minutes: int) -> datetime:
    """Each minute is open or not, as its second 0 says; the parts of a minute at either end count in part."""
    zone = ZoneInfo(hours.time_zone)
    opens, closes = minute_of_day(hours.opens), minute_of_day(hours.closes)
    left = timedelta(minutes=target_minutes)
    minute = received_at.replace(second=0, microsecond=0)
    while True:
        local = minute.astimezone(zone)
        is_open = (
            opens <= 60 * local.hour + local.minute < closes
            and WEEKDAYS[local.weekday()] in hours.days
            and local.date() not in hours.holidays
        )
        begin, end = max(minute, received_at), minute + timedelta(minutes=1)
        if is_open:
            if left <= end - begin:
                return begin + left
            left -= end - begin
        minute = end
