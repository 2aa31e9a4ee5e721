"""Checks of Alertmanager: would somebody be told, and is anybody kept from being told without a reason?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from inquiry_svc.doctor.findings import Finding, ok, wrong
from inquiry_svc.doctor.surroundings import Surroundings
from inquiry_svc.placeholders import placeholders_in

ENDS_SOON: Final = timedelta(hours=1)
LASTS_LONG: Final = timedelta(days=7)


async def receivers(around: Surroundings) -> Iterable[Finding]:
    """Whether each route leads to somebody, at an address that is somebody's."""
    import yaml

    text = around.alertmanager.said["config"]["original"]
    content = yaml.safe_load(text)
    found = [
        wrong(
            f"Alertmanager's configuration still has the placeholder {placeholder}", "put in what is yours, and reload"
        )
        for placeholder in placeholders_in(text)
    ]
    tells = {each["name"]: [key for key in each if key.endswith("_configs")] for each in content["receivers"]}
    used = list(dict.fromkeys(_receivers_of(content["route"])))
    found += [
        wrong(f"receiver {name} tells nobody, and a route leads there", "give it an e-mail or Slack configuration")
        for name in used
        if not tells.get(name)
    ]
    shown = ", ".join(f"{name} ({', '.join(key.removesuffix('_configs') for key in tells[name])})" for name in used)
    return found or [ok(f"{around.alertmanager.url} tells {shown}")]


def _receivers_of(route: Mapping[str, Any]) -> Iterator[str]:
    if "receiver" in route:
        yield route["receiver"]
    for below in route.get("routes") or ():
        yield from _receivers_of(below)


async def silences(around: Surroundings) -> Iterable[Finding]:
    """A page that is silenced needs a reason and an end; no silence should outlast what it is for."""
    now = datetime.now(UTC)
    active = {
        each["id"]: each
        for each in await around.alertmanager.json("/api/v2/silences")
        if each["status"]["state"] == "active"
    }
    pages = await around.alertmanager.json("/api/v2/alerts", filter='severity="critical"', silenced="true")
    found: list[Finding] = []
    kept: list[str] = []
    for page in pages:
        for silence in (active[each] for each in page["status"]["silencedBy"] if each in active):
            name = page["labels"]["alertname"]
            kept.append(f"{name} until {_ends_at(silence):%Y-%m-%d %H:%M} UTC ({silence['comment'].strip()})")
            found += _of_page(name, silence, now)
    found += [
        wrong(
            f"a silence of {silence['createdBy'] or 'nobody'} lasts until {_ends_at(silence):%Y-%m-%d}",
            f"mend what it hides, then amtool silence expire {silence['id']}",
        )
        for silence in active.values()
        if _ends_at(silence) - now > LASTS_LONG
    ]
    return found or [ok(f"{len(active)} silences; of pages that fire, {'; '.join(kept) or 'none is silenced'}")]


def _of_page(name: str, silence: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    if not silence["comment"].strip():
        yield wrong(
            f"{name} fires, pages, and is silenced without a comment by {silence['createdBy'] or 'nobody'}",
            f"say why: amtool silence update --comment=... {silence['id']}",
        )
    if _ends_at(silence) - now < ENDS_SOON:
        yield wrong(
            f"{name} still fires and pages again at {_ends_at(silence):%H:%M} UTC, when its silence ends",
            f"mend it until then: see alerting/runbooks/{name}.md",
        )


def _ends_at(silence: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(silence["endsAt"])
