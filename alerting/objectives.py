"""Reads `slo.yaml`: the objectives of the service as checked values, or one line that says what to mend.

The part `slos` follows Sloth's format (`prometheus/v1`), whose reader passes over the keys that are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

WINDOW: Final = "{{.window}}"
"""Where a query of an SLO takes its window."""


class WrongObjectives(Exception):
    """One line: the file, the place, what is wrong and the cure."""


class Severity(Struct, frozen=True, forbid_unknown_fields=True):
    """Of the fast burns (page) or the slow ones (ticket); `disable` leaves their alerts out."""

    disable: bool = False
    labels: Mapping[str, str] = {}


class BurnAlerting(Struct, frozen=True, forbid_unknown_fields=True):
    """`annotations.description` speaks of `$value`, the share of bad events; window and budget are added to it."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[Literal["summary", "description"], str]
    page_alert: Severity
    ticket_alert: Severity


class Events(Struct, frozen=True, forbid_unknown_fields=True):
    error_query: str
    total_query: str

    def __post_init__(self) -> None:
        for query in (self.error_query, self.total_query):
            if WINDOW not in query:
                raise ValueError(f"a query has no {WINDOW}; write it where the window belongs: {query.strip()[:60]!r}")


class Indicator(Struct, frozen=True, forbid_unknown_fields=True):
    events: Events


class Slo(Struct, frozen=True, forbid_unknown_fields=True):
    """A share of events that may not be bad."""

    name: str
    objective: Annotated[Decimal, Meta(description="Per cent of events that are good.")]
    description: str
    min_bad_events: Annotated[int, Meta(ge=1)]
    """Fewer within the long window wake nobody: 1 failure of 1 is no trend."""
    sli: Indicator
    alerting: BurnAlerting

    def __post_init__(self) -> None:
        if not 0 < self.objective < 100:
            raise ValueError(f"the objective of {self.name} is {self.objective}; give per cent between 0 and 100")

    @property
    def budget(self) -> Decimal:
        """The share of events that may be bad."""
        return (100 - self.objective) / 100


class KpiAlerting(Struct, frozen=True, forbid_unknown_fields=True, rename={"for_": "for"}):
    name: str
    for_: str
    labels: Mapping[str, str]
    annotations: Mapping[Literal["summary", "description"], str]


class Kpi(Struct, frozen=True, forbid_unknown_fields=True):
    """A figure with a bound, and who tells when it is passed: an alert of its own, or the SLO named."""

    kpi: str
    measure: str
    unit: Literal["seconds", "ratio", "per_minute", "score"]
    query: str
    at_least: float | None = None
    at_most: float | None = None
    events_query: str | None = None
    """How many cases the figure stands on; below `min_events` it is not judged."""
    min_events: int | None = None
    alerting: KpiAlerting | None = None
    slo: str | None = None

    def __post_init__(self) -> None:
        _refuse_unless_one(f"{self.kpi}: give a bound", at_least=self.at_least, at_most=self.at_most)
        _refuse_unless_one(f"{self.kpi}: say who tells", alerting=self.alerting, slo=self.slo)
        if self.alerting and None in (self.events_query, self.min_events):
            raise ValueError(f"{self.kpi} has an alert; give events_query and min_events, so that few cases raise none")

    @property
    def bound(self) -> float:
        return self.at_least if self.at_least is not None else self.at_most or 0.0


class Objectives(Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal["prometheus/v1"]
    service: str
    labels: Mapping[str, str]
    slos: tuple[Slo, ...]
    kpis: tuple[Kpi, ...]

    def __post_init__(self) -> None:
        names = [slo.name for slo in self.slos]
        for name in [*names, *(kpi.kpi for kpi in self.kpis)]:
            if [*names, *(kpi.kpi for kpi in self.kpis)].count(name) > 1:
                raise ValueError(f"{name} is there twice; give each a name of its own")
        for kpi in self.kpis:
            if kpi.slo is not None and kpi.slo not in names:
                raise ValueError(f"{kpi.kpi} names the SLO {kpi.slo}, which is none of {', '.join(names)}")


def load_objectives(file: Path) -> Objectives:
    """Raises `WrongObjectives`."""
    try:
        return parse_objectives(file.read_text(encoding="utf-8"), file.name)
    except OSError as error:
        raise WrongObjectives(f"{file} can't be read: {error.strerror}; name a file of objectives") from error


def parse_objectives(content: str, file: str) -> Objectives:
    """Raises `WrongObjectives`, in which `file` names the content."""
    try:
        return msgspec.convert(yaml.safe_load(content), Objectives, strict=False)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise WrongObjectives(f"{file}: {' '.join(str(error).split())}") from error


def _refuse_unless_one(what: str, **given: object) -> None:
    if sum(value is not None for value in given.values()) != 1:
        raise ValueError(f"{what} with exactly one of {' and '.join(given)}")
