"""Figures that Prometheus has kept, each asked for by one query and held against a limit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from inquiry_svc.doctor.findings import Check, Finding, left_out, ok
from inquiry_svc.doctor.prometheus import ask
from inquiry_svc.doctor.surroundings import Surroundings

_MOST: Final = 5


@dataclass(frozen=True, slots=True)
class Question:
    """A figure past its limit is told of in a line of its own; else the one nearest to it stands for all."""

    name: str
    query: str
    says: str
    """One figure in words, past the limit or not, with `{value}` and the labels of its series."""
    above: float | None = None
    below: float | None = None
    state: Literal["look", "wrong"] = "look"
    cure: str = ""
    """May hold labels too."""
    without_data: str = ""
    """What it means that there is none, where that is well."""

    def check(self) -> Check:
        return Check(self.name, self._look)

    async def _look(self, around: Surroundings) -> Iterable[Finding]:
        figures = await ask(around.prometheus, self.query)
        if not figures:
            return [ok(self.without_data) if self.without_data else left_out("Prometheus has no data on it yet")]
        figures.sort(key=lambda figure: figure[1], reverse=self.above is not None)
        past = [each for each in figures if self._is_past(each[1])]
        if not past:
            return [ok(self._said(self.says, *figures[0]))]
        told = [Finding(self.state, self._said(self.says, *each), self._said(self.cure, *each)) for each in past]
        return told[:_MOST]

    def _is_past(self, value: float) -> bool:
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)

    @staticmethod
    def _said(text: str, labels: Mapping[str, str], value: float) -> str:
        return text.format_map(defaultdict(str, labels, value=value))
