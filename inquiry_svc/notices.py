"""Notices: what somebody elsewhere is to be told of, kept in the store until they are; and what a store does for it.

A notice is written in the transaction that stores what it tells of, one for each notifier that wants to hear of it. It
waits until it was delivered, is set aside when that can't be, and is told again or dropped by whoever looks after the
service. It holds no text: what is told is the outcome as it stands when it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias, get_args

from msgspec import Struct

from inquiry_svc.inquiries import Outcome

NoticeKind: TypeAlias = Literal["triaged", "escalated", "needs_review", "reviewed", "resolved"]
"""An inquiry was stored; it was, and is escalated; it was, and a person should look; somebody did; it was answered."""

NOTICE_KINDS: Final[tuple[NoticeKind, ...]] = get_args(NoticeKind)


class Notice(Struct, frozen=True):
    """One thing for one notifier to tell of."""

    notice_id: str
    """A UUIDv7, the same at each attempt: by it a receiver knows what it was told before."""
    notifier: str
    """The name under which the notifier is chosen."""
    kind: NoticeKind
    inquiry_id: str
    created_at: datetime
    """When it happened, in UTC."""


class Delivery(Struct, frozen=True):
    """A notice that is held by whoever is to deliver it now."""

    notice: Notice
    outcome: Outcome
    """As it stands now, which may be after what the notice tells of."""
    attempts: int
    """Those that failed before."""
    waiting_since: datetime
    """Since it was made, or since it was set aside and then to be told again."""
    claimed_until: datetime
    """Nobody else delivers it until then. After that anybody may."""


class Settled(Struct, frozen=True):
    """What became of a delivery."""

    delivery: Delivery
    result: Literal["delivered", "failed", "set_aside", "returned"]
    """returned: it was not tried, or broken off, and that does not count as an attempt."""
    at: datetime
    """When it is due again, where it failed or was returned; else when that was."""
    reason: str | None = None
    """Why it failed or was set aside, in one short line that quotes no inquiry."""


class Undelivered(Struct, frozen=True):
    """A notice as it waits, or as it was set aside."""

    notice: Notice
    attempts: int
    waiting_since: datetime
    due_at: datetime
    """It is not tried before then."""
    claimed_until: datetime | None
    """The last claim, which may have run out."""
    set_aside_at: datetime | None
    reason: str | None
    """Of the last attempt that failed."""


class NoticeFilters(Struct, frozen=True):
    """Which notices; None does not filter."""

    notifier: str | None = None
    notice_ids: Sequence[str] | None = None
    set_aside: bool | None = None


class Outbox(Struct, frozen=True):
    """What a notifier has not told yet, in numbers. More than 10,000 may be said to be so many."""

    waiting: int = 0
    oldest_waiting_since: datetime | None = None
    """None where none waits."""
    set_aside: int = 0


class NoticeStore(Protocol):
    """What a `Store` does for notifiers, beside keeping the notices that `save`, `add_feedback` and `resolve` bring."""

    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        """Hold up to `limit` that are due at `now` until `until`: no two who ask ever hold one. The longest due first.

        Of each inquiry only the first that is neither delivered nor set aside, in the order in which they were kept:
        what comes after it waits for it, whoever holds it.
        """

    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        """Commit what became of deliveries, in one transaction.

        What was delivered is gone. What failed has one attempt more and is due again at `at`, and what comes after it
        not before. What is set aside holds up nothing. What is returned is due at `at`, as if it had not been claimed.
        Nothing is done to what has been claimed again since, where the claim had run out.
        """

    async def notices(self, filters: NoticeFilters, *, limit: int) -> Sequence[Undelivered]:
        """What is not delivered, in the order in which it was kept, at most `limit`."""

    async def retry_notices(self, filters: NoticeFilters, *, now: datetime, limit: int) -> int:
        """Have up to `limit` of them be due at `now`; how many that changed. What is set aside waits anew from then on.

        What is due by then is left as it is, so asking until it gives 0 has done all.
        """

    async def drop_notices(self, filters: NoticeFilters, *, limit: int) -> int:
        """Forget up to `limit` of them, never to be delivered; how many that were."""

    async def outbox(self, notifier: str) -> Outbox:
        """Asked every few seconds, so it must be quick however much is stored."""
