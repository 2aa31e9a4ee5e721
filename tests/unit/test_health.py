"""Health: each component truly asked, at once and with a limit; what is wrong decides what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from inquiry_svc.catalogue import HEALTH, OWN_METRICS
from inquiry_svc.health import Component, Health, Status
from inquiry_svc.metrics import Metrics

CONSEQUENCES: dict[str, Status] = {
    "database": "unhealthy",
    "cache": "degraded",
    "classifier": "degraded",
    "fallback": "degraded",
    "queue": "unhealthy",
}


async def well() -> None:
    """Nothing is wrong."""


async def ill() -> None:
    raise ConnectionError("gone")


async def stuck() -> None:
    await asyncio.Event().wait()


def health(metrics: Metrics | None = None, **checks: Callable[[], Awaitable[None]]) -> Health:
    return Health(
        [Component(name, "given", checks.get(name, well), without) for name, without in CONSEQUENCES.items()],
        metrics or Metrics(OWN_METRICS),
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((), "healthy"),
        (("cache",), "degraded"),
        (("classifier",), "degraded"),
        (("fallback",), "degraded"),
        (("classifier", "fallback"), "unhealthy"),
        (("database",), "unhealthy"),
        (("database", "cache"), "unhealthy"),
        (("queue", "cache"), "unhealthy"),
    ],
)
async def test_the_whole_is_as_ill_as_what_is_missing_makes_it(wrong: tuple[str, ...], said: Status) -> None:
    metrics = Metrics(OWN_METRICS)
    report = await health(metrics, **dict.fromkeys(wrong, ill)).ask()
    assert report.status == said
    assert {name for name, found in report.components.items() if found.status != "healthy"} == set(wrong)
    for name in CONSEQUENCES:
        assert metrics.series(HEALTH, component=name).value == (name not in wrong)


async def test_a_component_that_does_not_answer_is_ill() -> None:
    report = await health(database=stuck).ask()
    assert report.components["database"].status == "unhealthy"
    assert report.components["cache"].status == "healthy"


async def test_a_flood_of_probes_asks_each_component_once() -> None:
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    asking = health(database=check)
    reports = await asyncio.gather(*(asking.ask() for _ in range(100)))
    assert asked == 1
    assert {report.status for report in reports} == {"healthy"}


async def test_a_probe_that_hangs_up_spoils_no_other_probe() -> None:
    asked = asyncio.Event()
    answer = asyncio.Event()

    async def check() -> None:
        asked.set()
        await answer.wait()

    asking = health(database=check)
    impatient = asyncio.create_task(asking.ask())
    await asked.wait()
    other = asyncio.create_task(asking.ask())
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    answer.set()
    assert (await other).status == "healthy"


async def test_a_check_that_is_cancelled_from_within_is_a_failed_check() -> None:
    async def check() -> None:
        raise asyncio.CancelledError

    assert (await health(database=check).ask()).status == "unhealthy"


async def test_the_watch_asks_at_once_and_ends_with_its_block() -> None:
    metrics = Metrics(OWN_METRICS)
    async with health(metrics, cache=ill).watched():
        assert metrics.series(HEALTH, component="database").value == 1
        assert metrics.series(HEALTH, component="cache").value == 0
        assert any(task.get_name() == "health watch" for task in asyncio.all_tasks())
    assert not any(task.get_name() == "health watch" for task in asyncio.all_tasks())
