"""What happened, told to the plugins that watch (`on_received` ... `on_resolved` in `hookspecs.py`).

Events only inform: nothing that a watcher does changes what happens next. Each is made once a batch, and the last two
once for what a person did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inquiry_svc.inquiries import Outcome, Prediction, Text

Stage = Literal["classify", "route", "store"]


@dataclass(frozen=True, slots=True)
class Received:
    """Texts left the queue together and will be classified."""

    texts: Sequence[Text]


@dataclass(frozen=True, slots=True)
class Classified:
    """Predictions were made; `from_cache` of them were remembered rather than computed."""

    predictions: Sequence[Prediction]
    from_cache: int
    duration_s: float
    """From leaving the queue to the last verdict."""


@dataclass(frozen=True, slots=True)
class Routed:
    """Routes were found; nothing is stored yet, and what is stored may be an earlier outcome."""

    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class Stored:
    """These outcomes are committed and were not stored before; `replayed` more were."""

    outcomes: Sequence[Outcome]
    replayed: int
    duration_s: float
    """Of the transaction."""


@dataclass(frozen=True, slots=True)
class Failed:
    """`count` texts or inquiries got no answer because of `error`."""

    stage: Stage
    count: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A person said what an inquiry should have been: `outcome.feedback`, which is stored."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Resolved:
    """An inquiry was answered, at `outcome.resolved_at`, which is stored."""

    outcome: Outcome
