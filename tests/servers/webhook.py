"""Where webhooks arrive in a test: a server that remembers each request, and is well, slow, wrong or away as told."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from inquiry_svc.notices import NoticeKind
from tests.servers import free_port

PATH: Final = "/hooks/inquiries"
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(slots=True)
class Request:
    headers: Mapping[str, str]
    body: bytes
    answered: int = 0
    """The status; 0 until there was an answer."""

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def inquiry_id(self) -> str:
        return str(self.content["data"]["inquiry_id"])


@dataclass(slots=True)
class WebhookReceiver:
    port: int = field(default_factory=free_port)
    requests: list[Request] = field(default_factory=list)
    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the answer."""
    statuses: list[int] = field(default_factory=list)
    """Of the next answers, before `status` holds again."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """While this is cleared, nobody is answered."""
    tls: ssl.SSLContext | None = None
    """As `localhost`."""
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}{PATH}" if self.tls else f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def accepted(self) -> list[Request]:
        """Those that were answered 2xx."""
        return [request for request in self.requests if 200 <= request.answered < 300]

    async def start(self) -> None:
        """Nothing where it runs."""
        if self._runner is None:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self._handle)
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self.tls)
            await site.start()

    async def stop(self) -> None:
        """Away: whoever connects is refused."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        found = Request(request.headers, await request.read())
        self.requests.append(found)
        await self.open.wait()
        found.answered = self.statuses.pop(0) if self.statuses else self.status
        return web.Response(status=found.answered, headers=self.headers)


@asynccontextmanager
async def webhook_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[WebhookReceiver]:
    receiver = WebhookReceiver(tls=tls)
    receiver.open.set()
    await receiver.start()
    try:
        yield receiver
    finally:
        receiver.open.set()
        await receiver.stop()


def told_of(receiver: WebhookReceiver, *kinds: NoticeKind) -> Mapping[str, str]:
    """The environment of a service that tells the receiver of these, with `SECRET`."""
    settings = {"URL": receiver.url, "SECRET": SECRET, "KINDS": ",".join(kinds), "ALLOW_PRIVATE": "true"}
    own = {f"INQUIRY_NOTIFIERS__WEBHOOK__{name}": value for name, value in settings.items()}
    return {"INQUIRY_NOTIFIERS__PROVIDERS": "webhook", **own}


def certificate_of_localhost(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """For a server; and the certificate, for who shall trust it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, "-out", certificate, "-keyout", key)
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context, certificate
