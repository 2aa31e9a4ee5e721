"""The parts of the site that the code says: HTTP interface, configuration, alerts, commands; each as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from sphinx.pycode import ModuleAnalyzer

from inquiry_svc.cli import build_commands
from inquiry_svc.config import Effective, load_settings
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.web.documentation import openapi_document
from inquiry_svc.web.routes import ENDPOINTS

COMMANDS: Final = build_commands()
"""For sphinx-click."""


# The HTTP interface


def http_api(root: Path) -> str:
    document = json.loads(openapi_document(ENDPOINTS))
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    lines: list[str] = []
    for tag in dict.fromkeys(operation["tags"][0] for *_, operation in operations):
        lines += [f"## {tag.capitalize()}", ""]
        for method, path, operation in operations:
            if operation["tags"] == [tag]:
                lines += _operation(method, path, operation)
    lines += ["## Schemas", ""]
    for name, schema in document["components"]["schemas"].items():
        lines += _schema(name, schema)
    return "\n".join(lines)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"### `{method} {path}`", "", operation["summary"], "")
    if parameters := operation["parameters"]:
        yield from ("| parameter | in | type | |", "|---|---|---|---|")
        for each in parameters:
            name = f"`{each['name']}`" + (", required" if each.get("required") else "")
            yield f"| {name} | {each['in']} | {_type(each['schema'])} | {each.get('description', '')} |"
        yield ""
    if body := operation.get("requestBody"):
        [(media_type, content)] = body["content"].items()
        yield from (f"Body: `{media_type}`, {_type(content['schema'])}.", "")
    yield from ("| status | | body |", "|---|---|---|")
    for status, answer in sorted(operation["responses"].items()):
        shown = "none"
        for media_type, content in answer.get("content", {}).items():
            shown = _type(content["schema"]) if content.get("schema") else f"`{media_type}`"
        yield f"| {status} | {answer['description']} | {shown} |"
    yield ""


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"### {name}", "")
    if description := schema.get("description"):
        yield from (description, "")
    if "properties" not in schema:
        yield from (f"{_type(schema)}.", "")
        return
    yield from ("| field | type | |", "|---|---|---|")
    for field, kind in schema["properties"].items():
        needed = "required" if field in schema.get("required", ()) else _default(kind)
        yield f"| `{field}` | {_type(kind)} | {' '.join([needed, kind.get('description', '')]).strip()} |"
    yield ""


def _default(schema: Mapping[str, Any]) -> str:
    return f"default `{json.dumps(schema['default'])}`" if "default" in schema else ""


def _type(schema: Mapping[str, Any]) -> str:
    """In words, with a link to each schema that has a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"array of {_type(schema.get('items') or {})}"
    bounds = [f"{key} {schema[key]}" for key in _BOUNDS if key in schema]
    return ", ".join([schema.get("format") or kind, *bounds])


_BOUNDS: Final = ("minLength", "maxLength", "minimum", "exclusiveMinimum", "maximum")


# The configuration


def configuration(root: Path) -> str:
    """What `inquiry-svc config` shows, a table for each section, with the words of the settings' declarations."""
    settings, effective = load_settings(Offers(build_manager()))
    lines: list[str] = []
    section = ""
    for each in effective:
        at, _, key = each.key.rpartition(".")
        first, _, provider = at.partition(".")
        kind = type(settings.of_providers[first, provider] if provider else getattr(settings, first))
        if at != section:
            section = at
            lines += ["", f"## `[{section}]`", "", *_own_words(kind), "| key | default | |", "|---|---|---|"]
        lines.append(f"| `{key}` | {_shown(each)} | {_said(kind, key)} |")
    return "\n".join(lines)


def _own_words(kind: type[Any]) -> list[str]:
    words = kind.__doc__ or ""
    return [] if words.startswith(f"{kind.__name__}(") or not words else [words, ""]


def _said(kind: type[Any], key: str) -> str:
    analyzer = ModuleAnalyzer.for_module(kind.__module__)
    return " ".join(analyzer.find_attr_docs().get((kind.__name__, key), [])).strip().replace("|", "\\|")


def _shown(setting: Effective) -> str:
    if setting.value == "***":
        return "a secret, never shown"
    if setting.value in ("", None, ()):
        return ""
    return f"`{json.dumps(setting.value)}`"


# The alerts


def alerts(root: Path) -> str:
    """A table for each file of `alerting/rules`."""
    lines: list[str] = []
    for file in sorted((root / "alerting/rules").glob("*.yaml")):
        groups = yaml.safe_load(file.read_text())["groups"]
        rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
        lines += [f"## {file.stem}", "", f"[`alerting/rules/{file.name}`](/alerting/rules/{file.name})", ""]
        lines += ["| alert | severity | after | |", "|---|---|---|---|"]
        lines += [_alert(rule) for rule in rules]
        lines.append("")
    return "\n".join(lines)


def _alert(rule: Mapping[str, Any]) -> str:
    name, said = rule["alert"], rule["annotations"]
    runbook = f"[{name}](/{said['runbook_url']})" if "runbook_url" in said else name
    return f"| {runbook} | {rule['labels'].get('severity', '')} | {rule.get('for', '')} | {said['summary']} |"


# The guides


def guides(root: Path) -> str:
    """The pages of `docs` that the front page does not name itself."""
    named = (root / "docs/site/index.md").read_text().splitlines()
    pages = [f"/docs/{file.stem}" for file in sorted(root.glob("docs/*.md"))]
    return "\n".join(page for page in pages if page not in named)


PARTS: Final[Mapping[str, Callable[[Path], str]]] = {
    "http_api": http_api,
    "configuration": configuration,
    "alerts": alerts,
    "guides": guides,
}
"""By the name that a page of the site asks for them."""
