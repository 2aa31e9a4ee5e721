"""The OpenAPI document, made from the route table, and a page that tries it without asking the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from inquiry_svc.release import VERSION
from inquiry_svc.web import schemas
from inquiry_svc.web.endpoint import Endpoint
from inquiry_svc.web.media_types import JSON, NDJSON, PROBLEM

DOCUMENT: web.AppKey[bytes] = web.AppKey("openapi_document", bytes)

_TEXT_HEADER: Final = {"schema": {"type": "string"}}
_UNREADABLE: Final = 400
"""What any call may meet."""
_REFUSED: Final = (401, 403, 429)
"""What any call may meet that takes a scope."""
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, as `inquiry-svc keys create` shows it."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same; it goes first."},
}
_WORDS: Final = {
    200: "Done.",
    201: "Committed.",
    204: "Erased.",
    400: "Not JSON, or not HTTP; a header, or the path and query, of more than 8,190 bytes.",
    401: "Where the service has API keys: without one that is valid.",
    403: "With a key that has another scope, or from a page of another origin.",
    404: "No such inquiry, or no explanation: `type` says which.",
    408: "The body came too slowly.",
    409: "Too late: `type` says for what.",
    413: "Too large.",
    415: "Another content type, or a content coding other than gzip and deflate.",
    422: "Not valid: `errors` names each field.",
    429: "Where the service has limits: too many requests. Try again after `Retry-After` seconds.",
    500: "A fault of the service; the inquiry was not stored.",
    503: "Try again after `Retry-After` seconds; nothing was acknowledged.",
}

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>inquiry-svc: the interface</title>
  <link rel="icon" href="/docs/favicon-32x32.png">
  <link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="/docs/swagger-ui-bundle.js"></script>
  <script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = """SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
_ASSETS: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_ONLY_FROM_HERE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def openapi(request: web.Request) -> web.Response:
    return web.Response(body=request.app[DOCUMENT], content_type=JSON)


async def page(request: web.Request) -> web.Response:
    return web.Response(
        text=_PAGE,
        content_type="text/html",
        charset="utf-8",
        headers={"Content-Security-Policy": _ONLY_FROM_HERE},
    )


async def asset(request: web.Request) -> web.StreamResponse:
    """A file of the page; the library's files come from the package that carries them."""
    name = request.match_info["name"]
    if name == "start.js":
        return web.Response(text=_START, content_type="text/javascript", charset="utf-8")
    if name not in _ASSETS:
        raise web.HTTPNotFound
    from swagger_ui_bundle import swagger_ui_path

    return web.FileResponse(
        Path(swagger_ui_path) / name,
        headers={"Content-Type": _ASSETS[name], "Cache-Control": "public, max-age=86400"},
    )


def openapi_document(endpoints: Sequence[Endpoint]) -> bytes:
    """OpenAPI 3.1, as JSON."""
    types = {
        kind
        for endpoint in endpoints
        for kind in (endpoint.body, endpoint.query, *endpoint.answers.values(), schemas.ProblemOut)
        if kind is not None
    }
    ordered = sorted(types, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, components)
    for query in {endpoint.query for endpoint in endpoints if endpoint.query}:
        del components[query.__name__]
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "inquiry-svc",
            "version": VERSION,
            "description": "Triage of a support team's inquiries: classified, routed, stored, answered.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }
    return msgspec.json.encode(document)


def _operation(endpoint: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    problems = (_UNREADABLE, *endpoint.problems, *(_REFUSED if endpoint.scope is not None else ()))
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__ + ("_root" if endpoint.path == "/metrics" else ""),
        "summary": endpoint.summary,
        "tags": [next((tag for tag in ("inquiries", "reviews") if f"/{tag}" in endpoint.path), "operations")],
        "parameters": list(_parameters(endpoint, components)),
        "responses": {
            **{str(status): _answer(status, kind, endpoint) for status, kind in endpoint.answers.items()},
            **{str(status): _answer(status, schemas.ProblemOut, endpoint, PROBLEM) for status in problems},
        },
        "security": [] if endpoint.scope is None else [{scheme: [endpoint.scope]} for scheme in _SCHEMES],
    }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": endpoint.body_required,
            "content": {endpoint.media_type: {"schema": _reference(endpoint.body)}},
        }
    return operation


def _parameters(endpoint: Endpoint, components: dict[str, Any]) -> Sequence[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{inquiry_id}" in endpoint.path:
        parameters.append(
            {"name": "inquiry_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
        )
    if endpoint.idempotent:
        what = "A retry with the same key and payload gets the stored answer and `Idempotency-Replayed: true`."
        schema = {"type": "string", "pattern": "^[ -~]{1,255}$"}
        parameters.append({"name": "Idempotency-Key", "in": "header", "description": what, "schema": schema})
    if endpoint.query is not None:
        parameters += [
            {"name": name, "in": "query", "schema": _not_null(schema)}
            for name, schema in components[endpoint.query.__name__]["properties"].items()
        ]
    return parameters


def _answer(
    status: int, kind: type[schemas.Outgoing] | None, endpoint: Endpoint, media_type: str | None = None
) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": _WORDS[status], "headers": {"X-Request-ID": _TEXT_HEADER}}
    content: dict[str, Any] = _reference(kind) if kind else {}
    if content and endpoint.media_type == NDJSON and media_type is None:
        content = {"description": "Each line.", "anyOf": [content, _reference(schemas.ProblemOut)]}
    if status != 204:
        answer["content"] = {media_type or endpoint.media_type: {"schema": content} if content else {}}
    if status in (429, 503) and kind is schemas.ProblemOut:
        answer["headers"]["Retry-After"] = {"schema": {"type": "integer", "minimum": 1}}
    if status == 401:
        answer["headers"]["WWW-Authenticate"] = _TEXT_HEADER
    if status == 429:
        answer["headers"] |= {"RateLimit": _TEXT_HEADER, "RateLimit-Policy": _TEXT_HEADER}
    if status == 201:
        answer["headers"] |= {"Location": _TEXT_HEADER, "Idempotency-Replayed": _TEXT_HEADER}
    return answer


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter can be left out, but it can't be null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if not kinds:
        return schema
    return {**kinds[0], **{key: value for key, value in schema.items() if key not in ("anyOf", "default")}}


def _reference(kind: type[Any]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
