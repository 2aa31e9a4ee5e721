"""A model by any of its names, and how it is opened: an alias, a digest, a folder, or `built-in`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inquiry_svc.contracts import Classifier
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.models.registry import ALIASES, Aliases, Reference, Registry
from inquiry_svc.opening import Opener

BUILT_IN: Final = "built-in"


@dataclass(frozen=True, slots=True)
class NamedModel:
    provider: str
    folder: Path | None = None
    """None: the built-in model, which the provider's settings name."""
    reference: Reference | None = None
    """Where it is one of the registry."""

    def __str__(self) -> str:
        return str(self.reference or self.folder or f"the built-in {self.provider}")


@dataclass(frozen=True, slots=True)
class Names:
    """What names mean, with this registry and this built-in classifier."""

    registry: Registry
    built_in: str

    def of(self, reference: Reference | None) -> NamedModel:
        if reference is None:
            return NamedModel(self.built_in)
        return NamedModel(reference.provider, self.registry.folder(reference), reference)

    def find(self, name: str) -> NamedModel:
        """Raises `ConfigurationError` where it names none, or several."""
        if name == BUILT_IN:
            return NamedModel(self.built_in)
        if name in ALIASES:
            aliases = self.registry.aliases()
            return self.of(_held(aliases, name))
        if Path(name).is_dir():
            return NamedModel(self.built_in, Path(name))
        found = [model for model in self.registry.models() if model.digest.startswith(name.rpartition("/")[2])]
        if len(found) != 1:
            known = ", ".join(map(str, found or self.registry.models())) or "none"
            which = "several models" if found else "no model and no folder"
            raise ConfigurationError(f"{name!r} names {which}; in the registry: {known}")
        return self.of(found[0])


def _held(aliases: Aliases, name: str) -> Reference | None:
    reference: Reference | None = getattr(aliases, name)
    if reference is None and name != "champion":
        raise ConfigurationError(f"there is no {name}; inquiry-svc model list shows what there is")
    return reference


@asynccontextmanager
async def open_model(opener: Opener, named: NamedModel) -> AsyncIterator[Classifier]:
    """A classifier with this model. Raises `ConfigurationError` where the registry holds another in its place."""
    async with opener.open("classifier", named.provider, model=named.folder) as opened:
        classifier: Classifier = opened
        if named.reference is not None and classifier.model.digest != named.reference.digest:
            raise ConfigurationError(
                f"{named.folder} holds model {classifier.model.digest}: remove the folder and take the model in anew"
            )
        yield classifier
