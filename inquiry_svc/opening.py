"""Opens one chosen provider, and turns whatever keeps it from opening into one line with the cure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from inquiry_svc.contracts import Host
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.giving_way import Pauses
from inquiry_svc.plugins import Offers
from inquiry_svc.settings import SECTIONS, Settings


@dataclass(frozen=True, slots=True)
class ModelFolder:
    path: Path
    digest: str | None = None
    """Of the model that it must hold, where that is known."""


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens providers as configured."""

    settings: Settings
    offers: Offers
    host: Host
    opening: tuple[str, ...] = ()
    """The classifiers that are being opened, the outermost first: none opens itself."""
    models: Mapping[str, ModelFolder] = field(default_factory=dict)
    """By classifier: those that whoever is made of it has been given."""

    def giving_way(self) -> Opener:
        """The same, opening in such a way that whoever is served meanwhile does not notice."""
        return replace(self, host=replace(self.host, pause=Pauses()))

    @asynccontextmanager
    async def open(self, kind: str, name: str, *, model: ModelFolder | None = None) -> AsyncIterator[Any]:
        """The provider of this kind and name, with another model than its settings say where `model` is given.

        Of one that is made of others, that is the model of the one that its `ModelFolders` say. Closed on leaving.
        Raises `ConfigurationError`.
        """
        provider = self.offers.provider(kind, name)
        if kind == "classifier" and name in self.opening:
            raise ConfigurationError(
                f"classifier {name!r} would open itself: {' -> '.join([*self.opening, name])}; name another in "
                f"[classifier.{self.opening[-1]}]"
            )
        section = SECTIONS[kind]
        settings = self.settings.of_providers[section, name]
        inside = replace(self, opening=(*self.opening, name), models={}) if kind == "classifier" else self
        model = model or (self.models.get(name) if kind == "classifier" else None)
        if model is not None:
            folders = provider.model_folders
            if folders is None:
                raise ConfigurationError(f"{kind} {name!r} has no models in folders; name one that has")
            if folders.of is None:
                settings = replace(settings, **{folders.setting: str(model.path)})
            else:
                inside, model = replace(inside, models={getattr(settings, folders.of): model}), None
        host = replace(self.host, open_classifier=partial(inside.open, "classifier"))
        async with AsyncExitStack() as stack:
            try:
                with told_what_is_missing(kind, name, provider.extra):
                    opened = await stack.enter_async_context(provider.open(settings, host))
            except OSError as error:
                raise ConfigurationError(f"{kind} {name!r} can't be opened: {error}; see [{section}.{name}]") from error
            if model is not None and model.digest not in (None, opened.model.digest):
                raise ConfigurationError(
                    f"{model.path} holds model {opened.model.digest}: remove the folder and take the model in anew"
                )
            yield opened


@contextmanager
def told_what_is_missing(kind: str, name: str, extra: str | None) -> Iterator[None]:
    """Turns an import that fails into a `ConfigurationError` with the command that mends it."""
    try:
        yield
    except ImportError as error:
        cure = f"pip install 'inquiry-svc[{extra}]'" if extra else "install what it needs"
        missing = error.name or str(error)
        raise ConfigurationError(f"{kind} {name!r} needs {missing}, which is not installed; {cure}") from error
