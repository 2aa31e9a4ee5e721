"""Models that are folders of files: how a classifier's are opened and made, offered on its `Provider`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from inquiry_svc.labelled import LabelledText

Progress: TypeAlias = Callable[[int, int], None]
"""Told now and then how many steps are done, and of how many."""


@dataclass(frozen=True, slots=True)
class ModelFolders:
    """Of a classifier that can be opened with any of several models, each a folder that is never changed.

    One that is made of others says `of` and nothing else: it is opened with another model of that one.
    """

    setting: str = "model"
    """The setting that names the folder: `Provider.open` with it opens that model.

    It raises `ConfigurationError` unless each file is as it was written, and reads in a thread, with `Host.pause`
    between its steps: it is called while another model serves, and must not hold that up.
    """
    train: Callable[[Any, Sequence[LabelledText], Path, Progress], str] | None = None
    """`train(settings, rows, folder, progress)`: write a model learnt from the rows; a line on how right it is.

    Called alone, with no service around it. The same rows on the same versions give the same digest.
    """
    of: str | None = None
    """The setting that names the classifier, opened through `Host.open_classifier`, whose models these are."""
