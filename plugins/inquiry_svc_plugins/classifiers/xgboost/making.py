"""Makes a model folder of labelled rows: what `inquiry-svc train` calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.labelled import LabelledText
from inquiry_svc.model_folders import Progress

if TYPE_CHECKING:
    from inquiry_svc_plugins.classifiers.xgboost import XgboostSettings


def make(settings: XgboostSettings, rows: Sequence[LabelledText], folder: Path, progress: Progress) -> str:
    """See `inquiry_svc.model_folders.ModelFolders.train`. Raises `ConfigurationError` where the library is missing."""
    try:
        from inquiry_svc_plugins.classifiers.xgboost import training, writing
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"training needs {error.name}, which is not installed; run: pip install 'inquiry-svc[train]'"
        ) from error
    writing.check_folder(folder)
    steps, done = training.steps(rows), 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, steps)

    trained = training.train(rows, step)
    manifest = writing.write_model(trained, rows, folder)
    validation = manifest["cross_validation"]
    found = {axis: validation[axis]["held_out"] for axis in trained.axes}
    accuracy = ", ".join(
        f"{axis} {figures.get('mean of sources', figures['all rows'])['accuracy']:.1%}"
        for axis, figures in found.items()
    )
    rows_told = f"{len(rows):,} rows (digest {manifest['corpus']['digest']})"
    return f"learnt from {rows_told}; right on held-out {validation['held_out']}: {accuracy}"
