"""The page of `inquiry-svc dashboard`, and what it shows: scraped from one service, every other second."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import web

from inquiry_svc.live.exposition import Scrape, failed_scrape, read_scrape
from inquiry_svc.live.history import History
from inquiry_svc.live.panels import Dashboard
from inquiry_svc.repeating import repeated

logger = logging.getLogger(__name__)

PERIOD_S: Final = 2.0
_TIMEOUT_S: Final = 5.0
_PAGE: Final = Path(__file__).with_name("page")
_ONLY_FROM_HERE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@asynccontextmanager
async def open_site(
    url: str, dashboards: Sequence[Dashboard], *, key: str = "", period_s: float = PERIOD_S
) -> AsyncIterator[web.Application]:
    """The application, scraping `url` while open, with an API key where one is given."""
    history = History(dashboards)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S), headers=headers) as client:
        started_s = time.time() - _running_s()  # a clock that is put right meanwhile would spoil the rates

        async def scrape() -> None:
            history.add(await _scraped(client, url, lambda: started_s + _running_s()))

        failing = f"what {url} says can't be shown"
        async with repeated(scrape, period_s=period_s, first_after_s=0, name="dashboard scrapes", failing=failing):
            yield _application(url, dashboards, history)


def _application(url: str, dashboards: Sequence[Dashboard], history: History) -> web.Application:
    names = {dashboard.name for dashboard in dashboards}
    description = msgspec.json.encode({"url": url, "period_s": PERIOD_S, "dashboards": dashboards})

    async def page(request: web.Request) -> web.FileResponse:
        return web.FileResponse(_PAGE / "index.html", headers={"Content-Security-Policy": _ONLY_FROM_HERE})

    async def panels(request: web.Request) -> web.Response:
        return web.Response(body=description, content_type="application/json")

    async def shown(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in names:
            raise web.HTTPNotFound
        return web.Response(body=msgspec.json.encode(history.shown(name)), content_type="application/json")

    application = web.Application()
    application.add_routes(
        [
            web.get("/", page),
            web.get("/panels.json", panels),
            web.get("/shown/{name}.json", shown),
            web.static("/page", _PAGE),
        ]
    )
    return application


def _running_s() -> float:
    """Since the machine was started, the time that it slept included where that is known."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def _scraped(client: aiohttp.ClientSession, url: str, now_s: Callable[[], float]) -> Scrape:
    target = {"job": "inquiry-svc", "instance": urlsplit(url).netloc}
    try:
        async with client.get(f"{url}/metrics") as answer:
            answer.raise_for_status()
            return read_scrape(await answer.text(), now_s(), target)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        logger.debug("no metrics from %s", url, exc_info=error)
        return failed_scrape(now_s(), target)
