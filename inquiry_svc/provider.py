"""`Provider`, the card that offers a provider of any kind, and `Host`, what the service lends to one that is open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.giving_way import go_on
from inquiry_svc.model_folders import ModelFolders
from inquiry_svc.upkeep import Upkeep

if TYPE_CHECKING:
    from inquiry_svc.contracts import Classifier
    from inquiry_svc.metrics import Metrics

T_co = TypeVar("T_co", covariant=True)


def _lends_no_classifier(name: str) -> AbstractAsyncContextManager[Classifier]:
    raise ConfigurationError(f"classifier {name!r} can't be opened: this host lends none")


@dataclass(frozen=True, slots=True)
class Host:
    """What the service lends to a provider while it is open."""

    data_dir: Path
    """A folder that exists and is writable; shared, so use file names of your own."""
    metrics: Metrics
    pause: Callable[[], None] = go_on
    """For an `open` that works for longer than a millisecond, in a thread: call it before and after each short step."""
    open_classifier: Callable[[str], AbstractAsyncContextManager[Classifier]] = _lends_no_classifier
    """`open_classifier(name)`: another classifier, by the name under which it is registered, as it is configured, for a
    provider that is made of others: enter it inside `open`, and call it as its contract says. Entering raises
    `ConfigurationError` where there is none, it can't be opened, or it is the one that asks.
    """


@dataclass(frozen=True, slots=True)
class NoSettings:
    """The settings of a provider that has none."""


@dataclass(frozen=True, slots=True)
class Provider(Generic[T_co]):
    """Offers one provider under a name; configuration picks it by that name."""

    name: str
    open: Callable[[Any, Host], AbstractAsyncContextManager[T_co]]
    """`open(settings, host)`: entered once at start, left at stop. Import heavy libraries inside."""
    settings: type[Any] = NoSettings
    """A frozen dataclass with a default for each field: what may stand in `[<section>.<name>]`."""
    extra: str | None = None
    """The optional dependency group that `open` needs, as in `pip install 'inquiry-svc[<extra>]'`."""
    db_system: str | None = None
    """Of a cache or a store: the database behind it, as OpenTelemetry names it in `db.system.name`; for traces."""
    one_process: bool = False
    """What it holds is seen by its own process alone: as a store it is refused with several workers."""
    upkeep: Upkeep = field(default_factory=Upkeep)
    """Of a store: what `inquiry-svc migrate`, `backup` and `restore` call."""
    model_folders: ModelFolders | None = None
    """Of a classifier: what the registry of models and `inquiry-svc model` call. None: it has one model."""
