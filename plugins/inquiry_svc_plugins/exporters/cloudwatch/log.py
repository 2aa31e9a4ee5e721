"""Writes what changed into the service's log, a document of the embedded metric format a line.

Metrics with the same dimensions share a document. The numbers are those of `changes.py`: counts are what was added, so
CloudWatch's Sum of them is the total. What CloudWatch can't take (see `limits.py`) is left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from inquiry_svc.metrics import Snapshot
from inquiry_svc_plugins.exporters.changes import Change, changes
from inquiry_svc_plugins.exporters.cloudwatch import CloudwatchSettings
from inquiry_svc_plugins.exporters.cloudwatch.limits import (
    METRICS_PER_DOCUMENT,
    as_taken,
    chosen,
    dimensions,
    takes,
    unit_of,
)

logger = logging.getLogger(__name__)

_TAKEN: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    *("timestamp", "level", "logger", "message", "function", "line", "request_id", "exception", "worker", "asctime"),
}
"""Names that a log line has already. A dimension of such a name has an underscore at its end."""


class LogExporter:
    def __init__(self, settings: CloudwatchSettings) -> None:
        self.period_s = settings.period_s
        self._settings = settings
        logger.setLevel(logging.INFO)  # the line is the metric: it is there whatever level the rest has

    async def push(self, snapshot: Snapshot, sent: Snapshot) -> None:
        now_ms = int(time.time() * 1000)
        for document in documents(chosen(snapshot, self._settings.only), sent, self._settings.namespace, now_ms):
            logger.info("metrics", extra=document)


def documents(snapshot: Snapshot, sent: Snapshot, namespace: str, now_ms: int) -> Iterator[dict[str, Any]]:
    alike: dict[tuple[tuple[str, str], ...], list[Change]] = {}
    for change in changes(snapshot, sent):
        if takes(change.value):
            alike.setdefault(tuple(change.labels.items()), []).append(change)
    for labels, found in alike.items():
        for first in range(0, len(found), METRICS_PER_DOCUMENT):
            yield _document(dict(labels), found[first : first + METRICS_PER_DOCUMENT], namespace, now_ms)


def _document(labels: Mapping[str, str], alike: Sequence[Change], namespace: str, now_ms: int) -> dict[str, Any]:
    values = {change.name: as_taken(change.value) for change in alike}
    told = {
        f"{name}_" if name in _TAKEN or name in values else name: value
        for name, value in dimensions(labels.items()).items()
    }
    directive = {
        "Namespace": namespace,
        "Dimensions": [list(told)],
        "Metrics": [{"Name": change.name, "Unit": unit_of(change.metric, change.name)} for change in alike],
    }
    return {"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}, **told, **values}
