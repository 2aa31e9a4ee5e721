"""Is the service well? Each component is truly asked, all at once and each with a time limit.

The answers feed `/api/v1/health` and readiness, and the `system_health_status` gauge, which a watch keeps fresh so that
an alert needs nobody to look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from inquiry_svc.catalogue import HEALTH
from inquiry_svc.metrics import Metrics
from inquiry_svc.repeating import repeated
from inquiry_svc.told_to_stop import told_to_stop

logger = logging.getLogger(__name__)

Status: TypeAlias = Literal["healthy", "degraded", "unhealthy"]

_PERIOD_S: Final = 5.0
_CHECK_TIMEOUT_S: Final = 1.0
_FRESH_S: Final = 0.2
"""Answers this young are given again, so that a flood of probes asks nobody anything."""


@dataclass(frozen=True, slots=True)
class Component:
    """Something that the service stands on."""

    name: str
    provider: str
    check: Callable[[], Awaitable[None]]
    """Raises when it does not work now."""
    without_it: Status
    """What the whole is while this does not work."""


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    status: Status
    provider: str
    checked_in_s: float


@dataclass(frozen=True, slots=True)
class Report:
    status: Status
    components: Mapping[str, ComponentHealth]


class Health:
    def __init__(self, components: list[Component], metrics: Metrics) -> None:
        self._components = components
        self._metrics = metrics
        self._asking = asyncio.Lock()
        self._report: Report | None = None
        self._asked_at = 0.0

    async def ask(self) -> Report:
        """Ask every component now, or hand on answers of the last moment."""
        async with self._asking:
            if self._report is None or time.monotonic() - self._asked_at > _FRESH_S:
                self._report = await self._ask()
                self._asked_at = time.monotonic()
            return self._report

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask now and every few seconds while open."""
        await self.ask()
        failing = "the components can't be asked how they are"
        async with repeated(
            self.ask, period_s=_PERIOD_S, first_after_s=_PERIOD_S, name="health watch", failing=failing
        ):
            yield

    async def _ask(self) -> Report:
        answers = await asyncio.gather(*(self._ask_one(component) for component in self._components))
        found: dict[str, ComponentHealth] = {}
        worst: Status = "healthy"
        for component, answer in zip(self._components, answers, strict=True):
            found[component.name] = answer
            self._metrics.series(HEALTH, component=component.name).set(answer.status == "healthy")
            if answer.status != "healthy" and worst != "unhealthy":
                worst = component.without_it
        # Either classifier can stand in for the other; without both, no inquiry can be served.
        if all(found[name].status != "healthy" for name in ("classifier", "fallback") if name in found):
            worst = "unhealthy"
        return Report(worst, found)

    async def _ask_one(self, component: Component) -> ComponentHealth:
        started = time.perf_counter()
        status: Status = "healthy"
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                await component.check()
        except (Exception, asyncio.CancelledError) as error:
            if told_to_stop():
                raise
            status = "unhealthy"
            logger.warning("%s (%s) failed its check", component.name, component.provider, exc_info=error)
        return ComponentHealth(status, component.provider, round(time.perf_counter() - started, 6))
