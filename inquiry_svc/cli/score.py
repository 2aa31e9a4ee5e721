"""`inquiry-svc score FILE... --out FILE`: what the classifier says of each line of an archive, however large."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import click

from inquiry_svc.cli.configured import Configured, gets_configured, model_option, open_classifier
from inquiry_svc.models.named import NamedModel
from inquiry_svc.opening import told_what_is_missing
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import SECTIONS, Settings

if TYPE_CHECKING:
    from inquiry_svc.scoring.lines import Scorer

_WORKERS = 2


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Where to; replaced whole.")
@click.option(
    "--engine", type=click.Choice(["local", "dask"]), default="local", show_default=True, help="Who does the work."
)
@click.option("--workers", type=click.IntRange(1, 256), help=f"Dask: processes on this machine; {_WORKERS} unless set.")
@click.option("--scheduler", metavar="ADDRESS", help="Dask: an existing one, such as tls://scheduler:8786.")
@model_option
@gets_configured
def score(
    files: tuple[Path, ...],
    out: Path,
    engine: Literal["local", "dask"],
    workers: int | None,
    scheduler: str | None,
    model: str,
    found: Configured,
) -> None:
    """Say of each line of an archive what the classifier makes of it, a line for each line.

    A line is an inquiry as bulk takes it or as the service gives it; only subject, body and inquiry_id are read. A line
    that can't be scored gives one that says why. FILE... may end in .gz.
    """
    if engine == "local" and (workers or scheduler):
        raise click.UsageError("--workers and --scheduler go with --engine dask")
    if workers and scheduler:
        raise click.UsageError("--workers and --scheduler exclude each other: a scheduler has workers of its own")
    if scheduler and not re.fullmatch(r"\w+://.+:\d+", scheduler):
        raise click.UsageError(f"--scheduler {scheduler} is no address; write it as tls://scheduler:8786")
    for each in files:
        if out.exists() and each.exists() and out.samefile(each):
            raise click.UsageError(f"--out {out} is one of the archives; name another file")
    named = found.names.find(model)
    started = time.perf_counter()
    with _whole_or_not_at_all(out) as target:
        if engine == "dask":
            with told_what_is_missing("engine", "dask", "dask"):
                import distributed  # noqa: F401
        scored = asyncio.run(_scored(found, named, files, target, engine, workers or _WORKERS, scheduler))
    seconds = time.perf_counter() - started
    missing = f", {scored.not_scored:,} of them with why they were not scored" if scored.not_scored else ""
    click.echo(f"{out}: {scored.lines:,} lines{missing}; {seconds:.1f} s, {scored.lines / seconds:,.0f} lines a second")


@dataclass(slots=True)
class _Counted:
    lines: int = 0
    not_scored: int = 0


async def _scored(
    found: Configured,
    named: NamedModel,
    files: Sequence[Path],
    target: BinaryIO,
    engine: Literal["local", "dask"],
    workers: int,
    scheduler: str | None,
) -> _Counted:
    from inquiry_svc.scoring.archives import chunks
    from inquiry_svc.scoring.lines import scored_here

    counted = _Counted()
    size_bytes = sum(each.stat().st_size for each in files)
    opening = partial(_open_scorer, _what_a_classifier_needs(found.settings), named)
    async with opening() as scorer:  # also where others do the work: they must have this very model
        if engine == "local":
            answers = scored_here(chunks(files), scorer)
        else:
            from inquiry_svc.scoring.cluster import scored_by_cluster

            answers = scored_by_cluster(chunks(files), opening, scorer.model, workers=workers, scheduler=scheduler)
        hidden = not sys.stderr.isatty()
        with click.progressbar(length=size_bytes, label="Scoring", hidden=hidden, file=sys.stderr) as bar:
            async with aclosing(answers):
                async for chunk, scored in answers:
                    target.write(scored.lines)
                    counted.lines += len(chunk.lines)
                    counted.not_scored += scored.not_scored
                    bar.update(chunk.read_bytes)
    return counted


@asynccontextmanager
async def _open_scorer(settings: Settings, named: NamedModel) -> AsyncIterator[Scorer]:
    """In this process or in a worker's, where plugins are found anew."""
    from inquiry_svc.scoring.lines import Scorer

    manager = build_manager()
    async with open_classifier(Configured(manager, Offers(manager), settings, []), named) as classifier:
        yield Scorer(classifier, ReviewPolicy(settings.review))


def _what_a_classifier_needs(settings: Settings) -> Settings:
    """And nothing more: it is sent to the workers, and passwords of stores and keys are none of their business."""
    section = SECTIONS["classifier"]
    of_classifiers = {path: each for path, each in settings.of_providers.items() if path[0] == section}
    return Settings(classifier=settings.classifier, review=settings.review, of_providers=of_classifiers)


@contextmanager
def _whole_or_not_at_all(out: Path) -> Iterator[BinaryIO]:
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as target:
            yield target
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
