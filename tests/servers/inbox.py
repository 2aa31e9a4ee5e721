"""Where alerts arrive in a test: a mail server that wants the password, and a webhook that speaks as Slack's does."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORD: Final = "correct horse"
WEBHOOK: Final = "/services/T0/B0/secret"


@dataclass(frozen=True, slots=True)
class Message:
    at: float
    """When it arrived, on `time.time`."""
    channel: Literal["mail", "slack"]
    to: str
    title: str
    text: str
    link: str = ""

    @property
    def says(self) -> tuple[str, str]:
        """FIRING or RESOLVED, and the name of the alert."""
        found = re.match(r"\[(FIRING|RESOLVED)\] (\w+)", self.title)
        assert found, f"a title that says neither what nor how it stands: {self.title!r}"
        return found[1], found[2]


@dataclass(slots=True)
class Inbox:
    messages: list[Message] = field(default_factory=list)
    smtp_port: int = 0
    webhook_url: str = ""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's)
        if not session.authenticated:
            return "530 5.7.0 say the password first"
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=email.policy.default)
        body = mail.get_body(("plain",))
        assert body is not None, "a mail without plain text"
        self._take("mail", to=str(mail["To"]), title=str(mail["Subject"]), text=body.get_content())
        return "250 OK"

    async def handle_webhook(self, request: web.Request) -> web.Response:
        content: dict[str, Any] = await request.json()
        for each in content["attachments"]:
            self._take("slack", content["channel"], each["title"], each["text"], each["title_link"])
        return web.Response(text="ok")

    def _take(self, channel: Literal["mail", "slack"], to: str, title: str, text: str, link: str = "") -> None:
        self.messages.append(Message(time.time(), channel, to, title, text, link))


@asynccontextmanager
async def inbox() -> AsyncIterator[Inbox]:
    found = Inbox()

    def smtp() -> SMTP:
        # LOGIN is left out because Alertmanager knows it by its usual prompts, which aiosmtpd does not give.
        return SMTP(
            found,
            auth_require_tls=False,
            auth_exclude_mechanism=["LOGIN"],
            authenticator=_authenticate,
            hostname="mail",
        )

    listener = await asyncio.get_running_loop().create_server(smtp, "127.0.0.1", 0)
    found.smtp_port = listener.sockets[0].getsockname()[1]
    app = web.Application()
    app.router.add_post(WEBHOOK, found.handle_webhook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.webhook_url = f"http://127.0.0.1:{runner.addresses[0][1]}{WEBHOOK}"
        yield found
    finally:
        await runner.cleanup()
        listener.close()


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=isinstance(data, LoginPassword) and data.password == PASSWORD.encode())
