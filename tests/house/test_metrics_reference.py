"""`monitoring/METRICS.md` says what the code declares, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.cli.metrics import metrics
from inquiry_svc.metric_reference import reference
from inquiry_svc.metrics import OPEN, Counter, Gauge, Histogram
from inquiry_svc.plugins import asked, build_manager

PAGE = (Path(__file__).parents[2] / "monitoring/METRICS.md").read_text()


def test_the_page_is_what_the_command_writes() -> None:
    assert CliRunner().invoke(metrics).output == PAGE, "say: make metrics"


def test_every_metric_stands_on_the_page_once() -> None:
    of_plugins = [metric for _, found in sorted(asked(build_manager(), "register_metrics")) for metric in found]
    named = re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)
    assert named == [metric.name for metric in (*OWN_METRICS, *of_plugins)]


def test_an_entry_says_kind_unit_labels_bounds_and_how_workers_are_combined() -> None:
    page = reference(
        {
            "Ours": [
                Histogram("wait_seconds", "Wait.", {"who": OPEN, "how": ("long", "short")}, buckets=(0.5, 2)),
                Counter("sent_bytes_total", "Sent.", across="max"),
                Gauge("score", "Score.", across="mean", starts_at_0=False),
            ]
        }
    )
    assert page.endswith(
        "## Ours\n\n"
        "### `wait_seconds`\n\nHistogram of seconds. Wait.\n\n"
        "- `who`: open\n- `how`: `long`, `short`\n- bounds: 0.5, 2\n\n"
        "### `sent_bytes_total`\n\nCounter of bytes. Sent.\n\n"
        "- With several workers: the greatest of theirs.\n\n"
        "### `score`\n\nGauge. Score.\n\n"
        "- There from its first value on.\n- With several workers: the mean of theirs.\n"
    )
