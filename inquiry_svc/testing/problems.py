"""Reads a refusal as what it must be: an RFC 9457 problem document in the form that every answer of the service has."""

from __future__ import annotations

from typing import Any

import aiohttp


async def problem_of(answer: aiohttp.ClientResponse, status: int) -> dict[str, Any]:
    """The document. Raises `AssertionError` unless it is one, complete and of this status."""
    text = await answer.text()
    assert answer.status == status, f"{answer.status}: {text}"
    assert answer.content_type == "application/problem+json", text
    assert_marked(answer)
    document = await answer.json()
    assert_problem(document, status)
    assert document["request_id"] == answer.headers["X-Request-ID"]
    return dict(document)


def assert_problem(document: dict[str, Any], status: int) -> None:
    """Raises `AssertionError` unless the document is complete and of this status."""
    assert document["status"] == status, document
    assert document["type"].startswith("/problems/")
    assert document["title"]
    assert document["detail"]
    assert document["request_id"]
    unknown = document.keys() - {"type", "title", "status", "detail", "request_id", "errors", "line"}
    assert not unknown, f"a problem has no {unknown}"
    if status in (400, 422):
        assert document["errors"], "a refusal of input names the field"
    for fault in document.get("errors", []):
        assert fault.keys() == {"field", "message"}
        assert fault["message"]


def assert_marked(answer: aiohttp.ClientResponse) -> None:
    """Raises `AssertionError` unless the answer carries what every answer does."""
    assert answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "inquiry-svc", "no versions are disclosed"


def messages(document: dict[str, Any]) -> dict[str, str]:
    """The messages of a problem document by field."""
    return {fault["field"]: fault["message"] for fault in document["errors"]}
