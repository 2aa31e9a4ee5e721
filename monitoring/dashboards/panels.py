"""What a dashboard says, whoever draws it: questions with a unit, an explanation, queries and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = (
    Literal["requests/s", "inquiries/s", "events/s", "bytes/s", "per minute"]
    | Literal["inquiries", "count", "cores", "bytes", "seconds", "share", "score", "state"]
)
"""`share` is from 0 to 1 and shown in per cent; `state` is 1 for well and 0 for not."""

Form: TypeAlias = Literal["lines", "stacked", "number", "pie", "bars", "spread", "states"]
"""`lines` and `stacked` over time; `number`, `pie` and `bars` of this moment; `spread` is the buckets of a histogram
over time; `states` is well or not over time."""


@dataclass(frozen=True, slots=True)
class Above:
    """From `warning` on it is worth a look, from `critical` on an alert is due."""

    warning: float
    critical: float


@dataclass(frozen=True, slots=True)
class Below:
    """Under `warning` it is worth a look, under `critical` an alert is due."""

    warning: float
    critical: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One question. `queries` maps a legend, in which `{{label}}` stands for the label's value, to PromQL.

    Queries over time take their windows from `$__rate_interval`; those of this moment say theirs.
    """

    question: str
    unit: Unit
    about: str
    """How to read it, and what to do about it: a sentence or two."""
    queries: Mapping[str, str]
    form: Form = "lines"
    limits: Above | Below | None = None
    runbooks: tuple[str, ...] = ()
    """Names of alerts that tell of the same."""
    width: int = 8
    """Of 24 columns."""
    needs: str = ""
    """What must run beside the service, where without it there is nothing to see."""

    @property
    def of_this_moment(self) -> bool:
        return self.form in ("number", "pie", "bars")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`name` is that of its file; `refresh` as the monitoring guide wants it."""

    name: str
    title: str
    about: str
    refresh: str
    over: str
    """How far back it looks when it is opened."""
    panels: tuple[Panel, ...]
