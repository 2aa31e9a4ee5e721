"""`inquiry-svc drift`: how far the stored inquiries of late are from those before them, and from the training."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from inquiry_svc.cli.configured import Configured, gets_configured, open_classifier
from inquiry_svc.cli.durations import DURATION, in_words
from inquiry_svc.cli.stored import open_store_to_read
from inquiry_svc.contracts import Profiled, Store
from inquiry_svc.history import history_of
from inquiry_svc.inquiries import AXES, Outcome
from inquiry_svc.measures import MEASURES, observed
from inquiry_svc.profiles import CHANGED, ENOUGH, Profile, Tally, stability_index

_STEADY: Final = 0.1


@dataclass(slots=True)
class _Rightness:
    """Of one axis."""

    expected: float = 0.0
    """Labels that should be right: their confidences added up."""
    looked_at: int = 0
    """Inquiries of which a person said the label."""
    right: int = 0


@dataclass(frozen=True, slots=True)
class _Movement:
    """Of one measure; an index is None where it would be chance."""

    against_before: float | None
    against_training: float | None
    now: Mapping[str, float]
    before: Mapping[str, float]
    training: Mapping[str, float] | None


class _Seen:
    """The inquiries of one stretch of time."""

    def __init__(self, known_words: Set[str] | None) -> None:
        self.inquiries = 0
        self.tally = Tally()
        self.rightness = {axis: _Rightness() for axis in AXES}
        self._known_words = known_words

    def add(self, outcome: Outcome) -> None:
        self.inquiries += 1
        self.tally.add(observed(outcome.inquiry, outcome.prediction.verdict, self._known_words))
        for axis, rightness in self.rightness.items():
            given = getattr(outcome.prediction.verdict, axis)
            rightness.expected += given.confidence
            said = getattr(outcome.feedback, axis, None)
            if said is not None:
                rightness.looked_at += 1
                rightness.right += said == given.label


@click.command()
@click.option("--since", type=DURATION, default="1d", show_default=True, help="The inquiries to judge.")
@click.option("--before", type=DURATION, default="7d", show_default=True, help="Those before them, to judge by.")
@click.option("--json", "as_json", is_flag=True, help="Every share and index as one JSON object.")
@gets_configured
def drift(since: timedelta, before: timedelta, as_json: bool, found: Configured) -> None:
    """Say how far the inquiries of late are from those before, and from what the model was trained on.

    The figures are population stability indices: below 0.1 little has changed, above 0.25 much. What is stored is only
    read, beside the services that write.
    """
    now, earlier, profile = asyncio.run(_read(found, since, before))
    movements = {measure: _moved(measure, now.tally, earlier.tally, profile) for measure in MEASURES}
    if as_json:
        counts = {"inquiries": now.inquiries, "inquiries_before": earlier.inquiries}
        measures = {measure: asdict(each) for measure, each in movements.items()}
        rightness = {axis: asdict(each) for axis, each in now.rightness.items()}
        click.echo(json.dumps({**counts, "measures": measures, "rightness": rightness}))
        return
    trained = "the training" if profile else "no profile of the training"
    click.echo(
        f"{now.inquiries} inquiries of {in_words(since)} against {earlier.inquiries} of {in_words(before)} "
        f"before them, and {trained}"
    )
    for line in (*_table(movements), *_rightness(now)):
        click.echo(line)


async def _read(found: Configured, since: timedelta, before: timedelta) -> tuple[_Seen, _Seen, Profile | None]:
    until = datetime.now(UTC)
    async with open_classifier(found, found.names.find("champion")) as classifier:
        profile = classifier.profile if isinstance(classifier, Profiled) else None
    async with open_store_to_read(found) as store:
        known_words = profile.known_words if profile else None
        earlier = await _seen(store, until - since - before, until - since, known_words)
        return await _seen(store, until - since, until, known_words), earlier, profile


async def _seen(store: Store, since: datetime, until: datetime, known_words: Set[str] | None) -> _Seen:
    seen = _Seen(known_words)
    history = await history_of(store, since=since, until=until)
    async for page in history.pages():
        for outcome in page:
            seen.add(outcome)
    return seen


def _moved(measure: str, now: Tally, earlier: Tally, profile: Profile | None) -> _Movement:
    shares, before = now.shares()[measure], earlier.shares()[measure]
    training = profile.shares[measure] if profile else None
    enough, enough_before = (each.count(measure) >= ENOUGH for each in (now, earlier))
    return _Movement(
        against_before=stability_index(shares, before) if enough and enough_before else None,
        against_training=stability_index(shares, training) if enough and training else None,
        now=shares,
        before=before,
        training=training,
    )


def _table(movements: Mapping[str, _Movement]) -> Iterator[str]:
    yield f"{'':15}{'before':>10}{'training':>10}"
    for measure, moved in movements.items():
        told = "" if moved.against_before is None else f"  {_told(moved.against_before)}: {_largest(moved)}"
        yield f"{measure:15}{_shown(moved.against_before)}{_shown(moved.against_training)}{told}"
    if any(moved.against_before is None for moved in movements.values()):
        yield f"-: fewer than {ENOUGH} inquiries on one side, or nothing to compare with; an index would be chance"


def _shown(index: float | None) -> str:
    return f"{'-' if index is None else format(index, '.2f'):>10}"


def _told(index: float) -> str:
    return "steady" if index < _STEADY else "moves" if index < CHANGED else "CHANGED"


def _largest(moved: _Movement) -> str:
    """The bin whose share has moved most."""
    found = max(moved.now, key=lambda each: abs(moved.now[each] - moved.before[each]))
    return f"{found} {moved.before[found]:.0%} -> {moved.now[found]:.0%}"


def _rightness(now: _Seen) -> Iterator[str]:
    for axis, each in now.rightness.items():
        if now.inquiries:
            looked_at = f"; people found {each.right} of {each.looked_at}" if each.looked_at else ""
            yield f"{axis}: by its confidence {each.expected / now.inquiries:.0%} should be right{looked_at}"
