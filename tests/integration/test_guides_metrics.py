"""The monitoring guide's metrics, M01 to M18, say what was done: each is held against what the answers said."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import pytest

from inquiry_svc.testing.exporters import samples_of
from inquiry_svc.testing.running import Running, running_service

Samples: TypeAlias = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
Answers: TypeAlias = list[dict[str, Any]]

INQUIRIES: Final = "/api/v1/inquiries"
SUBMIT: Final = f"{INQUIRIES}/submit"
BODIES: Final = (
    "My card was charged twice, please refund one of the payments.",
    "The application crashes. This is urgent, nobody here can work!",
    "Our lawyers will sue you unless you answer by tomorrow.",
    "When will the interviews for the position take place?",
    "Could you send me an offer for forty seats?",
)


def at(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def counted(found: Samples, name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """What is not 0, by the values of these labels; other labels are added up."""
    sums: Counter[tuple[str, ...]] = Counter()
    for (other, pairs), value in found.items():
        if other == name and value:
            sums[tuple(dict(pairs)[label] for label in labels)] += int(value)
    return sums


def total(found: Samples, name: str) -> float:
    return sum(value for (other, _), value in found.items() if other == name)


def names(found: Samples) -> set[str]:
    return {name for name, _ in found}


SAYS: Final[Mapping[str, Callable[[Samples, Answers], bool]]] = {
    "M01": lambda found, given: at(found, "http_requests_total", method="POST", endpoint=SUBMIT, status="201")
    == len(given),
    "M02": lambda found, given: at(found, "inquiries_processed_total", status="success") == len(given),
    "M03": lambda found, given: counted(found, "model_predictions_total", "model_name", "prediction")
    == Counter((each["model"]["name"], each["category"]["label"]) for each in given),
    "M04": lambda found, given: at(found, "db_connections_active") == 0,
    "M05": lambda found, given: counted(found, "system_health_status", "component").keys()
    >= {(name,) for name in ("database", "cache", "classifier", "fallback", "queue")},
    "M06": lambda found, given: at(
        found,
        "model_version_info",
        model_name=given[0]["model"]["name"],
        version=given[0]["model"]["version"],
        sha=given[0]["model"]["digest"],
        role="classifier",
    )
    == 1,
    "M07": lambda found, given: at(
        found, "http_request_duration_seconds_count", endpoint=SUBMIT, status_class="2xx"
    )
    == len(given),
    "M08": lambda found, given: at(found, "model_inference_duration_seconds_count", model_name="keyword") >= 1,
    "M09": lambda found, given: 1 <= at(found, "db_query_duration_seconds_count", operation="save") <= len(given),
    "M10": lambda found, given: at(found, "model_prediction_confidence_sum", model_name="keyword")
    == pytest.approx(sum(each["category"]["confidence"] for each in given), abs=0.001 * len(given)),
    "M11": lambda found, given: counted(found, "routing_decisions_total", "department", "escalated")
    == Counter((each["routing"]["department"], str(each["routing"]["escalated"]).lower()) for each in given),
    "M12": lambda found, given: counted(found, "inquiry_category_total", "category")
    == Counter((each["category"]["label"],) for each in given),
    "M14": lambda found, given: counted(found, "customer_satisfaction_score_count", "department")
    == Counter((each["routing"]["department"],) for each in given),
    "M15": lambda found, given: total(found, "inquiry_processing_efficiency_seconds_count") == 1,
    "M16": lambda found, given: at(
        found, "model_accuracy_score", model_name="keyword", category=given[0]["category"]["label"]
    )
    == 1,
    "M17": lambda found, given: at(found, "inquiry_processing_duration_seconds_count") == len(given),
    "M18": lambda found, given: at(found, "inquiry_priority_score_sum")
    == pytest.approx(sum(each["routing"]["priority_score"] for each in given))
    and {"http_connections_active", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
    | {"data_dir_free_bytes", "machine_network_receive_bytes_total", "machine_network_transmit_bytes_total"}
    <= names(found),
}  # fmt: skip


async def test_each_metric_says_what_was_done() -> None:
    async with running_service() as running:
        given = [await _submitted(running, f"{body} ({number})") for number in range(4) for body in BODIES]
        first = f"{INQUIRIES}/{given[0]['inquiry_id']}"
        for path, sent in (("feedback", {"category": given[0]["category"]["label"]}), ("resolve", {})):
            async with running.client.post(f"{first}/{path}", json=sent) as answer:
                assert answer.status == 200
        found = await _scraped(running)
    assert len({each["category"]["label"] for each in given}) >= 3, "the test needs something to tell apart"
    assert [row for row, says in SAYS.items() if not says(found, given)] == []


async def _submitted(running: Running, body: str) -> dict[str, Any]:
    async with running.client.post(SUBMIT, json={"body": body, "sender_email": "ana@example.org"}) as answer:
        assert answer.status == 201
        found: dict[str, Any] = await answer.json()
        return found


async def _scraped(running: Running) -> Samples:
    """What is measured every few seconds is there from the first time on."""
    async with asyncio.timeout(30):
        while True:
            async with running.client.get("/metrics") as answer:
                found = samples_of(await answer.read())
            if at(found, "data_dir_free_bytes"):
                return found
            await asyncio.sleep(0.05)
