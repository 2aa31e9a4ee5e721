"""What there is to say about one call of the interface, for serving it and for documenting it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from inquiry_svc.api_keys import Scope
from inquiry_svc.intake import bodies
from inquiry_svc.web import schemas
from inquiry_svc.web.media_types import JSON


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call: where, what it does in a sentence, what it takes and gives."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    scope: Scope | None
    """What a key needs for it, where there are keys; None: nobody is asked."""
    summary: str
    answers: Mapping[int, type[schemas.Outgoing] | None]
    """The type of each answer that is not a problem; None where it is not JSON."""
    problems: Sequence[int] = ()
    body: type[bodies.Incoming] | None = None
    body_required: bool = True
    query: type[bodies.Incoming] | None = None
    idempotent: bool = False
    """Takes an `Idempotency-Key`."""
    media_type: str = JSON
    needs_place: bool = False
    """It is refused before its body is read where no place is free."""
    audited: bool = False
    """It changes what is stored, and leaves a line that says who did it."""
