"""Which of several forms of one thing a client gets: what its `Accept` header likes best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar


class HasForm(Protocol):
    @property
    def content_type(self) -> str: ...


F = TypeVar("F", bound=HasForm)


def best_liked(accept: str, forms: Sequence[F]) -> F:
    """The form that is liked best; among equals, and where none is liked, the first.

    A range that names a version takes no other one: Prometheus asks for OpenMetrics 1.0.0 and, less, for 0.0.1.
    """
    ranges = [_parsed(part) for part in accept.split(",") if part.strip()]
    return max(forms, key=lambda form: _liking(_parsed(form.content_type), ranges))


@dataclass(frozen=True, slots=True)
class _MediaRange:
    type: str
    parameters: Mapping[str, str]

    @property
    def quality(self) -> float:
        """Of what the header says; 0 where it can't be read."""
        try:
            return min(1.0, max(0.0, float(self.parameters.get("q", "1"))))
        except ValueError:
            return 0.0


def _parsed(text: str) -> _MediaRange:
    type_, *parameters = (part.strip() for part in text.lower().split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    return _MediaRange(type_, {name.strip(): value.strip().strip('"') for name, _, value in pairs})


def _liking(form: _MediaRange, ranges: Sequence[_MediaRange]) -> float:
    """The quality in the range that fits most closely."""
    fitting = [(closeness, each.quality) for each in ranges if (closeness := _closeness(form, each))]
    return max(fitting, default=(0, 0.0))[1]


def _closeness(form: _MediaRange, wanted: _MediaRange) -> int:
    """0 where it does not fit."""
    if wanted.type == "*/*":
        return 1
    if wanted.type == form.type.partition("/")[0] + "/*":
        return 2
    version = wanted.parameters.get("version")
    if wanted.type != form.type or version not in (None, form.parameters.get("version")):
        return 0
    return 3 if version is None else 4
