"""The chosen store as the commands that look after one need it: its upkeep called alone, no service around it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from inquiry_svc.cli.configured import Configured
from inquiry_svc.contracts import Host
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.metrics import Metrics
from inquiry_svc.opening import told_what_is_missing
from inquiry_svc.upkeep import Backups, Contents, Upkeep

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChosenStore:
    name: str
    upkeep: Upkeep
    _host: Host
    _settings: Any
    _extra: str | None

    @property
    def backups(self) -> Backups:
        """Raises `ConfigurationError` that says what to do instead where the store has none."""
        if self.upkeep.backups is None:
            raise ConfigurationError(f"store {self.name!r} has no backups here: {self.upkeep.backups_instead}")
        return self.upkeep.backups

    def call(self, function: Callable[..., T], *values: Any) -> tuple[T, float]:
        """What the function of `upkeep` gives for these values, and the seconds that it took."""
        started = time.perf_counter()
        with told_what_is_missing("store", self.name, self._extra):
            return function(self._settings, self._host, *values), time.perf_counter() - started


def chosen_store(found: Configured) -> ChosenStore:
    """As `inquiry-svc serve` would choose it."""
    name = found.settings.store.provider
    provider = found.offers.provider("store", name)
    return ChosenStore(
        name,
        provider.upkeep,
        Host(Path(found.settings.server.data_dir), Metrics()),
        found.settings.of_providers["store", name],
        provider.extra,
    )


def in_figures(contents: Contents) -> str:
    """To be compared with the figures of another by eye or by `diff`, so nothing in it depends on the moment."""
    rows = ", ".join(f"{count} {table}" for table, count in contents.rows.items())
    return f"{rows}; {contents.size_bytes} bytes; content {contents.digest}"
