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
from inquiry_svc.opening import ModelFolder, Opener
from inquiry_svc.plugins import Offers
from inquiry_svc.settings import SECTIONS, Settings

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
    made_of: str = ""
    """The classifier inside the built-in one whose models these are; empty where they are its own."""

    @property
    def learner(self) -> str:
        """The classifier under whose name models are taken in."""
        return self.made_of or self.built_in

    def of(self, reference: Reference | None) -> NamedModel:
        if reference is None:
            return NamedModel(self.built_in)
        provider = self.built_in if reference.provider == self.learner else reference.provider
        return NamedModel(provider, self.registry.folder(reference), reference)

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


def names_of(registry: Registry, settings: Settings, offers: Offers) -> Names:
    """With the classifier that is chosen."""
    built_in = settings.classifier.provider
    made_of, seen = built_in, {built_in}
    while (folders := offers.provider("classifier", made_of).model_folders) is not None and folders.of is not None:
        made_of = getattr(settings.of_providers[SECTIONS["classifier"], made_of], folders.of)
        if made_of in seen:  # which can't be opened, and says so then
            break
        seen.add(made_of)
    return Names(registry, built_in, "" if made_of == built_in else made_of)


def _held(aliases: Aliases, name: str) -> Reference | None:
    reference: Reference | None = getattr(aliases, name)
    if reference is None and name != "champion":
        raise ConfigurationError(f"there is no {name}; inquiry-svc model list shows what there is")
    return reference


@asynccontextmanager
async def open_model(opener: Opener, named: NamedModel) -> AsyncIterator[Classifier]:
    """A classifier with this model. Raises `ConfigurationError` where the registry holds another in its place."""
    digest = None if named.reference is None else named.reference.digest
    model = None if named.folder is None else ModelFolder(named.folder, digest)
    async with opener.open("classifier", named.provider, model=model) as opened:
        classifier: Classifier = opened
        yield classifier
