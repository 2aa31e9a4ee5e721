"""Picks a consultant of a department: in turn, by load or by skill, and never past anybody's capacity.

A picker is told how many inquiries each consultant has open and says who takes the next one. It counts
nothing: the store knows what is open, and the router adds what it assigns within a batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from inquiry_svc.inquiries import Text
from inquiry_svc_plugins.routers.rules.schema import Consultant, Desk


class Picker(Protocol):
    def pick(self, text: Text, open_inquiries: Mapping[str, int]) -> str | None:
        """Who takes this text; None when nobody is free. A name that `open_inquiries` lacks has none open."""


def picker_for(desk: Desk) -> Picker:
    pickers: Mapping[str, Callable[[tuple[Consultant, ...]], Picker]] = {
        "round_robin": RoundRobin,
        "load_balanced": LoadBalanced,
        "skill_based": SkillBased,
    }
    return pickers[desk.strategy](desk.members)


class RoundRobin:
    """Each in turn, passing over those without room. The turn lasts as long as the router is open."""

    def __init__(self, members: tuple[Consultant, ...]) -> None:
        self._members = members
        self._next = 0

    def pick(self, text: Text, open_inquiries: Mapping[str, int]) -> str | None:
        count = len(self._members)
        for position in range(self._next, self._next + count):
            member = self._members[position % count]
            if open_inquiries.get(member.name, 0) < member.capacity:
                self._next = (position + 1) % count
                return member.name
        return None


class LoadBalanced:
    """The fewest open inquiries; the first named wins a tie."""

    def __init__(self, members: tuple[Consultant, ...]) -> None:
        self._members = members

    def pick(self, text: Text, open_inquiries: Mapping[str, int]) -> str | None:
        chosen, fewest = None, 0
        for member in self._members:
            count = open_inquiries.get(member.name, 0)
            if count < member.capacity and (chosen is None or count < fewest):
                chosen, fewest = member.name, count
        return chosen


class SkillBased:
    """The most skills named in subject and body, then the fewest open inquiries, then the first named."""

    def __init__(self, members: tuple[Consultant, ...]) -> None:
        self._members = [(member, _distinct_skills(member)) for member in members]

    def pick(self, text: Text, open_inquiries: Mapping[str, int]) -> str | None:
        words = f"{text.subject} | {text.body}".casefold()  # the bar keeps a phrase from spanning both
        chosen, best = None, (0, 0)
        for member, skills in self._members:
            count = open_inquiries.get(member.name, 0)
            if count >= member.capacity:
                continue
            # Most skills aren't in most texts, and a plain search says so ten times sooner than the pattern.
            named = [skill for first_word, skill in skills if first_word in words and skill.search(words)]
            fit = (len(named), -count)
            if chosen is None or fit > best:
                chosen, best = member.name, fit
        return chosen


def _distinct_skills(member: Consultant) -> list[tuple[str, re.Pattern[str]]]:
    """Of each skill its first word, and a pattern that finds it as whole words, whatever white space is between."""
    phrases = dict.fromkeys(" ".join(skill.casefold().split()) for skill in member.skills)
    return [(phrase.split()[0], _as_whole_words(phrase.split())) for phrase in phrases]


def _as_whole_words(words: Sequence[str]) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)")
