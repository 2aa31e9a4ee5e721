"""Is the model quick, sure and right?"""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panels import Above, Below, Dashboard, Panel


def _accuracy(metric: str, label: str) -> dict[str, str]:
    """By what the model had said. Reviews are few: a week of them."""
    right = f'sum by ({label}) (increase({metric}{{job="inquiry-svc",correct="true"}}[7d]))'
    return {f"{{{{{label}}}}}": f'{right} / (sum by ({label}) (increase({metric}{{job="inquiry-svc"}}[7d])) > 0)'}


def _measured(metric: str) -> str:
    right = f'sum(increase({metric}{{job="inquiry-svc",correct="true"}}[7d]))'
    return f'{right} / (sum(increase({metric}{{job="inquiry-svc"}}[7d])) > 0)'


MODEL_PERFORMANCE: Final = Dashboard(
    "model-performance",
    "Model Performance",
    "How quick, how sure and how right the classifiers are.",
    refresh="1m",
    over="24h",
    panels=(
        Panel(
            "How long does a classifier take?",
            "seconds",
            "One call, which takes a whole batch: the mean, and what 95 of 100 calls stayed within. The "
            "objective is 0.5 s.",
            {
                "mean, {{model_name}}": "sum by (model_name) "
                '(rate(model_inference_duration_seconds_sum{job="inquiry-svc"}[$__rate_interval]))'
                " / (sum by (model_name) "
                '(rate(model_inference_duration_seconds_count{job="inquiry-svc"}[$__rate_interval])) > 0)',
                "p95, {{model_name}}": "histogram_quantile(0.95, sum by (model_name, le) "
                '(rate(model_inference_duration_seconds_bucket{job="inquiry-svc"}[$__rate_interval])))',
            },
            limits=Above(0.25, 0.5),
            runbooks=("InferenceBudgetBurn",),
        ),
        Panel(
            "How sure is the model?",
            "share",
            "Confidence in the category: the mean, the median, and what one in ten stays under. Falling confidence is "
            "the first sign of mail that the model was not trained for.",
            {
                "mean, {{model_name}}": "sum by (model_name) "
                '(rate(model_prediction_confidence_sum{job="inquiry-svc"}[30m]))'
                ' / (sum by (model_name) (rate(model_prediction_confidence_count{job="inquiry-svc"}[30m])) > 0)',
                **{
                    f"{name}, {{{{model_name}}}}": f"histogram_quantile({share}, sum by (le, model_name) "
                    '(rate(model_prediction_confidence_bucket{job="inquiry-svc"}[30m])))'
                    for name, share in (("median", 0.5), ("lowest tenth", 0.1))
                },
            },
            limits=Below(0.7, 0.6),
            runbooks=("LowModelConfidence", "ConfidenceKpiMissed"),
        ),
        Panel(
            "How is confidence spread?",
            "share",
            "How many predictions fell between two confidences. A second hill at the low end is a kind of mail "
            "of its own.",
            {
                "{{le}}": "sum by (le) "
                '(increase(model_prediction_confidence_bucket{job="inquiry-svc"}[$__rate_interval]))'
            },
            form="spread",
        ),
        Panel(
            "How often is the category right?",
            "share",
            "Of what people said in 7 days about inquiries that the model had put into each category. Reviewers "
            "mostly see "
            "what it was unsure of, so this is lower than its accuracy overall.",
            _accuracy("model_feedback_total", "category"),
            form="bars",
            limits=Below(0.85, 0.7),
            runbooks=("AccuracyKpiMissed",),
        ),
        Panel(
            "How often is the sentiment right?",
            "share",
            "The same of sentiments, where people named one.",
            _accuracy("model_sentiment_feedback_total", "sentiment"),
            form="bars",
            limits=Below(0.75, 0.6),
        ),
        Panel(
            "How often is the urgency right?",
            "share",
            "The same of urgencies, where people named one.",
            _accuracy("model_urgency_feedback_total", "urgency"),
            form="bars",
            limits=Below(0.75, 0.6),
        ),
        Panel(
            "How right should it be?",
            "share",
            "The mean confidence of 7 days: what the model expects to have right, before anybody looks. Beside it what "
            "people found, who mostly see what it was unsure of. Of mail that it does not know it expects too much.",
            {
                "{{axis}}, expected by {{model_name}}": "sum by (model_name, axis) "
                '(increase(model_expected_correct_total{job="inquiry-svc"}[7d])) / on (model_name) group_left () '
                "(sum by (model_name) "
                '(increase(inquiry_observations_total{job="inquiry-svc",measure="category"}[7d])) > 0)',
                "category, found": _measured("model_feedback_total"),
                "sentiment, found": _measured("model_sentiment_feedback_total"),
                "urgency, found": _measured("model_urgency_feedback_total"),
            },
            runbooks=("ConfidenceKpiMissed", "AccuracyKpiMissed"),
        ),
        Panel(
            "Has the mail changed?",
            "score",
            "How far inquiries are, by each measure, from those before them: the population stability index, small "
            "below 0.1. Against the training it is to be looked at: it says which mail the model was not made for.",
            {"{{measure}} against {{against}}": "max by (measure, against) (measure:inquiry_observations:psi)"},
            limits=Above(0.1, 0.25),
            runbooks=("InquiryDrift",),
        ),
        Panel(
            "What does it predict?",
            "inquiries/s",
            "Categories predicted, from the cache or not.",
            {
                "{{prediction}}": "sum by (prediction) "
                '(rate(model_predictions_total{job="inquiry-svc"}[$__rate_interval]))'
            },
            form="stacked",
        ),
        Panel(
            "Does the fallback answer?",
            "share",
            "Texts that the first classifier could not answer, by reason. These are marked degraded and go to review.",
            {
                "{{reason}}": 'sum by (reason) (rate(classifier_fallbacks_total{job="inquiry-svc"}[$__rate_interval]))'
                ' / on () group_left () (sum(rate(texts_received_total{job="inquiry-svc"}[$__rate_interval])) > 0)'
            },
            limits=Above(0.01, 0.05),
            runbooks=("ClassifierFallback",),
        ),
        Panel(
            "Do candidates agree with the champion?",
            "share",
            "Of the texts of which a challenger or a shadow was asked besides: those where both say the same, by axis.",
            {
                "{{alias}}, {{axis}}": "sum by (alias, axis) "
                '(increase(model_candidate_agreement_total{job="inquiry-svc",agrees="true"}[1h]))'
                " / (sum by (alias, axis) "
                '(increase(model_candidate_agreement_total{job="inquiry-svc"}[1h])) > 0)'
            },
            limits=Below(0.85, 0.75),
            runbooks=("CanaryRolledBack",),
        ),
        Panel(
            "Is a challenger as right as the champion?",
            "share",
            "Of what people said in 7 days about inquiries that the champion and the challenger of now had answered.",
            {
                "{{alias}}, {{axis}}": "sum by (alias, axis) "
                '(increase(model_alias_feedback_total{job="inquiry-svc",correct="true"}[7d]))'
                ' / (sum by (alias, axis) (increase(model_alias_feedback_total{job="inquiry-svc"}[7d])) > 0)'
            },
            form="bars",
            runbooks=("CanaryRolledBack",),
        ),
        Panel(
            "How long does a candidate take?",
            "seconds",
            "What 99 of 100 calls stayed within: a batch of the challenger's share, or one text of the shadow's.",
            {
                "p99, {{alias}}": "histogram_quantile(0.99, sum by (alias, le) "
                '(rate(model_candidate_duration_seconds_bucket{job="inquiry-svc"}[$__rate_interval])))'
            },
            limits=Above(0.1, 0.25),
            runbooks=("CanaryRolledBack",),
        ),
        Panel(
            "Does a candidate fail?",
            "share",
            "Of the texts that it was to classify. Where a challenger fails the champion answers, and nobody notices.",
            {
                "{{alias}}": "sum by (alias) "
                '(rate(model_candidate_texts_total{job="inquiry-svc",result="failed"}[$__rate_interval]))'
                ' / (sum by (alias) (rate(model_candidate_texts_total{job="inquiry-svc"}[$__rate_interval])) > 0)'
            },
            limits=Above(0.005, 0.01),
            runbooks=("CanaryRolledBack",),
        ),
        Panel(
            "How sure is a candidate?",
            "share",
            "Its mean confidence in the category; the champion's is further up.",
            {
                "{{alias}}": 'sum by (alias) (rate(model_candidate_confidence_sum{job="inquiry-svc"}[30m]))'
                ' / (sum by (alias) (rate(model_candidate_confidence_count{job="inquiry-svc"}[30m])) > 0)'
            },
            limits=Below(0.7, 0.6),
        ),
        Panel(
            "Of how many texts are candidates asked besides?",
            "events/s",
            "Asked when nobody waits for an answer; dropped where that never was. Those that wait are at most 256.",
            {
                "{{result}}": "sum by (result) "
                '(rate(model_second_opinions_total{job="inquiry-svc"}[$__rate_interval]))',
                "waiting": 'sum(model_second_opinions_waiting{job="inquiry-svc"})',
            },
        ),
        Panel(
            "Are models swapped, refused, rolled back?",
            "count",
            "In 1 h: each process that took up what the registry says, models that it could not open, and challengers "
            "that the service took down.",
            {
                "{{result}}": 'sum by (result) (increase(model_swaps_total{job="inquiry-svc"}[1h]))',
                "rolled back, {{limit}}": "sum by (limit) "
                '(increase(model_canary_rollbacks_total{job="inquiry-svc"}[1h]))',
            },
            runbooks=("ModelRefused", "CanaryRolledBack"),
        ),
        Panel(
            "Which model answers?",
            "count",
            "Each model that is open, with its version and digest.",
            {
                "{{model_name}} {{version}} ({{sha}})": "count by (model_name, version, sha) "
                '(model_version_info{job="inquiry-svc"})'
            },
            form="number",
        ),
    ),
)
