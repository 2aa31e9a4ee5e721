"""Thresholds that an alert or an objective uses are bounds of buckets: they are counted, never interpolated."""

from __future__ import annotations

import pytest

from inquiry_svc import catalogue
from inquiry_svc.metrics import Gauge, Histogram

THRESHOLDS = [
    (catalogue.HTTP_REQUEST_DURATION, (2, 5)),
    (catalogue.PROCESSING_DURATION, (2, 5)),
    (catalogue.MODEL_INFERENCE_DURATION, (0.5,)),
    (catalogue.DB_QUERY_DURATION, (0.5, 1)),
    (catalogue.MODEL_CONFIDENCE, (0.6, 0.7)),
    (catalogue.PRIORITY_SCORE, (90,)),
    (catalogue.RESOLUTION, (60, 300, 900, 3600, 14_400, 86_400, 259_200)),
]


@pytest.mark.parametrize(("metric", "thresholds"), THRESHOLDS, ids=lambda value: getattr(value, "name", ""))
def test_a_threshold_is_the_bound_of_a_bucket(metric: Histogram, thresholds: tuple[float, ...]) -> None:
    assert set(thresholds) <= set(metric.buckets)


def test_response_targets_are_bounds_of_the_time_to_resolution() -> None:
    targets_min = {"critical": 15, "high": 60, "medium": 240, "low": 1440}
    assert {minutes * 60 for minutes in targets_min.values()} <= set(catalogue.RESOLUTION.buckets)


def test_a_gauge_that_is_no_amount_is_not_added_up_over_workers() -> None:
    not_added = {each.name for each in catalogue.OWN_METRICS if isinstance(each, Gauge) and each.across != "sum"}
    assert not_added == {
        "customer_satisfaction_score",
        "model_accuracy_score",
        "model_profile_share",
        "model_version_info",
        "notices_oldest_age_seconds",
        "notices_set_aside",
        "notices_waiting",
        "review_queue_oldest_age_by_reason_seconds",
        "review_queue_oldest_age_seconds",
        "review_queue_size",
        "review_queue_size_by_reason",
        "system_health_status",
    }
