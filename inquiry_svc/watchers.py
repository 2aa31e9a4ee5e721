"""Tells the plugins that watch what happened. One that raises is logged and counted; the others still hear of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import pluggy

from inquiry_svc.catalogue import PLUGIN_ERRORS
from inquiry_svc.events import Classified, Failed, Received, Resolved, Reviewed, Routed, Stored
from inquiry_svc.metrics import Metrics

logger = logging.getLogger(__name__)

Event: TypeAlias = Received | Classified | Routed | Stored | Failed | Reviewed | Resolved

_HOOKS: Final[dict[type[Event], str]] = {
    Received: "on_received",
    Classified: "on_classified",
    Routed: "on_routed",
    Stored: "on_stored",
    Failed: "on_failed",
    Reviewed: "on_reviewed",
    Resolved: "on_resolved",
}


class Watchers:
    """Calls each implementation by itself: pluggy's own call would stop at the first that raises."""

    def __init__(self, manager: pluggy.PluginManager, metrics: Metrics) -> None:
        self._metrics = metrics
        self._watchers: dict[type[Event], list[tuple[str, Callable[[Event], object]]]] = {
            kind: [
                (implementation.plugin_name, _taking_what_it_wants(implementation, metrics))
                for implementation in getattr(manager.hook, hook).get_hookimpls()
            ]
            for kind, hook in _HOOKS.items()
        }

    def tell(self, event: Event) -> None:
        for plugin, watch in self._watchers[type(event)]:
            try:
                watch(event)
            except Exception as error:
                hook = _HOOKS[type(event)]
                self._metrics.series(PLUGIN_ERRORS, plugin=plugin, hook=hook).inc()
                logger.error("plugin %s failed in %s; going on", plugin, hook, exc_info=error)


def _taking_what_it_wants(implementation: pluggy.HookImpl, metrics: Metrics) -> Callable[[Event], object]:
    """An implementation may name fewer arguments than `(event, metrics)`, in any order."""
    wanted = implementation.argnames
    offered: dict[str, Any] = {"metrics": metrics} if "metrics" in wanted else {}
    function = partial(implementation.function, **offered)
    return (lambda event: function(event=event)) if "event" in wanted else (lambda _event: function())
