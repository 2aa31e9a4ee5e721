"""The chosen store as the commands that look into it or tidy it need it: opened beside the services that write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.cli.configured import Configured
from inquiry_svc.contracts import Host, Store
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.guarded_store import GuardedStore
from inquiry_svc.metrics import Metrics
from inquiry_svc.opening import Opener, told_what_is_missing


@asynccontextmanager
async def open_store_to_read(found: Configured) -> AsyncIterator[Store]:
    """The database refuses every write. Raises `ConfigurationError` where there is nothing to read."""
    chosen = found.settings.store
    provider = found.offers.provider("store", chosen.provider)
    opened = provider.upkeep.open_to_read
    if opened is None:
        raise ConfigurationError(
            f"store {chosen.provider!r} can't be read from outside the service; name the service's own with --config"
        )
    metrics = Metrics(OWN_METRICS)
    host = Host(Path(found.settings.server.data_dir), metrics)
    with told_what_is_missing("store", chosen.provider, provider.extra):
        async with opened(found.settings.of_providers["store", chosen.provider], host) as store:
            yield GuardedStore(store, metrics=metrics, timeout_s=chosen.timeout_s)


@asynccontextmanager
async def open_store(found: Configured) -> AsyncIterator[Store]:
    """As a service opens it, where it is there and has the schema of this release. Raises `ConfigurationError`."""
    async with open_store_to_read(found):
        chosen = found.settings.store
    metrics = Metrics(OWN_METRICS)
    opener = Opener(found.settings, found.offers, Host(Path(found.settings.server.data_dir), metrics))
    async with opener.open("store", chosen.provider) as store:
        yield GuardedStore(store, metrics=metrics, timeout_s=chosen.timeout_s)
