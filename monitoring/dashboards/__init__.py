"""The dashboards, said once as data and written for Grafana by `python -m monitoring.dashboards` (`make dashboards`).

A panel is one call of `Panel` in the file of its dashboard: the question that it answers, its unit, how to read it, and
its queries. `grafana.py` alone knows Grafana.
"""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.business_metrics import BUSINESS_METRICS
from monitoring.dashboards.istio_mesh import ISTIO_MESH
from monitoring.dashboards.kubernetes_cluster import KUBERNETES_CLUSTER
from monitoring.dashboards.model_performance import MODEL_PERFORMANCE
from monitoring.dashboards.panels import Dashboard
from monitoring.dashboards.pipeline_overview import PIPELINE_OVERVIEW
from monitoring.dashboards.plugins_and_workers import PLUGINS_AND_WORKERS
from monitoring.dashboards.review import REVIEW
from monitoring.dashboards.slo import SLO
from monitoring.dashboards.system_health import SYSTEM_HEALTH

DASHBOARDS: Final[tuple[Dashboard, ...]] = (
    PIPELINE_OVERVIEW,
    MODEL_PERFORMANCE,
    BUSINESS_METRICS,
    SYSTEM_HEALTH,
    KUBERNETES_CLUSTER,
    ISTIO_MESH,
    SLO,
    PLUGINS_AND_WORKERS,
    REVIEW,
)
