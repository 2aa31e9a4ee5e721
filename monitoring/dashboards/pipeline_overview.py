"""Is the service well? The first look, and the one to leave open."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panels import Above, Below, Dashboard, Panel
from monitoring.dashboards.selectors import DURATION_BUCKETS, FAULTS, REFUSED, REQUESTS

PIPELINE_OVERVIEW: Final = Dashboard(
    "pipeline-overview",
    "Pipeline Overview",
    "High-level health and performance: is the service there, quick and right?",
    refresh="30s",
    over="6h",
    panels=(
        Panel(
            "Is every instance there?",
            "share",
            "The share of instances that answered the last scrape. No data means that Prometheus has no target.",
            {"up": 'avg(up{job="inquiry-svc"})'},
            form="number",
            limits=Below(1, 0.5),
            runbooks=("ServiceDown", "ServiceInstanceDown", "ServiceAbsent"),
            width=4,
        ),
        Panel(
            "Is it failing now?",
            "share",
            "The share of requests of the last 5 minutes that met a fault of the service (5xx).",
            {"failing": f"(sum(rate({FAULTS}[5m])) or vector(0)) / (sum(rate({REQUESTS}[5m])) > 0)"},
            form="number",
            limits=Above(0.01, 0.05),
            runbooks=("HighErrorRate", "AvailabilityBudgetBurn"),
            width=4,
        ),
        Panel(
            "Is it slow now?",
            "seconds",
            "95 of 100 requests of the last 5 minutes were answered within this time.",
            {"p95": f"histogram_quantile(0.95, sum by (le) (rate({DURATION_BUCKETS}[5m])))"},
            form="number",
            limits=Above(2, 5),
            runbooks=("HighLatency", "LatencyBudgetBurn"),
            width=4,
        ),
        Panel(
            "Is every component well?",
            "state",
            "What answered its last check: the database and a classifier must, the cache may be away. With several "
            "instances, the least well of them.",
            {"{{component}}": 'min by (component) (system_health_status{job="inquiry-svc"})'},
            form="states",
            runbooks=("DatabaseConnectionIssues", "CacheLost", "ClassifierFallback", "FallbackClassifierDown"),
            width=12,
        ),
        Panel(
            "How many requests come in?",
            "requests/s",
            "By route, the ten busiest. Paths that no route fits are __unmatched__.",
            {
                "{{endpoint}}": "topk(10, sum by (endpoint) "
                '(rate(http_requests_total{job="inquiry-svc"}[$__rate_interval])))'
            },
            form="stacked",
            width=12,
        ),
        Panel(
            "Are requests failing?",
            "share",
            "Faults of the service (5xx), of all requests. A few requests make it jump.",
            {
                "faults": f"(sum(rate({FAULTS}[$__rate_interval])) or vector(0))"
                f" / (sum(rate({REQUESTS}[$__rate_interval])) > 0)"
            },
            limits=Above(0.01, 0.05),
            runbooks=("HighErrorRate", "AvailabilityBudgetBurn", "ErrorRateKpiMissed"),
            width=6,
        ),
        Panel(
            "Are requests refused as wrong?",
            "share",
            "What callers got wrong (4xx), of all requests. A sudden rise is often a caller's new release.",
            {
                "refused": f"(sum(rate({REFUSED}[$__rate_interval])) or vector(0))"
                f" / (sum(rate({REQUESTS}[$__rate_interval])) > 0)"
            },
            width=6,
        ),
        Panel(
            "How long do requests take?",
            "seconds",
            "Half of them, and 95 and 99 of 100, were answered within these times. Bulk uploads are left out.",
            {
                f"p{share * 100:.0f}": f"histogram_quantile({share}, sum by (le)"
                f" (rate({DURATION_BUCKETS}[$__rate_interval])))"
                for share in (0.5, 0.95, 0.99)
            },
            limits=Above(2, 5),
            runbooks=("HighLatency", "LatencyBudgetBurn"),
            width=6,
        ),
        Panel(
            "Do clients get an answer?",
            "seconds",
            "How long an inquiry takes that the prober sends from outside, the way of a client; no data where it gets "
            "no answer, or where probes.yml names no address.",
            {
                "{{instance}}": 'max by (instance) (probe_duration_seconds{job="inquiry-svc-probe"}'
                ' and on (instance) probe_success{job="inquiry-svc-probe"} == 1)'
            },
            limits=Above(2, 5),
            runbooks=("ProbeFailing",),
            needs="the blackbox exporter",
            width=6,
        ),
        Panel(
            "How many clients are there?",
            "count",
            "Open connections, and requests being worked on.",
            {
                "connections": 'sum(http_connections_active{job="inquiry-svc"})',
                "requests": 'sum(http_requests_active{job="inquiry-svc"})',
            },
            width=6,
        ),
        Panel(
            "How much is waiting?",
            "count",
            "Texts that were taken in and not answered yet, and those of them in a queue for the next batch. A "
            "level that "
            "only rises ends in refusals.",
            {
                "in flight": 'sum(inquiries_in_flight{job="inquiry-svc"})',
                "before {{stage}}": 'sum by (stage) (batch_queue_depth{job="inquiry-svc"})',
            },
            runbooks=("QueueSaturated",),
            width=6,
        ),
        Panel(
            "Are inquiries stored?",
            "inquiries/s",
            "Committed, and not acknowledged because of a fault. In a bulk upload a line can fail while its "
            "request is 200.",
            {"{{status}}": 'sum by (status) (rate(inquiries_processed_total{job="inquiry-svc"}[$__rate_interval]))'},
            form="stacked",
            runbooks=("InquiriesFailing", "ThroughputKpiMissed"),
            width=12,
        ),
        Panel(
            "Is work refused or lost?",
            "events/s",
            "Refused at the door for want of a place, or failed in a stage. All of it should be 0.",
            {
                "refused": 'sum(rate(inquiries_refused_total{job="inquiry-svc"}[$__rate_interval]))',
                "{{stage}} failed": 'sum by (stage) (rate(triage_failures_total{job="inquiry-svc"}[$__rate_interval]))',
            },
            limits=Above(0.01, 1),
            runbooks=("QueueSaturated", "InquiriesFailing"),
            width=12,
        ),
    ),
)
