"""Opens one chosen provider, and turns whatever keeps it from opening into one line with the cure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from inquiry_svc.contracts import Host
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.giving_way import Pauses
from inquiry_svc.plugins import Offers
from inquiry_svc.settings import SECTIONS, Settings


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens providers as configured."""

    settings: Settings
    offers: Offers
    host: Host
    opening: tuple[str, ...] = ()
    """The classifiers that are being opened, the outermost first: none opens itself."""

    def giving_way(self) -> Opener:
        """The same, opening in such a way that whoever is served meanwhile does not notice."""
        return replace(self, host=replace(self.host, pause=Pauses()))

    @asynccontextmanager
    async def open(self, kind: str, name: str, *, model: Path | None = None) -> AsyncIterator[Any]:
        """The provider of this kind and name, with another model than its settings say where `model` is given.

        Closed on leaving. Raises `ConfigurationError`.
        """
        provider = self.offers.provider(kind, name)
        if kind == "classifier" and name in self.opening:
            raise ConfigurationError(
                f"classifier {name!r} would open itself: {' -> '.join([*self.opening, name])}; name another in "
                f"[classifier.{self.opening[-1]}]"
            )
        section = SECTIONS[kind]
        settings = self.settings.of_providers[section, name]
        if model is not None:
            if provider.model_folders is None:
                raise ConfigurationError(f"{kind} {name!r} has no models in folders; name one that has")
            settings = replace(settings, **{provider.model_folders.setting: str(model)})
        async with AsyncExitStack() as stack:
            try:
                with told_what_is_missing(kind, name, provider.extra):
                    opening = provider.open(settings, self._host_for(kind, name))
                    opened = await stack.enter_async_context(opening)
            except OSError as error:
                raise ConfigurationError(f"{kind} {name!r} can't be opened: {error}; see [{section}.{name}]") from error
            yield opened

    def _host_for(self, kind: str, name: str) -> Host:
        inside = replace(self, opening=(*self.opening, name)) if kind == "classifier" else self
        return replace(self.host, open_classifier=partial(inside.open, "classifier"))


@contextmanager
def told_what_is_missing(kind: str, name: str, extra: str | None) -> Iterator[None]:
    """Turns an import that fails into a `ConfigurationError` with the command that mends it."""
    try:
        yield
    except ImportError as error:
        cure = f"pip install 'inquiry-svc[{extra}]'" if extra else "install what it needs"
        missing = error.name or str(error)
        raise ConfigurationError(f"{kind} {name!r} needs {missing}, which is not installed; {cure}") from error
