"""The chosen store as the commands that work on what it holds need it, beside the services that write.

To look into it, it is opened to read alone.
"""

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
    host = _host(found)
    with told_what_is_missing("store", chosen.provider, provider.extra):
        async with opened(found.settings.of_providers["store", chosen.provider], host) as store:
            yield _guarded(store, host, found)


@asynccontextmanager
async def open_store(found: Configured) -> AsyncIterator[Store]:
    """As a service opens it, where it is there and has the schema of this release. Raises `ConfigurationError`."""
    async with open_store_to_read(found):
        host = _host(found)
    async with Opener(found.settings, found.offers, host).open("store", found.settings.store.provider) as store:
        yield _guarded(store, host, found)


def _host(found: Configured) -> Host:
    return Host(Path(found.settings.server.data_dir), Metrics(OWN_METRICS))


def _guarded(store: Store, host: Host, found: Configured) -> Store:
    return GuardedStore(store, metrics=host.metrics, timeout_s=found.settings.store.timeout_s)
