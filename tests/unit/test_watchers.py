"""Those who watch: all are told, and one that fails changes nothing for anybody else."""

from __future__ import annotations

from inquiry_svc.catalogue import OWN_METRICS, PLUGIN_ERRORS
from inquiry_svc.events import Failed, Received, Stored
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Text
from inquiry_svc.metrics import Metrics
from inquiry_svc.plugins import build_manager
from inquiry_svc.watchers import Watchers


class Watching:
    def __init__(self) -> None:
        self.told: list[object] = []

    @hookimpl
    def on_received(self, event: Received, metrics: Metrics) -> None:
        self.told.append(event)
        self.told.append(metrics)

    @hookimpl
    def on_stored(self) -> None:
        self.told.append("stored")

    @hookimpl
    def on_failed(self, metrics: Metrics) -> None:
        self.told.append("failed")


class Failing:
    @hookimpl
    def on_received(self, event: Received) -> None:
        raise LookupError(event.texts[0].body)


RECEIVED = Received([Text("", "one")])


def test_each_watcher_is_told_with_as_many_arguments_as_it_names() -> None:
    watching, metrics = Watching(), Metrics(OWN_METRICS)
    watchers = Watchers(build_manager([watching], entry_points=False), metrics)
    for event in (RECEIVED, Stored([], 0, 0.0), Failed("store", 1, OSError())):
        watchers.tell(event)
    assert watching.told == [RECEIVED, metrics, "stored", "failed"]


def test_a_watcher_that_raises_is_counted_under_its_name_and_the_others_still_hear() -> None:
    before, failing, after, metrics = Watching(), Failing(), Watching(), Metrics(OWN_METRICS)
    manager = build_manager([before, failing, after], entry_points=False)
    watchers = Watchers(manager, metrics)
    for _ in range(3):
        watchers.tell(RECEIVED)
    assert before.told == after.told == [RECEIVED, metrics] * 3
    errors = metrics.series(PLUGIN_ERRORS, plugin=manager.get_name(failing) or "", hook="on_received")
    assert errors.value == 3
