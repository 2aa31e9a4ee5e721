"""The OpenAPI document tells the truth: calls made from it at random are answered as it says.

`schemathesis` makes valid and invalid calls for each operation and holds every answer to the document. What the
document can't say in its language is listed in `_BEYOND_THE_SCHEMA`, and a valid call is refused for that alone.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any, Final

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.checks import CHECKS

from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.web.bulk import bulk
from inquiry_svc.web.endpoint import Endpoint
from inquiry_svc.web.routes import ENDPOINTS

_EXAMPLES: Final = 40

_BEYOND_THE_SCHEMA: Final = (
    "holds a NUL character",
    "holds a lone surrogate",
    "is a whole number of more than 64 bits",
    "is nested deeper than 32 levels",
    "must be at most 4,096 bytes as JSON",
    "must be within the years 1971 to 8999",
    "is not a valid e-mail address",
    "give at least one of category, sentiment, urgency",
    "is not a next_cursor of this list",
    "this idempotency key was used before for another payload; use a new one",
    "must be a whole number from 1 to 50",  # to JSON Schema, 23.0 is one
)

_EXCLUDED: Final = {
    # Replaced by `_accepts_what_is_valid`, which knows the rules that JSON Schema has no words for.
    "positive_data_acceptance",
    # These two ask for what is not there: authentication, and links between operations.
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
    "object_level_authorization",
}
"""Besides, a bulk upload refuses a line by a problem in its place, and the whole is 200 (`negative_data_rejection`)."""


@schemathesis.serializer("application/x-ndjson")
def _as_lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def _first_line(context: schemathesis.DeserializationContext, response: Response) -> Any:
    """The document describes a line."""
    return json.loads(response.content.split(b"\n")[0])


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
async def test_any_call_is_answered_as_the_document_says(endpoint: Endpoint) -> None:
    chosen = random.randrange(2**32)
    print(f"seed {chosen}")
    async with running_service() as running:
        known_id = await _submitted(running)
        await asyncio.to_thread(_call_at_random, running.url, endpoint, known_id, chosen)


async def _submitted(running: Running) -> str:
    sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
    async with running.client.post("/api/v1/inquiries/submit", json=sent) as answer:
        return str((await answer.json())["inquiry_id"])


def _call_at_random(url: str, endpoint: Endpoint, known_id: str, chosen: int) -> None:
    schema = schemathesis.openapi.from_dict(
        _without_keys(requests.get(f"{url}/api/v1/openapi.json", timeout=10).json())
    )
    schema.config.update(base_url=url)
    operation = schema[endpoint.path][endpoint.method]
    excluded = _EXCLUDED | ({"negative_data_rejection"} if endpoint.handler is bulk else set())
    checks: list[Any] = [check for check in CHECKS.get_all() if check.__name__ not in excluded]
    cases = operation.as_strategy(GenerationMode.POSITIVE)
    if endpoint.body or endpoint.query or endpoint.idempotent:
        cases |= operation.as_strategy(GenerationMode.NEGATIVE)
    rng = random.Random(chosen)

    with requests.Session() as session:

        @seed(chosen)
        @settings(
            max_examples=_EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # making a failing call smaller takes minutes, and the report shows the call
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def call(case: Case[Any]) -> None:
            if "inquiry_id" in case.path_parameters and rng.random() < 0.7:
                case.path_parameters["inquiry_id"] = known_id
            case.call_and_validate(session=session, checks=checks, additional_checks=[_accepts_what_is_valid])

        call()


def _without_keys(document: dict[str, Any]) -> dict[str, Any]:
    """The service here has none. That it holds callers to them where it has: tests/acceptance/test_http_access.py."""
    for operations in document["paths"].values():
        for operation in operations.values():
            del operation["security"]
    del document["components"]["securitySchemes"]
    return document


def _accepts_what_is_valid(context: CheckContext, response: Response, case: Case[Any]) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 422:
        return
    for fault in response.json()["errors"]:
        assert fault["message"].removeprefix("the key ") in _BEYOND_THE_SCHEMA, fault


async def test_the_document_names_every_route_and_no_other_host() -> None:
    async with running_service() as running, running.client.get("/api/v1/openapi.json") as answer:
        text = await answer.text()
    document = json.loads(text)
    assert answer.content_type == "application/json"
    assert document["openapi"].startswith("3.1")
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert "://" not in text, "the page must work offline"


async def test_each_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    async with running_service() as running, running.client.get("/api/v1/openapi.json") as answer:
        document = await answer.json()
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        assert operation["tags"]
        assert all(answer["description"] for answer in operation["responses"].values())
