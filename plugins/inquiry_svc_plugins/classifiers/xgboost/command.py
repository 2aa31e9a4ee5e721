"""`inquiry-svc train FILE... --out DIR`: a model folder from labelled JSON lines."""

from __future__ import annotations

from pathlib import Path

import click

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.labelled import LabelledText, read_labelled


@click.command("train")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--out", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path), help="The model folder."
)
def train(files: tuple[Path, ...], folder: Path) -> None:
    """Make a model of labelled inquiries.

    FILE holds JSON lines (.gz too) with subject, body, category, sentiment, urgency (null: not known), and optionally
    source (who wrote it) and group (rows that belong together). DIR becomes a model folder with a model card: name it
    in [classifier.xgboost] model.
    """
    rows = read_labelled(files)
    try:
        click.echo(_train(rows, folder))
    except OSError as error:
        raise click.ClickException(
            f"--out {folder} cannot be written ({error.strerror}); name another folder"
        ) from error


def _train(rows: list[LabelledText], folder: Path) -> str:
    try:
        from inquiry_svc_plugins.classifiers.xgboost import training, writing
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"training needs {error.name}, which is not installed; run: pip install 'inquiry-svc[train]'"
        ) from error
    writing.check_folder(folder)
    with click.progressbar(length=training.steps(rows), label=f"Training on {len(rows):,} rows") as bar:
        trained = training.train(rows, lambda: bar.update(1))
    manifest = writing.write_model(trained, rows, folder)
    validation = manifest["cross_validation"]
    found = {axis: validation[axis]["held_out"] for axis in trained.axes}
    accuracy = ", ".join(
        f"{axis} {figures.get('mean of sources', figures['all rows'])['accuracy']:.1%}"
        for axis, figures in found.items()
    )
    return f"{folder}: model {manifest['digest']}; right on held-out {validation['held_out']}: {accuracy}"
