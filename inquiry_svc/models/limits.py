"""What keeps a model from answering: figures of it against the limits of the configuration.

Before a promotion the figures are those of the judging files, and a limit is missed where the figure itself misses it.
A running canary has the benefit of the doubt: it is taken down where even the better end of the figure's 99 % interval
misses the limit, since it is looked at again and again. Few texts decide nothing in either case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from inquiry_svc.inquiries import AXES
from inquiry_svc.settings import ModelsSettings

_SLOW_SHARE: Final = 0.01
"""p99 is within a limit where at most this share of the calls takes longer."""
_Z: Final = 2.576
"""Of a two-sided 99 % interval."""


@dataclass(frozen=True, slots=True)
class Counted:
    """`count` of `of`."""

    count: float = 0.0
    of: float = 0.0

    @property
    def share(self) -> float:
        """NaN of nothing."""
        return self.count / self.of if self.of else math.nan

    def bounds(self) -> tuple[float, float]:
        """Wilson's interval for the share behind what was counted."""
        n, p, z2 = self.of, self.share, _Z * _Z
        middle, half = p + z2 / (2 * n), _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a candidate beside the champion."""

    right: Mapping[str, Counted] = field(default_factory=dict)
    """By axis: labels of the candidate that were right, by the judging files or by people."""
    champion_right: Mapping[str, Counted] = field(default_factory=dict)
    agreed: Counted = Counted()
    """Texts to which both give the same category."""
    slow: Counted = Counted()
    """Calls that took longer than the limit."""
    failed: Counted = Counted()
    """Texts that the candidate could not classify."""

    def as_numbers(self) -> dict[str, float]:
        """For the history: each share, and of how many."""
        named = {f"accuracy_{axis}": counted for axis, counted in self.right.items()}
        named |= {f"champion_accuracy_{axis}": counted for axis, counted in self.champion_right.items()}
        named |= {"agreement": self.agreed, "slow_calls": self.slow, "errors": self.failed}
        shares = {name: round(counted.share, 4) for name, counted in named.items() if counted.of}
        return shares | {f"{name}_of": counted.of for name, counted in named.items() if counted.of}


@dataclass(frozen=True, slots=True)
class Missed:
    """A limit that is not kept."""

    limit: str
    """One of `catalogue.LIMITS`."""
    told: str


def missed_by_candidate(figures: Figures, limits: ModelsSettings) -> Sequence[Missed]:
    """By the figures of judging files."""
    missed = list(_missed(figures, limits, min_labels=limits.min_texts, ends=lambda it: (it.share, it.share)))
    for axis in AXES:
        least: float = getattr(limits, f"min_accuracy_{axis}")
        right = figures.right.get(axis, Counted())
        if right.of < limits.min_texts:
            told = f"{axis} is known of {right.of:.0f} rows, models.min_texts is {limits.min_texts}"
            missed.append(Missed("accuracy", told))
        elif right.share < least:
            missed.append(
                Missed("accuracy", f"{axis} is right in {right.share:.1%}, models.min_accuracy_{axis} is {least:.1%}")
            )
    return missed


def missed_by_canary(figures: Figures, limits: ModelsSettings) -> Sequence[Missed]:
    """By the figures of a running service."""
    return list(_missed(figures, limits, min_labels=limits.min_feedback, ends=Counted.bounds))


def _missed(
    figures: Figures, limits: ModelsSettings, *, min_labels: int, ends: Callable[[Counted], tuple[float, float]]
) -> Iterator[Missed]:
    for axis in AXES:
        right, champions = figures.right.get(axis, Counted()), figures.champion_right.get(axis, Counted())
        if min(right.of, champions.of) >= min_labels and ends(right)[1] < champions.share - limits.max_accuracy_loss:
            told = f"{axis} is right in {right.share:.1%}, the champion's in {champions.share:.1%}"
            yield Missed("accuracy", f"{told}, models.max_accuracy_loss is {limits.max_accuracy_loss:.1%}")
    agreed, slow, failed = figures.agreed, figures.slow, figures.failed
    if agreed.of >= limits.min_texts and ends(agreed)[1] < limits.min_agreement:
        told = f"it agrees with the champion on {agreed.share:.1%} of the categories"
        yield Missed("agreement", f"{told}, models.min_agreement is {limits.min_agreement:.1%}")
    if slow.of >= limits.min_texts and ends(slow)[0] > _SLOW_SHARE:
        told = f"{slow.share:.1%} of its calls take longer than models.max_p99_s, {limits.max_p99_s:g} s"
        yield Missed("latency", f"{told}; 1 % may")
    if failed.of >= limits.min_texts and ends(failed)[0] > limits.max_error_rate:
        told = f"it fails over {failed.share:.1%} of the texts"
        yield Missed("errors", f"{told}, models.max_error_rate is {limits.max_error_rate:.1%}")
