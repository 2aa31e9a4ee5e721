"""`inquiry-svc train FILE...`, which is `inquiry-svc model train` too: a model from labelled rows and from feedback."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from inquiry_svc.cli.configured import Configured, gets_configured
from inquiry_svc.cli.model.taking_in import identity, moved_in
from inquiry_svc.cli.stored import open_store_to_read
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.labelled import LabelledText, read_labelled, write_labelled
from inquiry_svc.models.corrected import corrected


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE...]", type=click.Path(path_type=Path))
@click.option("--from-store", is_flag=True, help="Learn from the stored inquiries too that people gave feedback on.")
@click.option(
    "--rows-out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the rows of the store there, to train the same model again. They are what customers wrote.",
)
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The model folder, instead of a place in the registry.",
)
@gets_configured
def train(
    files: tuple[Path, ...],
    from_store: bool,
    rows_out: Path | None,
    folder: Path | None,
    found: Configured,
) -> None:
    """Make a model of labelled inquiries, for the registry or as a folder of its own.

    FILE holds JSON lines (.gz too) with subject, body, category, sentiment, urgency (null: not known), and optionally
    source (who wrote it) and group (rows that belong together). The same rows give the same model.
    """
    if not files and not from_store:
        raise click.UsageError("there is nothing to learn from; name a FILE, or --from-store")
    if rows_out and not from_store:
        raise click.UsageError("--rows-out writes the rows of the store; it needs --from-store")
    rows = read_labelled(files)
    if from_store:
        stored = asyncio.run(_stored(found))
        rows += stored
        click.echo(f"rows from the store: {len(stored)}")
        if rows_out:
            write_labelled(rows_out, stored)
    if folder is not None:
        told = _train(found, rows, folder)
        digest = identity(found, folder).digest
    else:
        with found.registry.incoming() as incoming:
            told = _train(found, rows, incoming)
            named = moved_in(found, incoming)
        folder, digest = named.folder, named.reference.digest if named.reference else ""
    click.echo(f"{folder}: model {digest}; {told}")


def _train(found: Configured, rows: list[LabelledText], folder: Path) -> str:
    name = found.names.learner
    folders = found.offers.provider("classifier", name).model_folders
    if folders is None or folders.train is None:
        raise ConfigurationError(f"classifier {name!r} can't be trained here; choose another as [classifier] provider")
    hidden, label = not sys.stderr.isatty(), f"Training on {len(rows):,} rows"
    with click.progressbar(length=100, label=label, hidden=hidden, file=sys.stderr) as bar:
        return folders.train(
            found.settings.of_providers["classifier", name],
            rows,
            folder,
            lambda done, of: bar.update(done * 100 // of - bar.pos),
        )


async def _stored(found: Configured) -> list[LabelledText]:
    async with open_store_to_read(found) as store:
        return await corrected(store)
