"""The metric filters of deploy/aws, over the log of a real service with the task's own settings for CloudWatch."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.acceptance.serving import Serving, serving
from tests.aws import matches, of_type, resources

FILTERS: Final = of_type(resources("monitoring.yaml"), "AWS::Logs::MetricFilter")
[TASK] = of_type(resources("service.yaml"), "AWS::ECS::TaskDefinition").values()
EXPORTING: Final = {
    each["Name"]: each["Value"]
    for each in TASK["ContainerDefinitions"][0]["Environment"]
    if each["Name"].startswith("INQUIRY_EXPORTERS__")
}
INQUIRIES: Final = [
    {"subject": "URGENT", "body": "Production is down and we lose money every minute! This is a catastrophe."},
    {"subject": "Invoice", "body": "My card was charged twice for March. Please refund one of the payments."},
    {"subject": "Thanks", "body": "I love the new search, thank you. Could it also look into attachments?"},
]


def counted(service: Serving, name: str) -> float:
    """What CloudWatch would have added up so far."""
    [to] = FILTERS[name]["MetricTransformations"]
    found = [json.loads(line) for line in service.lines if matches(FILTERS[name]["FilterPattern"], line)]
    value: str = to["MetricValue"]
    return sum(float(fields[value[2:]] if value.startswith("$.") else value) for fields in found)


async def test_they_add_up_what_the_service_counts(tmp_path: Path) -> None:
    environ = {**EXPORTING, "INQUIRY_EXPORTERS__CLOUDWATCH__PERIOD_S": "0.2"}
    async with serving(tmp_path, environ=environ) as service, aiohttp.ClientSession(service.url) as client:
        answers: list[dict[str, Any]] = []
        for number in range(12):
            body = {**INQUIRIES[number % 3], "sender_email": f"a{number}@example.org"}
            async with client.post("/api/v1/inquiries/submit", json=body) as answer:
                assert answer.status == 201
                answers.append(await answer.json())
        counts = ("InquiriesStored", "InquiriesRouted", "ConfidenceCount")
        async with asyncio.timeout(30):
            while True:
                if min(counted(service, name) for name in counts) >= len(answers):
                    break
                await asyncio.sleep(0.05)
        assert {counted(service, name) for name in counts} == {len(answers)}
        escalated = [each for each in answers if each["routing"]["escalated"]]
        assert counted(service, "InquiriesEscalated") == len(escalated) > 0
        confidence = sum(each["category"]["confidence"] for each in answers)
        assert abs(counted(service, "ConfidenceSum") - confidence) < 0.01 * len(answers)
        assert counted(service, "DatabaseHealth") > 0
        assert counted(service, "InquiriesFailed") == counted(service, "ErrorLines") == 0


def test_a_pattern_finds_a_line_by_its_fields_alone() -> None:
    pattern = FILTERS["InquiriesEscalated"]["FilterPattern"]
    assert matches(pattern, '{"routing_decisions_total": 1.0, "escalated": "true"}')
    assert not matches(pattern, '{"routing_decisions_total": 1.0, "escalated": "false"}')
    assert not matches(pattern, '{"message": "routing_decisions_total escalated true"}')
    assert not matches(pattern, "Traceback")
    assert matches(FILTERS["ErrorLines"]["FilterPattern"], '{"level": "ERROR"}')
    assert matches(FILTERS["SlowRequests"]["FilterPattern"], '{"duration_s": 2.5}')
    assert not matches(FILTERS["SlowRequests"]["FilterPattern"], '{"duration_s": 1.5}')
