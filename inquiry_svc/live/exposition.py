"""Reads the Prometheus text page of the service, as one scrape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Sorted by name."""

_SAMPLE: Final = re.compile(
    r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*"(?:,|(?=\})))*)\})? (\S+)'
    r"(?: -?[\d.]+)?(?: # \{.*)?",  # OpenMetrics may add a time and an exemplar
    re.ASCII,
)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"', re.ASCII)
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """All samples of one moment, by name. `at_s` is on any clock that goes on."""

    at_s: float
    samples: Mapping[str, Sequence[tuple[Labels, float]]]


def read_sample(line: str) -> Sample | None:
    """None for a comment or an empty line. Raises `ValueError` where Prometheus would refuse the page for it."""
    if not line.strip() or line.startswith("#"):
        return None
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise ValueError(f"no sample: {line}")
    name, inside, value = found.groups()
    labels = {key: _ESCAPED.sub(_unescaped, text) for key, text in _LABEL.findall(inside or "")}
    return Sample(name, tuple(sorted(labels.items())), float(value))


def read_scrape(page: str, at_s: float, target: Mapping[str, str]) -> Scrape:
    """`target` is put on each series, as Prometheus does. What is no sample is passed over."""
    samples: dict[str, list[tuple[Labels, float]]] = {"up": [(tuple(sorted(target.items())), 1.0)]}
    for line in page.split("\n"):
        try:
            sample = read_sample(line)
        except ValueError:
            continue
        if sample is not None:
            labels = {**dict(sample.labels), **target}
            samples.setdefault(sample.name, []).append((tuple(sorted(labels.items())), sample.value))
    return Scrape(at_s, samples)


def failed_scrape(at_s: float, target: Mapping[str, str]) -> Scrape:
    """Nobody answered."""
    return Scrape(at_s, {"up": [(tuple(sorted(target.items())), 0.0)]})


def _unescaped(escaped: re.Match[str]) -> str:
    return "\n" if escaped[1] == "n" else escaped[1]
