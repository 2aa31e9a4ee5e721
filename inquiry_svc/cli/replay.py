"""`inquiry-svc replay`: what another model or other rules would have made of the inquiries that are stored."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from inquiry_svc.cli.configured import (
    Configured,
    config_option,
    configured,
    data_dir_option,
    open_classifier,
    open_router,
)
from inquiry_svc.cli.durations import DURATION, in_words
from inquiry_svc.cli.stored import open_store_to_read
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.history import history_of
from inquiry_svc.inquiries import AXES
from inquiry_svc.models.named import NamedModel
from inquiry_svc.plugins import did_you_mean
from inquiry_svc.replaying import Replay, Shift
from inquiry_svc.replaying import replay as replayed
from inquiry_svc.reviewing import ReviewPolicy

_MOVES: Final = 3
"""So many of the ways from one answer to another are told."""


@click.command()
@click.option("--since", type=DURATION, default="7d", show_default=True, help="The inquiries to decide again.")
@click.option("--with", "first", multiple=True, metavar="model=... rules=...", help="What to try; one of them or both.")
@click.argument("more", nargs=-1, metavar="")
@click.option(
    "--examples", default=3, show_default=True, type=click.IntRange(0, 1000), help="Of each thing that changes."
)
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object.")
@data_dir_option
@config_option
def replay(
    since: timedelta,
    first: tuple[str, ...],
    more: tuple[str, ...],
    examples: int,
    as_json: bool,
    data_dir: str | None,
    file: Path | None,
) -> None:
    """Say what would change with another model or other rules, on inquiries that are stored.

    model is a model as inquiry-svc model knows it (an alias, the beginning of a digest, a folder) or the name of a
    classifier, rules a rules file. What is stored is only read, beside the services that write.

    inquiry-svc replay --since 7d --with model=new-model rules=new-rules.yaml
    """
    changes = _changes((*first, *more))
    options: dict[tuple[str, ...], str | None] = {("server", "data_dir"): data_dir}
    found = configured(file, options)
    candidate = configured(file, {**options, **_settings_of(found, changes)})
    model = _model(found, changes["model"]) if "model" in changes else None
    started = time.perf_counter()
    outcome = asyncio.run(_replayed(found, candidate, since, examples, model=model, quiet=as_json))
    seconds = time.perf_counter() - started
    if as_json:
        click.echo(json.dumps({**asdict(outcome), "seconds": round(seconds, 3)}))
        return
    what = " ".join(f"{name}={value}" for name, value in changes.items())
    for line in _lines(outcome, f"of {in_words(since)}, as it is and with {what}"):
        click.echo(line)
    click.echo(f"{seconds:.1f} s, {outcome.inquiries / seconds:,.0f} inquiries a second")


def _changes(given: tuple[str, ...]) -> dict[str, str]:
    found = dict(each.split("=", 1) for each in given if "=" in each)
    if not found or len(found) < len(given) or not found.keys() <= {"model", "rules"} or not all(found.values()):
        said = " ".join(given)
        raise click.UsageError(
            f"--with {said}: say what to try, as in --with model=DIR, rules=FILE, or both, each once"
        )
    return found


def _settings_of(found: Configured, changes: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """The settings that the candidate has instead of those of today."""
    return {("router", found.settings.router.provider, "file"): changes["rules"]} if "rules" in changes else {}


def _model(found: Configured, name: str) -> NamedModel:
    """Raises `ConfigurationError` where it names none."""
    classifiers = found.offers.of_kind("classifier")
    if name in classifiers:
        return NamedModel(name)
    try:
        return found.names.find(name)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; of classifiers, {did_you_mean(name, classifiers)}") from error


async def _replayed(
    found: Configured, candidate: Configured, since: timedelta, examples: int, *, model: NamedModel | None, quiet: bool
) -> Replay:
    until = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        router, candidate_router = await enter(open_router(found)), await enter(open_router(candidate))
        classifier = None if model is None else await enter(open_classifier(candidate, model))
        store = await enter(open_store_to_read(found))
        history = await history_of(store, since=until - since, until=until)
        hidden = quiet or not sys.stderr.isatty()
        with click.progressbar(length=history.count, label="Replaying", hidden=hidden, file=sys.stderr) as bar:
            return await replayed(
                history,
                router=router,
                candidate_router=candidate_router,
                candidate=classifier,
                policy=ReviewPolicy(found.settings.review),
                examples=examples,
                on_progress=bar.update,
            )


# What a person reads


def _lines(replay: Replay, what: str) -> Iterator[str]:
    answered = "; ".join(f"{count:,} answered by {model}" for model, count in replay.answered_by.items())
    yield f"{replay.inquiries:,} inquiries {what}{f': {answered}' if answered else ''}"
    if replay.failed:
        yield f"{replay.failed:,} more were left out: the candidate raised over them"
    for thing, shift in replay.shifts.items():
        yield ""
        yield from _consultants(replay, shift) if thing == "consultant" else _shift(thing, shift, replay.inquiries)


def _shift(thing: str, shift: Shift, inquiries: int) -> Iterator[str]:
    share = f" ({shift.changed / inquiries:.1%})" if inquiries else ""
    yield f"{thing}: {shift.changed:,} change{share}"
    if not shift.changed:
        return
    for answer, before in shift.before.items():
        after = shift.after[answer]
        shares = f"{before / inquiries:>7.1%} ->{after / inquiries:>6.1%}"
        yield f"  {answer:20}{before:>8,} -> {after:<8,}{_signed(after - before):>7}{shares}"
    told = ", ".join(f"{one} -> {other} {count:,}" for one, other, count in shift.moves[:_MOVES])
    yield f"  most: {told}"
    if thing in AXES and shift.looked_at:
        yield f"  people said of {shift.looked_at:,}: right {shift.right_before:,} -> {shift.right_after:,}"
    for each in shift.examples:
        yield f"  {each.inquiry_id}  {each.before} -> {each.after}  {each.beginning}"


def _consultants(replay: Replay, shift: Shift) -> Iterator[str]:
    yield "consultant: inquiries given, and the most held at once"
    for name, before in shift.before.items():
        after, held = shift.after[name], (replay.most_open_before.get(name, 0), replay.most_open_after.get(name, 0))
        most = f"   {held[0]:>6,} -> {held[1]:<6,}" if any(held) else ""
        yield f"  {name:20}{before:>8,} -> {after:<8,}{_signed(after - before):>7}{most}".rstrip()


def _signed(count: int) -> str:
    return f"{count:+,}" if count else ""
