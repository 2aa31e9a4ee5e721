"""Checks of the service by itself: is it well, can its metrics be read, which model answers, what does it stand on?"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from inquiry_svc.contracts import Host
from inquiry_svc.doctor.findings import Finding, left_out, ok, wrong
from inquiry_svc.doctor.surroundings import Surroundings, in_one_line
from inquiry_svc.live.exposition import Sample, read_sample, read_scrape
from inquiry_svc.metrics import MAX_OPEN_SERIES, OVERFLOW, Metrics
from inquiry_svc.models.named import names_of, open_model
from inquiry_svc.models.registry import Registry
from inquiry_svc.opening import Opener, told_what_is_missing

MAX_SAMPLES: Final = 5_000
"""What the cost of a scrape is measured with."""
MAX_CLOCK_DIFFERENCE_S: Final = 5.0
"""`time() - some_seconds` in a rule is wrong by as much."""
MIN_CERTIFICATE: Final = timedelta(days=14)

_GIB: Final = 1024**3
_RUNBOOKS: Final[Mapping[str, str]] = {
    "database": "DatabaseConnectionIssues",
    "cache": "CacheLost",
    "classifier": "ClassifierFallback",
    "fallback": "FallbackClassifierDown",
    "models": "ModelRefused",
    "queue": "QueueSaturated",
}


async def health(around: Surroundings) -> Iterable[Finding]:
    service = around.service
    components = service.said["components"]
    ill = [
        wrong(
            f"{name} ({component['provider']}) is {component['status']}",
            f"see alerting/runbooks/{_RUNBOOKS[name]}.md" if name in _RUNBOOKS else "see the log of the service",
        )
        for name, component in components.items()
        if component["status"] != "healthy"
    ]
    named = ", ".join(f"{name} {component['provider']}" for name, component in components.items())
    return ill or [ok(f"{service.url}, version {service.said['version']}, is healthy: {named}")]


async def metrics(around: Surroundings) -> Iterable[Finding]:
    """Whether Prometheus would take the page as it is, and keep all of it."""
    page = await around.service.text("/metrics")
    samples, unreadable = [], []
    for number, line in enumerate(page.split("\n"), 1):
        try:
            sample = read_sample(line)
        except ValueError:
            unreadable.append(f"line {number} of /metrics can't be read: {line[:80]}")
        else:
            samples += [sample] if sample else []
    found = [wrong(says, "mend the plugin or exporter that writes it") for says in unreadable[:3]]
    found += _unsound(samples)
    return found or [ok(f"{len(samples)} samples of {len({each.name for each in samples})} names, each there once")]


def _unsound(samples: Sequence[Sample]) -> Iterable[Finding]:
    times = Counter((each.name, each.labels) for each in samples)
    for name in dict.fromkeys(name for (name, _), count in times.items() if count > 1):
        yield wrong(f"{name} has the same series twice", "give each a label's value of its own: Prometheus keeps one")
    for name in dict.fromkeys(each.name for each in samples if math.isnan(each.value)):
        yield wrong(f"{name} is NaN, and so is every sum over it", "mend the plugin that sets it")
    for name in dict.fromkeys(each.name for each in samples if OVERFLOW in dict(each.labels).values()):
        yield wrong(f"{name} has reached {MAX_OPEN_SERIES} series", "look which label of it has values without end")
    if len(samples) > MAX_SAMPLES:
        [(most, count)] = Counter(each.name for each in samples).most_common(1)
        yield wrong(
            f"{len(samples)} samples are more than {MAX_SAMPLES}", f"begin with {most}, which has {count} of them"
        )


async def model(around: Surroundings) -> Iterable[Finding]:
    """Whether the service answers with the champion of the registry here, or without one with the built-in model."""
    served = [(labels["model_name"], labels["sha"]) for labels, _ in await _samples(around, "model_version_info")]
    names = names_of(Registry(around.data_dir), around.settings, around.offers)
    champion = await asyncio.to_thread(names.find, "champion")
    opener = Opener(around.settings, around.offers, Host(around.data_dir, Metrics(around.metrics)))
    async with open_model(opener, champion) as classifier:
        here = classifier.model
    if (here.name, here.digest) in served:
        return [ok(f"{here.name} {here.version}, digest {here.digest}, is the champion here, and served")]
    shown = ", ".join(map(" ".join, served)) or "none"
    return [
        wrong(
            f"the models served are {shown}; the champion here is {here.name} {here.digest}",
            "name the service's folder with --data-dir, or look with which settings it was started",
        )
    ]


async def clock(around: Surroundings) -> Iterable[Finding]:
    ahead_s = {name: server.ahead_s for name, server in around.reached.items() if server.ahead_s is not None}
    off = [
        wrong(
            f"the clock of {name} is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this one",
            "have both set by NTP: see timedatectl",
        )
        for name, seconds in ahead_s.items()
        if abs(seconds) > MAX_CLOCK_DIFFERENCE_S
    ]
    said = f"{', '.join(ahead_s)}: within {MAX_CLOCK_DIFFERENCE_S:g} s of this clock"
    return off or ([ok(said)] if ahead_s else [])


async def store(around: Surroundings) -> Iterable[Finding]:
    """Whether the chosen store can be reached from here, and has the schema of this release."""
    name = around.settings.store.provider
    provider = around.offers.provider("store", name)
    if provider.upkeep.schema is None:
        return [left_out(f"store {name!r} has no schema")]
    with told_what_is_missing("store", name, provider.extra):
        settings, host = around.settings.of_providers["store", name], Host(around.data_dir, Metrics())
        schema = await asyncio.to_thread(provider.upkeep.schema, settings, host)
    if schema.applied == 0:
        return [left_out(f"store {name!r} is empty here", "name the folder of the service with --data-dir")]
    if schema.applied < schema.newest:
        missing = f"store {name!r} has schema {schema.applied} of {schema.newest}"
        return [wrong(missing, "back up, then run inquiry-svc migrate: see docs/upgrades.md")]
    if schema.applied > schema.newest:
        newer = f"store {name!r} has schema {schema.applied}, this release knows up to {schema.newest}"
        return [wrong(newer, "install the release that made it")]
    return [ok(f"store {name!r} can be reached and has schema {schema.applied}, the newest")]


async def disk(around: Surroundings) -> Iterable[Finding]:
    free = [value for _, value in await _samples(around, "data_dir_free_bytes")]
    if not free:
        return [left_out("the service says nothing of its disk: the plugin watcher_machine is not installed")]
    least = around.settings.doctor.min_free_bytes
    if free[0] < least:
        few = f"{free[0] / _GIB:.1f} GiB are free for the data folder, fewer than {least / _GIB:.1f}"
        return [wrong(few, "make room: see alerting/runbooks/DiskSpaceLow.md")]
    return [ok(f"{free[0] / _GIB:.1f} GiB are free for the data folder")]


async def certificate(around: Surroundings) -> Iterable[Finding]:
    url = urlsplit(around.service.url)
    if url.scheme != "https":
        return [left_out("the address is plain HTTP: there is no certificate")]
    try:
        _, writer = await asyncio.open_connection(url.hostname, url.port or 443, ssl=ssl.create_default_context())
    except OSError as error:
        return [wrong(f"the certificate of {url.netloc} is refused ({in_one_line(error)})", "renew it")]
    expires_at = ssl.cert_time_to_seconds(writer.get_extra_info("peercert")["notAfter"])
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    left = timedelta(seconds=expires_at - time.time())
    said = f"the certificate of {url.netloc} lasts {left.days} more days"
    return [wrong(said, "renew it")] if left < MIN_CERTIFICATE else [ok(said)]


async def _samples(around: Surroundings, name: str) -> list[tuple[Mapping[str, str], float]]:
    scrape = read_scrape(await around.service.text("/metrics"), time.time(), {})
    return [(dict(labels), value) for labels, value in scrape.samples.get(name, ())]
