"""What the service stands on: processors, memory, disk, database, network."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panels import Above, Dashboard, Panel

SYSTEM_HEALTH: Final = Dashboard(
    "system-health",
    "System Health",
    "Infrastructure and resources of the service and of what watches it.",
    refresh="30s",
    over="6h",
    panels=(
        Panel(
            "How busy is each service?",
            "cores",
            "Processor time in use, in cores, of every process that Prometheus scrapes; several workers are added up.",
            {"{{job}}": 'sum by (job) (rate(process_cpu_seconds_total{job!=""}[$__rate_interval]))'},
        ),
        Panel(
            "How much memory has each service?",
            "bytes",
            "Resident memory of every process that Prometheus scrapes. A line that only rises is a leak.",
            {"{{job}}": 'sum by (job) (process_resident_memory_bytes{job!=""})'},
        ),
        Panel(
            "Is the event loop late?",
            "seconds",
            "How late a callback ran that was due: what every request waits at the least. 99 of 100 were within this.",
            {
                "p99": "histogram_quantile(0.99, sum by (le) "
                '(rate(event_loop_lag_seconds_bucket{job="inquiry-svc"}[$__rate_interval])))'
            },
            limits=Above(0.02, 0.25),
        ),
        Panel(
            "Is there room on the disk?",
            "bytes",
            "What the data folder takes, and what its disk still has.",
            {
                "free, {{instance}}": 'min by (instance) (data_dir_free_bytes{job="inquiry-svc"})',
                "data, {{instance}}": 'max by (instance) (data_dir_size_bytes{job="inquiry-svc"})',
            },
            runbooks=("DiskSpaceLow", "DiskAlmostFull"),
        ),
        Panel(
            "Are there connections to the database left?",
            "count",
            "Those that read and those that write: idle, working, and the most there may be. 0 without a pool.",
            {
                "{{kind}} {{state}}": 'sum by (kind, state) (db_connections{job="inquiry-svc"})',
                "calls": 'sum(db_connections_active{job="inquiry-svc"})',
            },
            runbooks=("DatabasePoolSaturated",),
        ),
        Panel(
            "How long does the database take?",
            "seconds",
            "95 of 100 calls of each kind were done within this time; a save is a whole batch.",
            {
                "{{operation}}": "histogram_quantile(0.95, sum by (operation, le) "
                '(rate(db_query_duration_seconds_bucket{job="inquiry-svc"}[$__rate_interval])))'
            },
            limits=Above(0.5, 1),
            runbooks=("DatabaseConnectionIssues",),
        ),
        Panel(
            "How much goes over the network?",
            "bytes/s",
            "Of the machine under each instance, without the loopback.",
            {
                f"{name}, {{{{instance}}}}": "max by (instance) "
                f'(rate({metric}{{job="inquiry-svc"}}[$__rate_interval]))'
                for name, metric in (
                    ("received", "machine_network_receive_bytes_total"),
                    ("sent", "machine_network_transmit_bytes_total"),
                )
            },
        ),
        Panel(
            "Are file descriptors left?",
            "share",
            "Of those that a process may open, the share that is open. At 100 % no connection is accepted.",
            {
                "{{instance}}": 'sum by (instance) (process_open_fds{job="inquiry-svc"})'
                ' / (sum by (instance) (process_max_fds{job="inquiry-svc"}) > 0)'
            },
            limits=Above(0.6, 0.8),
            runbooks=("FileDescriptorsLow",),
        ),
        Panel(
            "Do clients hang?",
            "events/s",
            "Connections closed because the client was too slow, by what was waited for, or because its address had "
            "too many. Many at once may be an attack.",
            {
                "{{waiting_for}}": "sum by (waiting_for) "
                '(rate(http_connections_expired_total{job="inquiry-svc"}[$__rate_interval]))',
                "too many": 'sum(rate(http_connections_refused_total{job="inquiry-svc"}[$__rate_interval]))',
            },
            limits=Above(1, 10),
        ),
        Panel(
            "Who is refused?",
            "events/s",
            "Requests refused before they were read, by the reason: no API key, an unknown or expired one, one without "
            "the scope, too many. Some without a key is what the internet is like; a caller of yours is in the log.",
            {
                "{{reason}}": "sum by (reason) "
                '(rate(http_requests_refused_total{job="inquiry-svc"}[$__rate_interval]))',
                "keys not read": "sum(rate("
                'api_keys_reads_total{job="inquiry-svc", result="failed"}[$__rate_interval]))',
            },
        ),
    ),
)
