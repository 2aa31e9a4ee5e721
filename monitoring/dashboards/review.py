"""What waits for a person, what people say, and who is told of it."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panels import Above, Below, Dashboard, Panel

REVIEW: Final = Dashboard(
    "review",
    "Review",
    "Uncertain decisions, the people who look at them, and what they find.",
    refresh="1m",
    over="7d",
    panels=(
        Panel(
            "How many wait for a person?",
            "inquiries",
            "Inquiries that a person should look at and nobody has, counted up to 10,000.",
            {"waiting": 'max(review_queue_size{job="inquiry-svc"})'},
            runbooks=("ReviewQueueOld",),
        ),
        Panel(
            "How long has the first one waited?",
            "seconds",
            "Since the inquiry was received that has waited longest. An alert comes after three days.",
            {"waited": 'max(review_queue_oldest_age_seconds{job="inquiry-svc"})'},
            limits=Above(24 * 3600, 3 * 24 * 3600),
            runbooks=("ReviewQueueOld",),
        ),
        Panel(
            "How much is uncertain?",
            "share",
            "Of the inquiries of the hour before, those of whose answer the service was unsure; audits do not count.",
            {
                "uncertain": 'sum(rate(inquiries_needing_review_total{job="inquiry-svc"}[1h]))'
                ' / (sum(rate(inquiries_processed_total{job="inquiry-svc",status="success"}[1h])) > 0)'
            },
            limits=Above(0.3, 0.5),
            runbooks=("LowModelConfidence",),
        ),
        Panel(
            "How many are looked at?",
            "inquiries",
            "Inquiries of the day before of which a person said the category, and whether the model had it right.",
            {
                "right": 'sum(increase(model_feedback_total{job="inquiry-svc",correct="true"}[1d]))',
                "wrong": 'sum(increase(model_feedback_total{job="inquiry-svc",correct="false"}[1d]))',
            },
            form="stacked",
        ),
        Panel(
            "Which categories does it get wrong?",
            "inquiries",
            "What the model had said where a person said otherwise, within 7 days.",
            {
                "{{category}}": "sum by (category) "
                '(increase(model_feedback_total{job="inquiry-svc",correct="false"}[7d]))'
            },
            form="bars",
            runbooks=("AccuracyKpiMissed",),
        ),
        Panel(
            "How right has it been since it started?",
            "share",
            "The service's own count of what people said, by model and category; it begins anew with the process.",
            {"{{model_name}}, {{category}}": 'avg by (model_name, category) (model_accuracy_score{job="inquiry-svc"})'},
        ),
        Panel(
            "Why must a person look?",
            "inquiries",
            "Inquiries of the hour before that a person should look at, by each reason. Audits are picked by chance.",
            {"{{reason}}": 'sum by (reason) (increase(inquiry_review_reasons_total{job="inquiry-svc"}[1h]))'},
            form="stacked",
            runbooks=("LowModelConfidence",),
        ),
        Panel(
            "What do they wait for?",
            "inquiries",
            "Of those that wait, how many are to be looked at for each reason; one may have several.",
            {"{{reason}}": 'max by (reason) (review_queue_size_by_reason{job="inquiry-svc"})'},
            runbooks=("ReviewQueueOld",),
        ),
        Panel(
            "How long has the first of each reason waited?",
            "seconds",
            "Since it was received. Audits that nobody looks at are accuracy that nobody measures.",
            {"{{reason}}": 'max by (reason) (review_queue_oldest_age_by_reason_seconds{job="inquiry-svc"})'},
            runbooks=("ReviewQueueOld",),
        ),
        Panel(
            "What do reviewers do?",
            "inquiries",
            "Reviews claimed, given back, skipped and decided in the hour before.",
            {"{{action}}": 'sum by (action) (increase(review_actions_total{job="inquiry-svc"}[1h]))'},
            form="stacked",
        ),
        Panel(
            "How right is it where chance picked?",
            "share",
            "Of the audits of 30 days, those whose category was right. That is true of all inquiries; what is found "
            "among doubtful ones alone is not. Of few audits it says little.",
            {
                "right": 'sum(increase(review_decisions_total{job="inquiry-svc",reason="audit",correct="true"}[30d]))'
                ' / (sum(increase(review_decisions_total{job="inquiry-svc",reason="audit"}[30d])) > 0)'
            },
            form="number",
            limits=Below(0.9, 0.85),
            runbooks=("AccuracyKpiMissed",),
        ),
        Panel(
            "How many are resolved?",
            "per minute",
            "Inquiries resolved, a minute, by whether it was in time.",
            {
                "in time": "60 * sum("
                'rate(inquiries_resolved_total{job="inquiry-svc",within_sla="true"}[$__rate_interval]))',
                "late": "60 * "
                'sum(rate(inquiries_resolved_total{job="inquiry-svc",within_sla="false"}[$__rate_interval]))',
            },
            form="stacked",
            runbooks=("SlaBudgetBurn",),
        ),
        Panel(
            "Are others told?",
            "events/s",
            "What notifiers told, what failed and is tried again, and what they gave up.",
            {
                "{{notifier}}, {{result}}": "sum by (notifier, result) "
                '(rate(notice_deliveries_total{job="inquiry-svc"}[$__rate_interval]))'
            },
            runbooks=("NoticesLate",),
        ),
        Panel(
            "How long has the oldest notice waited?",
            "seconds",
            "Of what a notifier has yet to tell. An alert comes after a quarter of an hour.",
            {"{{notifier}}": 'max by (notifier) (notices_oldest_age_seconds{job="inquiry-svc"})'},
            limits=Above(300, 900),
            runbooks=("NoticesLate",),
        ),
        Panel(
            "How many notices wait for a person?",
            "count",
            "Set aside because they could not be delivered, until somebody has them told again or dropped.",
            {"{{notifier}}": 'max by (notifier) (notices_set_aside{job="inquiry-svc"})'},
            limits=Above(1, 1),
            runbooks=("NoticesSetAside",),
        ),
    ),
)
