"""How the parts of the service do: workers, batches, cache and plugins."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panels import Above, Below, Dashboard, Panel

PLUGINS_AND_WORKERS: Final = Dashboard(
    "plugins-and-workers",
    "Plugins and Workers",
    "Processes, batches, cache and plugins inside the service.",
    refresh="30s",
    over="6h",
    panels=(
        Panel(
            "How many workers serve?",
            "count",
            "Processes of each instance that serve now.",
            {"{{instance}}": 'sum by (instance) (workers_running{job="inquiry-svc"})'},
            limits=Below(1, 1),
            runbooks=("WorkersRestarting",),
        ),
        Panel(
            "Do workers die?",
            "count",
            "Workers that died unasked within 15 minutes and were started again.",
            {"{{instance}}": 'sum by (instance) (increase(worker_restarts_total{job="inquiry-svc"}[15m]))'},
            limits=Above(1, 2),
            runbooks=("WorkersRestarting",),
        ),
        Panel(
            "Since when does it run?",
            "seconds",
            "Time since the oldest process of each instance started.",
            {"{{instance}}": 'time() - min by (instance) (process_start_time_seconds{job="inquiry-svc"})'},
            form="number",
        ),
        Panel(
            "Do plugins fail?",
            "count",
            "Times that a watching plugin raised, by plugin and hook, since the process started. The service "
            "goes on without it.",
            {"{{plugin}}, {{hook}}": 'sum by (plugin, hook) (plugin_errors_total{job="inquiry-svc"})'},
            limits=Above(1, 10),
            runbooks=("PluginErrors",),
        ),
        Panel(
            "Do sources fail?",
            "count",
            "Runs of a source beside HTTP that failed within 5 minutes. What is queued waits, and it is started again.",
            {"failures": '(sum(increase(source_failures_total{job="inquiry-svc"}[5m])) or vector(0))'},
            limits=Above(1, 10),
            runbooks=("SourceFailing",),
        ),
        Panel(
            "How long do messages wait in the Redis stream?",
            "seconds",
            "Age of the oldest message that is not done with.",
            {"oldest": 'max(redis_stream_lag_seconds{job="inquiry-svc"})'},
            limits=Above(60, 300),
            runbooks=("StreamBehind",),
        ),
        Panel(
            "Does the Redis stream bring inquiries in?",
            "events/s",
            "Messages whose inquiry is committed, and those put aside because they can become none.",
            {
                "committed": 'sum(rate(redis_stream_committed_total{job="inquiry-svc"}[$__rate_interval]))',
                "put aside": 'sum(rate(redis_stream_dead_letters_total{job="inquiry-svc"}[$__rate_interval]))',
            },
            runbooks=("MessagesPutAside",),
        ),
        Panel(
            "Does the cache help?",
            "share",
            "Of the texts looked up, those found.",
            {
                "found": 'sum(rate(cache_lookups_total{job="inquiry-svc",result="hit"}[$__rate_interval]))'
                ' / (sum(rate(cache_lookups_total{job="inquiry-svc"}[$__rate_interval])) > 0)'
            },
            runbooks=("CacheLost",),
        ),
        Panel(
            "Does the cache fail?",
            "events/s",
            "Look-ups that failed, and answers that were not what had been put there. Both are served without it.",
            {
                "{{result}}": "sum by (result) "
                '(rate(cache_lookups_total{job="inquiry-svc",result=~"error|invalid"}[$__rate_interval]))'
            },
            limits=Above(0.01, 1),
            runbooks=("CacheLost", "CacheAnswersInvalid"),
        ),
        Panel(
            "Do traces get lost?",
            "events/s",
            "Spans that no collector got: too many waited, it refused them, or the service stopped before. No request "
            "is slower for it. Look whether the collector is there, and tracing.otlp.url its address.",
            {"{{reason}}": 'sum by (reason) (rate(trace_spans_dropped_total{job="inquiry-svc"}[$__rate_interval]))'},
            limits=Above(1, 1000),
        ),
        Panel(
            "How large are batches?",
            "count",
            "Mean number of items worked on together. It grows with the load: that is how the service keeps up.",
            {
                "{{stage}}": 'sum by (stage) (rate(batch_size_sum{job="inquiry-svc"}[$__rate_interval]))'
                ' / (sum by (stage) (rate(batch_size_count{job="inquiry-svc"}[$__rate_interval])) > 0)'
            },
        ),
        Panel(
            "How long is the way through the pipeline?",
            "seconds",
            "From taking an inquiry in to its commit: half of them, and 95 of 100.",
            {
                name: f"histogram_quantile({share}, sum by (le) "
                '(rate(inquiry_processing_duration_seconds_bucket{job="inquiry-svc"}[$__rate_interval])))'
                for name, share in (("median", 0.5), ("p95", 0.95))
            },
            limits=Above(2, 5),
        ),
        Panel(
            "Do callers retry?",
            "events/s",
            "Submissions answered from an earlier one with the same idempotency key.",
            {"replayed": 'sum(rate(inquiries_replayed_total{job="inquiry-svc"}[$__rate_interval]))'},
        ),
    ),
)
