"""What people write about, where it goes, and whether they are answered in time."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panels import Above, Below, Dashboard, Panel

BUSINESS_METRICS: Final = Dashboard(
    "business-metrics",
    "Business Metrics",
    "Volume, subjects, routing and answers: what the support team does.",
    refresh="5m",
    over="7d",
    panels=(
        Panel(
            "How many inquiries come in?",
            "per minute",
            "Inquiries stored, a minute.",
            {
                "stored": "60 * "
                'sum(rate(inquiries_processed_total{job="inquiry-svc",status="success"}[$__rate_interval]))',
            },
            runbooks=("ThroughputKpiMissed",),
            width=16,
        ),
        Panel(
            "What are they about?",
            "inquiries",
            "Inquiries of the last day by category.",
            {"{{category}}": 'sum by (category) (increase(inquiry_category_total{job="inquiry-svc"}[1d]))'},
            form="pie",
            runbooks=("InquiryDrift",),
        ),
        Panel(
            "Who gets the work?",
            "inquiries",
            "Inquiries of the last day by the department that answers.",
            {"{{department}}": 'sum by (department) (increase(routing_decisions_total{job="inquiry-svc"}[1d]))'},
            form="bars",
        ),
        Panel(
            "How much is escalated?",
            "share",
            "Of the inquiries of the hour before. The KPI is 10 %; an alert comes at 20 %.",
            {
                "escalated": 'sum(rate(routing_decisions_total{job="inquiry-svc",escalated="true"}[1h]))'
                ' / (sum(rate(routing_decisions_total{job="inquiry-svc"}[1h])) > 0)'
            },
            limits=Above(0.1, 0.2),
            runbooks=("HighEscalationRate", "EscalationKpiMissed"),
        ),
        Panel(
            "How urgent is the work?",
            "score",
            "Mean priority of the inquiries of the hour before, from 0 to 100.",
            {
                "mean priority": 'sum(rate(inquiry_priority_score_sum{job="inquiry-svc"}[1h]))'
                ' / (sum(rate(inquiry_priority_score_count{job="inquiry-svc"}[1h])) > 0)'
            },
            limits=Above(60, 80),
        ),
        Panel(
            "What is each department asked?",
            "per minute",
            "Inquiries routed, a minute, by department.",
            {
                "{{department}}": "60 * sum by (department) "
                '(rate(routing_decisions_total{job="inquiry-svc"}[$__rate_interval]))'
            },
            form="stacked",
        ),
        Panel(
            "How urgent and how angry are they?",
            "per minute",
            "Inquiries stored, a minute, that are critical, that are negative.",
            {
                "critical": "60 * "
                'sum(rate(inquiry_urgency_total{job="inquiry-svc",urgency="critical"}[$__rate_interval]))',
                "negative": "60 * sum("
                'rate(inquiry_sentiment_total{job="inquiry-svc",sentiment="negative"}[$__rate_interval]))',
            },
        ),
        Panel(
            "Is everybody busy?",
            "per minute",
            "Inquiries that were routed, a minute, while nobody of the department was free.",
            {"nobody free": '60 * sum(rate(inquiries_unassigned_total{job="inquiry-svc"}[$__rate_interval]))'},
        ),
        Panel(
            "Are they answered in time?",
            "share",
            "Of the inquiries resolved in the day before, those resolved by their due time. The objective is 95 %.",
            {
                "in time": 'sum(increase(inquiries_resolved_total{job="inquiry-svc",within_sla="true"}[1d]))'
                ' / (sum(increase(inquiries_resolved_total{job="inquiry-svc"}[1d])) > 0)'
            },
            limits=Below(0.95, 0.9),
            runbooks=("SlaBudgetBurn",),
        ),
        Panel(
            "How long does an answer take?",
            "seconds",
            "From receiving an inquiry to its resolution, of those resolved in the day before: half of them, "
            "and 95 of 100.",
            {
                name: f"histogram_quantile({share}, sum by (le) "
                '(increase(inquiry_processing_efficiency_seconds_bucket{job="inquiry-svc"}[1d])))'
                for name, share in (("median", 0.5), ("p95", 0.95))
            },
        ),
        Panel(
            "Do they seem content?",
            "score",
            "Estimated from the mood of what they wrote, 1 to 5: nobody was asked. The KPI is 4.",
            {"{{department}}": 'avg by (department) (customer_satisfaction_score{job="inquiry-svc"})'},
            limits=Below(4, 3),
            runbooks=("SatisfactionKpiMissed",),
        ),
    ),
)
