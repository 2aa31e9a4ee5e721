"""What there is to look at: the service, Prometheus and Alertmanager where they answer, and the repository's files.

A server is known by what it says at an address that only its kind has, so that a wrong port is not taken for a fault.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from inquiry_svc.addresses import url_here
from inquiry_svc.doctor.findings import Finding, NotThere, left_out, wrong
from inquiry_svc.errors import ConfigurationError, InquiryServiceError
from inquiry_svc.metrics import Metric
from inquiry_svc.plugins import Offers
from inquiry_svc.settings import Settings


class Unanswered(InquiryServiceError):
    """A server that was there did not give what it was asked for."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that answers."""

    url: str
    """Without the user and the password that it may have been named with."""
    said: Any
    """What it said to who it is: see `_KINDS`."""
    ahead_s: float | None
    """How far its clock is before ours, to about a second; None where it does not say."""
    _client: aiohttp.ClientSession
    _named: URL
    _headers: Mapping[str, str]

    async def text(self, path: str, **parameters: str) -> str:
        """Raises `Unanswered`."""
        try:
            url = _at(self._named, path)
            async with self._client.get(url, params=parameters, headers=self._headers) as answer:
                if answer.status in (401, 403):
                    raise Unanswered(
                        f"{self.url}{path} answers {answer.status}: set client.key to one that may read it"
                    )
                if answer.status != 200:
                    raise Unanswered(f"{self.url}{path} answers {answer.status}")
                return await answer.text()
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            raise Unanswered(f"{self.url}{path} can't be read: {in_one_line(error)}") from error

    async def json(self, path: str, **parameters: str) -> Any:
        """Raises `Unanswered`."""
        try:
            return msgspec.json.decode(await self.text(path, **parameters))
        except msgspec.DecodeError as error:
            raise Unanswered(f"{self.url}{path} is no JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be examined, and with what."""

    settings: Settings
    offers: Offers
    metrics: Sequence[Metric]
    """All that this release and its plugins declare."""
    named: frozenset[str]
    """The settings that somebody set, such as `doctor.prometheus`: what they name must be there."""


class Surroundings:
    """Whatever is asked for and is not there raises `NotThere`."""

    def __init__(self, wanted: Wanted, reached: Mapping[str, Server | Finding]) -> None:
        self.settings = wanted.settings
        self.offers = wanted.offers
        self.metrics = wanted.metrics
        self.reached = {name: each for name, each in reached.items() if isinstance(each, Server)}
        self.missing = {name: each for name, each in reached.items() if isinstance(each, Finding)}
        if not (Path(wanted.settings.doctor.folder) / "monitoring").is_dir():
            self.missing["files"] = _no_files(wanted)

    @property
    def service(self) -> Server:
        return self._server("service")

    @property
    def prometheus(self) -> Server:
        return self._server("prometheus")

    @property
    def alertmanager(self) -> Server:
        return self._server("alertmanager")

    @property
    def folder(self) -> Path:
        """The one that holds `monitoring` and `alerting`."""
        if "files" in self.missing:
            raise NotThere("files")
        return Path(self.settings.doctor.folder)

    @property
    def data_dir(self) -> Path:
        return Path(self.settings.server.data_dir)

    def _server(self, name: str) -> Server:
        if name not in self.reached:
            raise NotThere(name)
        return self.reached[name]


@asynccontextmanager
async def looked_around(wanted: Wanted) -> AsyncIterator[Surroundings]:
    """Ask for every server at once; usable while open."""
    timeout = aiohttp.ClientTimeout(total=wanted.settings.doctor.timeout_s / 2)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        found = await asyncio.gather(*(_reach(client, name, wanted) for name in _KINDS))
        yield Surroundings(wanted, dict(zip(_KINDS, found, strict=True)))


# Who is who


@dataclass(frozen=True, slots=True)
class _Kind:
    title: str
    path: str
    is_it: Callable[[Any], bool]


_KINDS: Final[Mapping[str, _Kind]] = {
    "service": _Kind("inquiry-svc", "/api/v1/health", lambda said: "components" in said),
    "prometheus": _Kind("Prometheus", "/api/v1/status/buildinfo", lambda said: "goVersion" in said["data"]),
    "alertmanager": _Kind("Alertmanager", "/api/v2/status", lambda said: "versionInfo" in said),
}


def _named(name: str, settings: Settings) -> URL:
    addresses = {
        "service": settings.doctor.url or url_here(settings.server.host, settings.server.port),
        "prometheus": settings.doctor.prometheus,
        "alertmanager": settings.doctor.alertmanager,
    }
    try:
        named = URL(addresses[name])
    except ValueError:
        named = URL()
    if named.scheme not in ("http", "https") or not named.host:
        key = "url" if name == "service" else name
        raise ConfigurationError(f"doctor.{key} can't be {addresses[name]!r}: write http://host:port")
    return named


def _at(named: URL, path: str) -> URL:
    """One that lies behind a proxy has a path of its own."""
    return named.with_path(named.path.rstrip("/") + path)


async def _reach(client: aiohttp.ClientSession, name: str, wanted: Wanted) -> Server | Finding:
    named, option = _named(name, wanted.settings), "url" if name == "service" else name
    url = str(named.with_user(None)).rstrip("/")
    must_be_there = name == "service" or f"doctor.{name}" in wanted.named
    asked_at = time.time()
    try:
        async with client.get(_at(named, _KINDS[name].path)) as answer:
            body, date = await answer.read(), answer.headers.get("Date")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        tell = wrong if must_be_there else left_out
        said = f"{_KINDS[name].title} does not answer at {url} ({in_one_line(error)})"
        return tell(said, f"start it, or name its address with --{option}")
    if not _is(name, body):
        return wrong(f"what answers at {url} is no {_KINDS[name].title}", f"name its address with --{option}")
    key = wanted.settings.client.key if name == "service" else ""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Server(url, msgspec.json.decode(body), _ahead_s(date, asked_at), client, named, headers)


def _is(name: str, body: bytes) -> bool:
    try:
        return _KINDS[name].is_it(msgspec.json.decode(body))
    except (msgspec.DecodeError, TypeError, LookupError):
        return False


def _ahead_s(date: str | None, asked_at: float) -> float | None:
    if date is None:
        return None
    try:
        half_a_second_off = parsedate_to_datetime(date).timestamp() + 0.5  # the header has whole seconds
    except ValueError:
        return None
    return half_a_second_off - (asked_at + time.time()) / 2


def _no_files(wanted: Wanted) -> Finding:
    tell = wrong if "doctor.folder" in wanted.named else left_out
    return tell(
        f"there is no folder monitoring in {wanted.settings.doctor.folder}",
        "run this in the folder of the repository, or name that with --folder",
    )


def in_one_line(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        return os.strerror(error.os_error.errno)  # asyncio has put the address into its text
    return " ".join(str(error).split()) or type(error).__name__
