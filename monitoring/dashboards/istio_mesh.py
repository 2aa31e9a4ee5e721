"""Traffic as the service mesh sees it: for a service behind Istio alone.

Both sides of a call report it. Only the receiving side is counted, else every request would be two.
"""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panels import Above, Below, Dashboard, Panel

_ISTIO: Final = "Istio"
_BY: Final = "destination_service_name"
_RECEIVED: Final = 'reporter="destination"'

ISTIO_MESH: Final = Dashboard(
    "istio-service-mesh",
    "Istio Service Mesh",
    "Requests between services, as Istio's proxies count them.",
    refresh="30s",
    over="6h",
    panels=(
        Panel(
            "How many requests does each service get?",
            "requests/s",
            "By the service that is called.",
            {f"{{{{{_BY}}}}}": f"sum by ({_BY}) (rate(istio_requests_total{{{_RECEIVED}}}[$__rate_interval]))"},
            needs=_ISTIO,
        ),
        Panel(
            "How long do their answers take?",
            "seconds",
            "95 of 100 requests were answered within this time. Istio counts milliseconds; these are seconds.",
            {
                f"{{{{{_BY}}}}}": f"histogram_quantile(0.95, sum by ({_BY}, le) "
                f"(rate(istio_request_duration_milliseconds_bucket{{{_RECEIVED}}}[$__rate_interval]))) / 1000"
            },
            limits=Above(2, 5),
            needs=_ISTIO,
        ),
        Panel(
            "Are their requests failing?",
            "share",
            "Answered 5xx, of all requests to the service.",
            {
                f"{{{{{_BY}}}}}": f"sum by ({_BY}) "
                f'(rate(istio_requests_total{{{_RECEIVED},response_code=~"5.."}}[$__rate_interval]))'
                f" / (sum by ({_BY}) (rate(istio_requests_total{{{_RECEIVED}}}[$__rate_interval])) > 0)"
            },
            limits=Above(0.01, 0.05),
            runbooks=("HighServiceMeshErrorRate",),
            needs=_ISTIO,
        ),
        Panel(
            "Who calls whom?",
            "requests/s",
            "By the workload that calls and the service that is called, of the last 5 minutes.",
            {
                f"{{{{source_workload}}}} to {{{{{_BY}}}}}": f"sum by (source_workload, {_BY}) "
                f"(rate(istio_requests_total{{{_RECEIVED}}}[5m]))"
            },
            form="bars",
            width=12,
            needs=_ISTIO,
        ),
        Panel(
            "Is the mesh there?",
            "share",
            "Of the targets of the job istio-mesh, those that answered the last scrape.",
            {"istio-mesh": 'avg(up{job="istio-mesh"})'},
            form="number",
            limits=Below(1, 0.5),
            width=12,
            needs="Istio, scraped under the job istio-mesh",
        ),
    ),
)
