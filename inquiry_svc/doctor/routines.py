"""What the day, the week and the month add: the guide's check-lists, as far as a machine can tick them off.

Queries know the recorded series of `alerting/recording`. One that looks far ahead wants a while behind it first, or the
first minutes of a Prometheus would foretell the month.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inquiry_svc.doctor import backups, files, prometheus, service
from inquiry_svc.doctor.findings import Check
from inquiry_svc.doctor.questions import Question

AT_MOST: Final = "K1|K4|K5|K9"
AT_LEAST: Final = "K3|K6|K7|K8|K10"
"""Which way each key figure is meant. K2, the throughput, has an alert that knows how much was asked for."""

_ENOUGH: Final = "unless on (job, kpi, model_name, department) (kpi:events < 50)"
_GIB: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Routine:
    checks: Sequence[Check]
    by_hand: Sequence[str]


DAILY: Final = (
    Question(
        "components",
        'min by (component) (avg_over_time(system_health_status{job="inquiry-svc"}[1d]))',
        "{component} was well for {value:.2%} of the day",
        below=1,
        cure="see the log of the service",
    ),
    Question(
        "dead workers",
        'sum(increase(worker_restarts_total{job="inquiry-svc"}[1d]))',
        "{value:.0f} workers died within the day and were started again",
        above=0,
        cure="see alerting/runbooks/WorkersRestarting.md",
    ),
    Question(
        "errors",
        'slo:sli_error:ratio_rate1d{slo="availability"}',
        "{value:.3%} of the day's requests met a fault of the service",
        above=0.001,
        cure="see alerting/runbooks/AvailabilityBudgetBurn.md",
    ),
    Question(
        "error budgets",
        "min by (slo) (slo:error_budget:remaining30d)",
        "{slo}: {value:.0%} of the budget of 30 days is left",
        below=0.1,
        state="wrong",
        cure="no risky release until it has recovered: see alerting/README.md",
    ),
    Question(
        "budget burn",
        "max by (slo) (slo:sli_error:ratio_rate1d / on (slo) group_left () (1 - slo:objective:ratio))",
        "{slo}: the day burnt its budget at {value:.2f} times the pace that it may",
        above=1,
        cure="see the runbook of its BudgetBurn alert",
    ),
    Question(
        "alerts of the day",
        'sum by (alertname) (count_over_time(ALERTS{alertstate="firing",severity!="none"}[1d:1m]))',
        "{alertname} fired for {value:.0f} min of the day",
        above=0,
        cure="see alerting/runbooks/{alertname}.md",
        without_data="no alert fired within the day",
    ),
    Question(
        "key figures, at most",
        f'(kpi:value{{kpi=~"{AT_MOST}"}} {_ENOUGH}) / on (kpi) group_left () kpi:objective',
        "{kpi} {measure}: {value:.0%} of what it may be",
        above=1,
        cure="alerting/README.md names its alert, and that its runbook",
    ),
    Question(
        "key figures, at least",
        f'(kpi:value{{kpi=~"{AT_LEAST}"}} {_ENOUGH}) / on (kpi) group_left () kpi:objective',
        "{kpi} {measure}: {value:.1%} of what it should be",
        below=1,
        cure="alerting/README.md names its alert, and that its runbook",
    ),
    Question(
        "fallback",
        'sum(increase(classifier_fallbacks_total{job="inquiry-svc"}[1d]))'
        ' / (sum(increase(texts_received_total{job="inquiry-svc"}[1d])) > 0)',
        "{value:.2%} of the day's texts were answered by the fallback classifier",
        above=0.01,
        cure="see alerting/runbooks/ClassifierFallback.md",
    ),
    Question(
        "refusals",
        'sum(increase(inquiries_refused_total{job="inquiry-svc"}[1d]))',
        "{value:.0f} texts were refused within the day because every place was taken",
        above=0,
        cure="see alerting/runbooks/QueueSaturated.md",
    ),
    Question(
        "queue",
        'max by (stage) (max_over_time(batch_queue_depth{job="inquiry-svc"}[1d]))',
        "up to {value:.0f} items waited within the day to {stage}",
        above=512,
        cure="see alerting/runbooks/QueueSaturated.md",
    ),
    Question(
        "reviews",
        'max(review_queue_oldest_age_seconds{job="inquiry-svc"}) / 3600',
        "the inquiry that waits longest for a person has waited for {value:.1f} h",
        above=24,
        cure="see alerting/runbooks/ReviewQueueOld.md",
    ),
    Question(
        "notices",
        'max by (notifier) (notices_set_aside{job="inquiry-svc"})',
        "{value:.0f} notices that {notifier} could not deliver wait for a person",
        above=0,
        cure="see alerting/runbooks/NoticesSetAside.md",
        without_data="no notifier is chosen",
    ),
)

WEEKLY: Final = (
    Question(
        "noisy alerts",
        'sum by (alertname) (count_over_time(ALERTS{alertstate="firing",severity!="none"}[7d:5m])) / 12',
        "{alertname} fired for {value:.1f} h of the week",
        above=12,
        cure="mend its cause, or change the alert: nobody acts on what always fires",
        without_data="no alert fired within the week",
    ),
    Question(
        "flapping alerts",
        'max by (alertname) (changes(ALERTS_FOR_STATE{severity!="none"}[7d]))',
        "{alertname} came and went {value:.0f} times within the week",
        above=20,
        cure="give it a longer for, or a gap between its thresholds",
        without_data="no alert was pending within the week",
    ),
    Question(
        "lost notifications",
        "max by (integration) (increase(alertmanager_notifications_failed_total[7d]))",
        "{value:.0f} notifications by {integration} failed within the week",
        above=0,
        state="wrong",
        cure="see the log of Alertmanager, and send a test: amtool alert add",
    ),
    Question(
        "rising figures",
        f'avg_over_time(kpi:value{{kpi=~"{AT_MOST}"}}[7d]) / (avg_over_time(kpi:value[7d] offset 7d) > 0)',
        "{kpi} {measure}: {value:.2f} times the week before",
        above=1.5,
        cure="compare the weeks on the dashboard slo, and with the releases between them",
    ),
    Question(
        "falling figures",
        f'avg_over_time(kpi:value{{kpi=~"{AT_LEAST}"}}[7d]) / (avg_over_time(kpi:value[7d] offset 7d) > 0)',
        "{kpi} {measure}: {value:.2f} times the week before",
        below=0.9,
        cure="compare the weeks on the dashboard slo, and with the releases between them",
    ),
    Question(
        "volume",
        'sum(increase(inquiries_processed_total{job="inquiry-svc"}[7d]))'
        ' / (sum(increase(inquiries_processed_total{job="inquiry-svc"}[7d] offset 7d)) > 0)',
        "{value:.2f} times as many inquiries as in the week before",
        above=1.5,
        cure="look at the dashboard business-metrics: who sends them?",
    ),
    Question(
        "disk in a month",
        'min by (instance) (predict_linear(data_dir_free_bytes{job="inquiry-svc"}[7d], 30 * 86400)'
        f' and data_dir_free_bytes{{job="inquiry-svc"}} offset 3d) / {_GIB}',
        "at the pace of the week {value:.1f} GiB are free on {instance} in 30 days",
        below=2,
        cure="enlarge the disk: see alerting/runbooks/DiskSpaceLow.md",
    ),
    Question(
        "processors",
        'max by (instance) (max_over_time((sum by (instance) (rate(process_cpu_seconds_total{job="inquiry-svc"}[5m]))'
        ' / sum by (instance) (workers_running{job="inquiry-svc"} > 0))[7d:5m]))',
        "a worker of {instance} used up to {value:.0%} of a core",
        above=0.8,
        cure="add workers (--workers) or machines: docs/production.md",
    ),
    Question(
        "database connections",
        'max by (instance) (max_over_time((sum by (instance, kind) (db_connections{job="inquiry-svc",state="active"})'
        ' / (sum by (instance, kind) (db_connections{job="inquiry-svc",state="max"}) > 0))[7d:1m]))',
        "up to {value:.0%} of the connections of {instance} were at work",
        above=0.8,
        cure="see alerting/runbooks/DatabasePoolSaturated.md",
        without_data="the store has no pool of connections",
    ),
    Question(
        "memory",
        'max by (instance) (deriv(process_resident_memory_bytes{job="inquiry-svc"}[7d])'
        ' and process_resident_memory_bytes{job="inquiry-svc"} offset 3d) * 7 * 86400 / 1024 ^ 2',
        "memory of {instance} grows by {value:.0f} MiB a week",
        above=100,
        cure="look when it began on the dashboard system-health, and which release or plugin came then",
    ),
    Question(
        "series",
        'max(scrape_samples_scraped{job="inquiry-svc"} / scrape_samples_scraped{job="inquiry-svc"} offset 7d)',
        "the service has {value:.2f} times the series of a week ago",
        above=1.2,
        cure="look which label grows: sort by count in curl /metrics, then METRICS.md",
    ),
)

MONTHLY: Final = (
    Question(
        "objectives, at most",
        f'quantile_over_time(0.99, kpi:value{{kpi=~"{AT_MOST}"}}[30d]) / on (kpi) group_left () kpi:objective',
        "{kpi} {measure}: for 99 % of the month at {value:.0%} of what it may be, or less",
        above=1,
        cure="mend what is slow or wrong, or agree on another objective in alerting/slo.yaml",
    ),
    Question(
        "objectives, at least",
        f'quantile_over_time(0.01, kpi:value{{kpi=~"{AT_LEAST}"}}[30d]) / on (kpi) group_left () kpi:objective',
        "{kpi} {measure}: for 99 % of the month at {value:.1%} of what it should be, or more",
        below=1,
        cure="mend what is slow or wrong, or agree on another objective in alerting/slo.yaml",
    ),
    Question(
        "disk in half a year",
        'min by (instance) (predict_linear(data_dir_free_bytes{job="inquiry-svc"}[30d], 180 * 86400)'
        f' and data_dir_free_bytes{{job="inquiry-svc"}} offset 14d) / {_GIB}',
        "at the pace of the month {value:.1f} GiB are free on {instance} in 180 days",
        below=2,
        cure="plan a larger disk, or PostgreSQL: docs/production.md",
    ),
    Question(
        "series of the month",
        'max(scrape_samples_scraped{job="inquiry-svc"} / scrape_samples_scraped{job="inquiry-svc"} offset 30d)',
        "the service has {value:.2f} times the series of a month ago",
        above=1.5,
        cure="look which label grows: sort by count in curl /metrics, then METRICS.md",
    ),
)

ROUTINES: Final[Mapping[str, Routine]] = {
    "daily": Routine(
        (*(each.check() for each in DAILY), Check("backup", backups.newest_backup)),
        (
            "look at the dashboards pipeline-overview and business-metrics (inquiry-svc dashboard shows them too)",
            "of each alert that fired: is its cause mended, or is somebody at it?",
        ),
    ),
    "weekly": Routine(
        (*(each.check() for each in WEEKLY), Check("certificate", service.certificate)),
        (
            "of each alert that fired: did somebody act on it? Else change it, or take it away",
            "what in a runbook was wrong or missing this week? Mend alerting/runbooks, and say make check",
        ),
    ),
    "monthly": Routine(
        (
            Check("unused metrics", files.unused_metrics),
            Check("empty panels", prometheus.empty_panels),
            Check("quiet alerts", prometheus.quiet_alerts),
            *(each.check() for each in MONTHLY),
            Check("restorable backup", backups.restorable_backup, timeout_s=600),
        ),
        (
            "ask those who use the dashboards what they miss, and what they never look at",
            "restore a backup on another machine: docs/backups.md; and stop one instance to see that nobody notices",
            "will what is planned (customers, sources, a new model) fit into what there is?",
        ),
    ),
}
