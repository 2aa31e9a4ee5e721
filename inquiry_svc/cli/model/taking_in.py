"""Takes a model folder into the registry, once it was opened and found whole."""

from __future__ import annotations

import asyncio
import shutil

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
        return moved_in(found, NamedModel(named.provider, folder))


def moved_in(found: Configured, incoming: NamedModel) -> NamedModel:
    """The same of a folder that `Registry.incoming` gave, which is gone from there."""
    assert incoming.folder is not None
    reference = Reference(incoming.provider, identity(found, incoming).digest)
    found.registry.take_in(incoming.folder, reference)
    return found.names.of(reference)


def identity(found: Configured, named: NamedModel) -> Model:
    async def ask() -> Model:
        async with open_classifier(found, named) as classifier:
            return classifier.model

    return asyncio.run(ask())
