"""Everything that is looked at each time, in the order in which it is told of."""

from __future__ import annotations

from typing import Final

from inquiry_svc.doctor import alertmanager, callers, files, prometheus, service
from inquiry_svc.doctor.findings import Check

ALWAYS: Final = (
    Check("health", service.health),
    Check("metrics", service.metrics),
    Check("model", service.model),
    Check("store", service.store),
    Check("disk", service.disk),
    Check("clock", service.clock),
    Check("API keys", callers.api_keys),
    Check("scrape configuration", files.scrape_configuration),
    Check("rules", files.rules),
    Check("alertmanager.yml", files.alertmanager_configuration),
    Check("dashboards", files.dashboards),
    Check("prometheus", prometheus.configuration),
    Check("targets", prometheus.targets),
    Check("loaded rules", prometheus.rules),
    Check("firing alerts", prometheus.firing),
    Check("notifications", prometheus.notifications),
    Check("receivers", alertmanager.receivers),
    Check("watchdog", prometheus.watchdog),
    Check("silences", alertmanager.silences),
)
