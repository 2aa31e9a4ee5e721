"""Offers the notifier `webhook`: each notice is a POST of JSON to one URL, signed, so that its receiver can trust it.

The signature is that of the Standard Webhooks specification (https://www.standardwebhooks.com), so a receiver may use
any of its libraries. `webhook-id` is the notice's id, the same at each attempt: a receiver that has seen it before has
nothing to do but to answer 2xx. What is sent is in `payload.py`: nothing of subject, body or sender but `with_text`.

Every 2xx is delivered. 410 says that the receiver will never want this notice: it is set aside. All else, a redirect
too, is for another time, `Retry-After` later at the earliest. docs/notifiers.md says how to receive.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from inquiry_svc.contracts import Host, Notifier, Provider
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.notices import NoticeKind
from inquiry_svc.settings import Secret


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    url: Secret = ""
    """https://, to a public address; may hold a token, so it is never shown."""
    secret: Secret = ""
    """whsec_ and 24 to 64 bytes in base64; several with a space between: each signs, while receivers change over."""
    kinds: tuple[NoticeKind, ...] = ("escalated",)
    """What to tell of: triaged, escalated, needs_review, reviewed, resolved."""
    with_text: bool = False
    """Send subject, body, sender, metadata and the reviewer's name too."""
    allow_private: bool = False
    """Allow addresses that only this network reaches, and http://."""


@asynccontextmanager
async def open_webhook(settings: WebhookSettings, host: Host) -> AsyncIterator[Notifier]:
    """Connects with the first notice, so that a receiver that is away keeps nobody from starting."""
    from inquiry_svc_plugins.notifiers.webhook.notifier import opened

    async with opened(settings) as notifier:
        yield notifier


@hookimpl
def register_notifiers() -> Iterable[Provider[Notifier]]:
    return [Provider("webhook", open_webhook, WebhookSettings)]
