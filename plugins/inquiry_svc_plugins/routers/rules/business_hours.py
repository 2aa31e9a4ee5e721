"""When an answer is due: minutes that count only while the team is there, in the team's own time zone.

A day's hours are turned into UTC once and remembered, and so is the stretch of time for which the last answer holds:
nearly all that follow cost two comparisons. Wall times are read as RFC 5545 (3.3.5) reads them: one that the clocks
skip is moved on by the gap, one that they repeat is the first of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from inquiry_svc_plugins.routers.rules.schema import BusinessHours, minute_of_day

LATEST: Final = datetime.max.replace(tzinfo=UTC)
"""Due when the calendar ends before the time is up: only for inquiries dated to the end of the year 9999."""

_REMEMBERED_DAYS: Final = 4096
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Whatever is received from `since` to before `until` is due at one moment, or `later` by the same time."""

    since: datetime
    until: datetime
    due_at: datetime | None = None
    """While the team is away; None while it is there."""
    later: timedelta = timedelta()


class Calendar:
    """The openings of one team."""

    def __init__(self, hours: BusinessHours) -> None:
        self._zone = ZoneInfo(hours.time_zone)
        self._weekdays = frozenset(_WEEKDAYS.index(day) for day in hours.days)
        self._holidays = frozenset(hours.holidays)
        self._opens_minute = minute_of_day(hours.opens)
        self._closes_minute = minute_of_day(hours.closes)
        self._opening: Callable[[int], tuple[datetime, datetime] | None]
        self._opening = lru_cache(_REMEMBERED_DAYS)(self._find_opening)
        self._stretches: dict[timedelta, _Stretch] = {}
        """Of each target the last one."""

    def due_at(self, received_at: datetime, target: timedelta) -> datetime:
        """The moment by which `target` of open time has passed since `received_at`, in UTC.

        A target used up exactly at closing is due at closing, not at the next opening.
        """
        now = received_at.astimezone(UTC)
        stretch = self._stretches.get(target)
        if stretch is None or not stretch.since <= now < stretch.until:
            stretch = self._stretches[target] = self._stretch_from(now, target)
        return stretch.due_at or now + stretch.later

    def _stretch_from(self, now: datetime, target: timedelta) -> _Stretch:
        left, next_hours = target, None
        # A zone may be a day away from UTC, so the team's own day may have begun on the day before.
        for day in range(max(now.toordinal() - 1, 1), date.max.toordinal() + 1):
            hours = self._opening(day)
            if hours is None or hours[1] <= now:
                continue
            opens, closes = hours
            next_hours = next_hours or hours
            start = max(opens, now)
            if left <= closes - start:
                due_at = start + left
                if next_hours[0] > now:
                    return _Stretch(now, next_hours[0], due_at)
                later = due_at - now
                return _Stretch(now, min(next_hours[1], closes - later), later=later)
            left -= closes - start
        return _Stretch(now, now, LATEST)

    def _find_opening(self, day: int) -> tuple[datetime, datetime] | None:
        """From when to when the team is there on one of its days, in UTC; None when it is closed."""
        local_day = date.fromordinal(day)
        if local_day.weekday() not in self._weekdays or local_day in self._holidays:
            return None
        try:
            opens = self._instant(local_day, self._opens_minute)
            closes = self._instant(local_day, self._closes_minute)
        except OverflowError:  # the first or the last day of the calendar
            return None
        return (opens, closes) if opens < closes else None

    def _instant(self, day: date, minute: int) -> datetime:
        midnight = datetime.combine(day, time(), tzinfo=self._zone)
        return (midnight + timedelta(minutes=minute)).astimezone(UTC)  # adds on the wall clock, not in elapsed time


def round_the_clock_due_at(received_at: datetime, target: timedelta) -> datetime:
    """Like `Calendar.due_at` for a team that is always there."""
    try:
        return received_at.astimezone(UTC) + target
    except OverflowError:
        return LATEST
