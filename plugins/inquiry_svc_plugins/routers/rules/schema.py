"""What may stand in a rules file, as types. `loading.py` reads a file into them; README.md is for people.

The label tables spell every label out, so that a wrong or missing one is named by its place in the file.
"""

from __future__ import annotations

import re
from datetime import date
from difflib import get_close_matches
from typing import Annotated, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Meta, Struct, field, structs

from inquiry_svc.inquiries import CATEGORIES, SENTIMENTS, URGENCIES, Category, Department, Sentiment, Urgency

Weekday: TypeAlias = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Strategy: TypeAlias = Literal["round_robin", "load_balanced", "skill_based"]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Points: TypeAlias = Annotated[float, Meta(ge=0, le=100)]
Boost: TypeAlias = Annotated[float, Meta(ge=-100, le=100)]
Minutes: TypeAlias = Annotated[int, Meta(ge=1, le=43_200)]
"""At most 30 days of 24 hours, which keeps the search for the due time short."""


class CategoryDepartments(Struct, frozen=True, forbid_unknown_fields=True):
    technical_support: Department
    billing: Department
    sales: Department
    hr: Department
    legal: Department
    product_feedback: Department


class CategoryPoints(Struct, frozen=True, forbid_unknown_fields=True):
    technical_support: Points
    billing: Points
    sales: Points
    hr: Points
    legal: Points
    product_feedback: Points


class SentimentPoints(Struct, frozen=True, forbid_unknown_fields=True):
    positive: Points
    neutral: Points
    negative: Points


class UrgencyPoints(Struct, frozen=True, forbid_unknown_fields=True):
    low: Points
    medium: Points
    high: Points
    critical: Points


class PriorityPoints(Struct, frozen=True, forbid_unknown_fields=True):
    urgency: UrgencyPoints
    sentiment: SentimentPoints
    category: CategoryPoints


class When(Struct, frozen=True, forbid_unknown_fields=True):
    """Matches an inquiry whose label is listed on each axis; an axis left out lists all of its labels."""

    category: Annotated[tuple[Category, ...], Meta(min_length=1)] = CATEGORIES  # type: ignore[assignment]
    sentiment: Annotated[tuple[Sentiment, ...], Meta(min_length=1)] = SENTIMENTS  # type: ignore[assignment]
    urgency: Annotated[tuple[Urgency, ...], Meta(min_length=1)] = URGENCIES  # type: ignore[assignment]


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    when: When
    department: Department | None = None
    escalate: bool = False
    boost: Boost | None = None
    reason: Name | None = None


class Consultant(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    capacity: Annotated[int, Meta(ge=1, le=1_000_000)]
    """Open inquiries at which nothing more is assigned."""
    skills: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        if not all(skill.strip() for skill in self.skills):
            raise ValueError("a skill is blank: give a word or a phrase, or remove it")


class Desk(Struct, frozen=True, forbid_unknown_fields=True):
    """The consultants of one department, and how one of them is picked."""

    strategy: Strategy = "load_balanced"
    members: tuple[Consultant, ...] = ()

    def __post_init__(self) -> None:
        _refuse_repeated("member", [member.name for member in self.members])


class DepartmentDesks(Struct, frozen=True, forbid_unknown_fields=True):
    technical_support: Desk = field(default_factory=Desk)
    finance: Desk = field(default_factory=Desk)
    sales: Desk = field(default_factory=Desk)
    hr: Desk = field(default_factory=Desk)
    legal: Desk = field(default_factory=Desk)
    product_management: Desk = field(default_factory=Desk)
    escalation: Desk = field(default_factory=Desk)

    def by_department(self) -> dict[str, Desk]:
        return structs.asdict(self)


class ResponseTargets(Struct, frozen=True, forbid_unknown_fields=True):
    low: Minutes
    medium: Minutes
    high: Minutes
    critical: Minutes


class BusinessHours(Struct, frozen=True, forbid_unknown_fields=True):
    time_zone: Name = "UTC"
    days: Annotated[tuple[Weekday, ...], Meta(min_length=1)] = (
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
    )
    opens: str = "09:00"
    closes: str = "17:00"
    holidays: tuple[date, ...] = ()
    round_the_clock: tuple[Urgency, ...] = ("critical",)

    def __post_init__(self) -> None:
        _refuse_unknown_time_zone(self.time_zone)
        opens, closes = minute_of_day(self.opens), minute_of_day(self.closes)
        if opens >= closes:
            raise ValueError(f"closes {self.closes} is not after opens {self.opens}: give hours of one day")


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file."""

    departments: CategoryDepartments
    priority: PriorityPoints
    rules: tuple[Rule, ...]
    consultants: DepartmentDesks
    response_targets_minutes: ResponseTargets
    escalation_threshold: Points = 90
    business_hours: BusinessHours = field(default_factory=BusinessHours)

    def __post_init__(self) -> None:
        _refuse_repeated("rule", [rule.name for rule in self.rules])


def minute_of_day(time: str) -> int:
    """Minutes since midnight of `HH:MM`, up to 24:00. Raises `ValueError`."""
    match = _TIME.fullmatch(time)
    if not match:
        raise ValueError(f"{time[:20]!r} is not a time of day: write it as HH:MM, from 00:00 to 24:00")
    return 60 * int(match[1]) + int(match[2])


_TIME: Final = re.compile(r"(?=[01]|2[0-3]|24:00)([0-9][0-9]):([0-5][0-9])")


def _refuse_repeated(kind: str, names: list[str]) -> None:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise ValueError(f"the {kind} {name!r} is there twice: give each a name of its own")


def _refuse_unknown_time_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name at all, a folder such as Europe
        near = get_close_matches(name, available_timezones(), n=1)
        cure = f"did you mean {near[0]!r}?" if near else "give an IANA name such as 'Europe/Vienna'"
        raise ValueError(f"{name!r} is no time zone: {cure}") from None
