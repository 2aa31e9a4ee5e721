"""Takes a model folder into the registry, once it was opened and found whole."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from inquiry_svc.cli.configured import Configured, open_classifier
from inquiry_svc.inquiries import Model
from inquiry_svc.models.named import NamedModel
from inquiry_svc.models.registry import Reference


def taken_in(found: Configured, named: NamedModel) -> NamedModel:
    """The same model in the registry: a copy of a folder from elsewhere; what needs none is given back.

    Raises `ConfigurationError` where it is not whole.
    """
    if named.folder is None or named.reference is not None:
        return named
    with found.registry.incoming() as folder:
        shutil.copytree(named.folder, folder, dirs_exist_ok=True)
        return moved_in(found, folder)


def moved_in(found: Configured, folder: Path) -> NamedModel:
    """The same of a folder that `Registry.incoming` gave, which is gone from there."""
    reference = Reference(found.names.learner, identity(found, folder).digest)
    found.registry.take_in(folder, reference)
    return found.names.of(reference)


def identity(found: Configured, folder: Path) -> Model:
    """Of the model alone, whatever else the chosen classifier is made of."""

    async def ask() -> Model:
        async with open_classifier(found, NamedModel(found.names.learner, folder)) as classifier:
            return classifier.model

    return asyncio.run(ask())
