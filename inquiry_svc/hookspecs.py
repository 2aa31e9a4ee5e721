"""Every extension point, in the order in which the service meets them.

Three rules hold for all of them and are checked at start by `plugins.build_manager`:

1. A hook is a plain `def` that hands over objects; the objects may be async. An `async def` implementation is refused.
2. Hooks run at start, once a batch or once for what a person did, never once an inquiry.
3. Registration decides, events only watch: configuration picks providers by name, and a watcher that raises is logged,
   counted under its plugin's name and changes nothing.

An implementation may take fewer arguments than the hook offers.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    import click
    from aiohttp import web
    from aiohttp.typedefs import Middleware

    from inquiry_svc.contracts import Cache, Classifier, Exporter, Notifier, Provider, Router, Source, Store
    from inquiry_svc.events import Classified, Failed, Received, Resolved, Reviewed, Routed, Stored
    from inquiry_svc.metrics import Metric, Metrics
    from inquiry_svc.service import Service
    from inquiry_svc.tracing import Tracer

PROJECT_NAME: Final = "inquiry_svc"
"""The name of the pluggy project and of the entry-point group in which plugins are found."""

hookspec: Final = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl: Final = pluggy.HookimplMarker(PROJECT_NAME)


# What can be chosen: called once, when the catalogue of providers is made.


@hookspec
def register_classifiers() -> Iterable[Provider[Classifier]]:  # type: ignore[empty-body]
    """Offer classifiers, for `[classifier] provider` and `fallback`."""


@hookspec
def register_routers() -> Iterable[Provider[Router]]:  # type: ignore[empty-body]
    """Offer routers, for `[router] provider`."""


@hookspec
def register_caches() -> Iterable[Provider[Cache]]:  # type: ignore[empty-body]
    """Offer caches, for `[cache] provider`."""


@hookspec
def register_stores() -> Iterable[Provider[Store]]:  # type: ignore[empty-body]
    """Offer stores, for `[store] provider`."""


@hookspec
def register_exporters() -> Iterable[Provider[Exporter]]:  # type: ignore[empty-body]
    """Offer exporters, those that are asked and those that send, for `[exporters] providers`."""


@hookspec
def register_sources() -> Iterable[Provider[Source]]:  # type: ignore[empty-body]
    """Offer sources of inquiries beside HTTP, for `[sources] providers`."""


@hookspec
def register_notifiers() -> Iterable[Provider[Notifier]]:  # type: ignore[empty-body]
    """Offer notifiers, which tell somebody elsewhere what became of inquiries, for `[notifiers] providers`."""


@hookspec
def register_tracers() -> Iterable[Provider[Tracer]]:  # type: ignore[empty-body]
    """Offer tracers, for `[tracing] provider`."""


# What is added: called once, while the service starts or the command line is built.


@hookspec
def register_metrics() -> Iterable[Metric]:  # type: ignore[empty-body]
    """Declare metrics of your own. A name that is taken stops the start."""


@hookspec
def register_commands(commands: click.Group) -> None:
    """Add commands to `inquiry-svc` with `commands.add_command(...)`."""


@hookspec
def lifespan(service: Service) -> AbstractAsyncContextManager[None]:  # type: ignore[empty-body]
    """Run something as long as the service runs: entered when every provider is open, left before they close."""


@hookspec
def register_routes(service: Service) -> Iterable[web.AbstractRouteDef]:  # type: ignore[empty-body]
    """Add HTTP routes. They pass through the service's middlewares, so errors become problem documents.

    Where the service has API keys, a route takes one with the scope `admin`, unless its handler is marked with
    `inquiry_svc.api_keys.needs`.
    """


@hookspec
def register_middlewares(service: Service) -> Iterable[Middleware]:  # type: ignore[empty-body]
    """Add aiohttp middlewares, run inside the service's own."""


# What is watched: called once a batch, in the order of an inquiry's way.


@hookspec
def on_received(event: Received, metrics: Metrics) -> None:
    """A batch left the queue and will be classified."""


@hookspec
def on_classified(event: Classified, metrics: Metrics) -> None:
    """A batch has its predictions."""


@hookspec
def on_routed(event: Routed, metrics: Metrics) -> None:
    """A batch has its routes; it is not stored yet."""


@hookspec
def on_stored(event: Stored, metrics: Metrics) -> None:
    """A batch is committed; its callers are being answered."""


@hookspec
def on_failed(event: Failed, metrics: Metrics) -> None:
    """Some or all of a batch got no answer."""


# What is watched: called once for what a person did.


@hookspec
def on_reviewed(event: Reviewed, metrics: Metrics) -> None:
    """Somebody said what an inquiry should have been; it is stored."""


@hookspec
def on_resolved(event: Resolved, metrics: Metrics) -> None:
    """An inquiry was answered; it is stored."""
