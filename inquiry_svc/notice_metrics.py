"""The metrics of notices: what notifiers told, how late, and what they have not told. `catalogue.py` has all."""

from __future__ import annotations

from typing import Final

from inquiry_svc.metrics import OPEN, Counter, Gauge, Histogram

NOTICE_DELIVERIES: Final = Counter(
    "notice_deliveries_total",
    "Times that a notifier was to tell of something: it did (delivered), will be asked again (failed), or never got it "
    "through (set_aside).",
    {"notifier": OPEN, "result": ("delivered", "failed", "set_aside")},
)
NOTICE_DELAY: Final = Histogram(
    "notice_delay_seconds",
    "Time from what a notifier is to tell of to its being told.",
    {"notifier": OPEN},
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0),
)
NOTICES_WAITING: Final = Gauge(
    "notices_waiting",
    "Notices in the store that a notifier has yet to tell of, counted up to 10,000.",
    {"notifier": OPEN},
    across="max",
)
NOTICES_AGE: Final = Gauge(
    "notices_oldest_age_seconds",
    "Time for which the oldest of notices_waiting has waited; 0 when none waits.",
    {"notifier": OPEN},
    across="max",
)
NOTICES_SET_ASIDE: Final = Gauge(
    "notices_set_aside",
    "Notices in the store that a notifier could not get through, until somebody retries or drops them; counted up to "
    "10,000.",
    {"notifier": OPEN},
    across="max",
)
