"""What happened in each second of a story, as a table to read."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

_HEAD: Final = "| second | what happened | answers 201 a second | failures |\n|---:|---|---:|---:|"


class Account:
    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self._began_at = 0.0
        """When the first thing was noted; before that lies what takes long and tells nothing."""
        self._happened: defaultdict[int, list[str]] = defaultdict(list)
        self._answered: Counter[int] = Counter()
        self._failed: Counter[int] = Counter()
        self.failures: list[str] = []
        """What each customer got in place of a 201."""
        self.longest_s = 0.0
        """From the first attempt of an inquiry to its 201."""

    def now_s(self) -> float:
        """Since the first note."""
        return time.perf_counter() - self._began_at

    def note(self, what: str) -> float:
        """Something that happened now; when that is."""
        self._began_at = self._began_at or time.perf_counter()
        now_s = self.now_s()
        self._happened[int(now_s)].append(what)
        self._say(f"{now_s:5.1f} s  {what}")
        return now_s

    def answered(self, took_s: float) -> None:
        self._answered[int(self.now_s())] += 1
        self.longest_s = max(self.longest_s, took_s)

    def failed(self, how: str) -> None:
        self._failed[int(self.now_s())] += 1
        self.failures.append(how)

    def table(self) -> str:
        """A line for each second in which something happened, and one for each stretch between."""
        seconds = range(max((*self._happened, *self._answered, *self._failed), default=0) + 1)
        stretches = [
            list(stretch) for _, stretch in groupby(seconds, lambda each: each if self._happened[each] else -1)
        ]
        return "\n".join([_HEAD, *map(self._line, stretches)])

    def _line(self, seconds: Sequence[int]) -> str:
        first, last = seconds[0], seconds[-1]
        answered = round(sum(self._answered[each] for each in seconds) / len(seconds))
        failed = sum(self._failed[each] for each in seconds)
        shown = str(first) if first == last else f"{first}–{last}"  # noqa: RUF001 (a range)
        return f"| {shown} | {'; '.join(self._happened[first])} | {answered} | {failed} |"

    def summary(self) -> str:
        counts = Counter(self.failures).most_common(4)
        how = f" ({', '.join(f'{count} {each}' for each, count in counts)})" if counts else ""
        answered = sum(self._answered.values())
        return f"{answered} answers 201, {len(self.failures)} failures{how}, the slowest took {self.longest_s:.2f} s"
