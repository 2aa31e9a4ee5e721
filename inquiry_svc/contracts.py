"""What a provider must do, one `Protocol` for each kind. `Provider`, the card that offers one, is in `provider.py`.

All calls are batch-first and made on the event loop: a provider that blocks or computes for long moves that to a thread
of its own. `inquiry_svc.testing` holds a contract suite for each kind; a provider that passes it fits the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from inquiry_svc.erasing import ErasingStore
from inquiry_svc.explanations import Explanation
from inquiry_svc.inquiries import (
    Category,
    Department,
    Feedback,
    Inquiry,
    Model,
    Outcome,
    Prediction,
    Route,
    Sentiment,
    Status,
    Text,
    Urgency,
    Verdict,
)
from inquiry_svc.notices import Notice, NoticeKind, NoticeStore
from inquiry_svc.profiles import Profile
from inquiry_svc.provider import Host as Host
from inquiry_svc.provider import NoSettings as NoSettings
from inquiry_svc.provider import Provider as Provider
from inquiry_svc.review_queue import ReviewStore

if TYPE_CHECKING:
    from inquiry_svc.metrics import Snapshot


class Classifier(Protocol):
    """Reads texts. Must not look at who sent them."""

    @property
    def model(self) -> Model:
        """Which model answers from now on. A new model has a new digest."""

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        """A verdict for each text, in order. Called with 1 to `batching.max_batch` texts, one call at a time.

        Any exception means that it could not be; the service then tries its halves: one poisonous text fails alone.
        """


@runtime_checkable
class Explainer(Protocol):
    """What a classifier may be able to do besides: say why. The service looks for it; nothing asks for it."""

    async def explain(self, text: Text) -> Explanation:
        """Why the model that answers now says what it says of this text.

        The labels and margins are those of `classify`, and each axis adds up as `inquiry_svc.explanations` says.
        Called while `classify` is, which it must not hold up, and a few times at once.
        """


@runtime_checkable
class Profiled(Protocol):
    """What a classifier may know besides: what its model was trained on, so that other mail is noticed."""

    @property
    def profile(self) -> Profile | None:
        """Of the model that answers now; None where nobody kept it."""


@runtime_checkable
class Cautious(Protocol):
    """What a classifier may be able to do besides: say below which confidence it should not be trusted."""

    @property
    def review_below(self) -> Mapping[str, float]:
        """By category; a category may be missing. Read when the model is opened."""


class Router(Protocol):
    """Decides who answers, how soon and why. Pure but for the turn it keeps among consultants."""

    async def route(
        self,
        inquiries: Sequence[Inquiry],
        predictions: Sequence[Prediction],
        open_inquiries: Mapping[str, int],
    ) -> Sequence[Route]:
        """A route for each inquiry and the prediction at the same place, in order.

        `open_inquiries` counts the unresolved inquiries of each consultant, as of before this batch.
        """


class Cache(Protocol):
    """Keeps bytes for a while. May forget anything at any time; must never give back what was not put.

    The service makes the keys (they hold the model's digest) and checks the values, so a cache needs to know neither.
    A provider may open to None instead: nothing is remembered, and nothing is spent on it.
    """

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """The value of each key, in order; None for a miss."""

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        """Keep these."""

    async def check(self) -> None:
        """Raise if the cache does not work now."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which inquiries to list; None does not filter. `since` is inclusive, `until` exclusive, both on `received_at`."""

    category: Category | None = None
    department: Department | None = None
    urgency: Urgency | None = None
    sentiment: Sentiment | None = None
    status: Status | None = None
    escalated: bool | None = None
    needs_review: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the list, between two inquiries: just after (older than) the one named."""

    received_at: datetime
    inquiry_id: str


@dataclass(frozen=True, slots=True)
class Stats:
    """Totals over the inquiries received in a window; rates are 0 to 1, None where nothing was counted."""

    total_inquiries: int
    processed_inquiries: int
    escalated_inquiries: int
    escalation_rate: float | None
    needs_review_inquiries: int
    category_distribution: Mapping[str, int]
    department_distribution: Mapping[str, int]
    urgency_distribution: Mapping[str, int]
    sentiment_distribution: Mapping[str, int]
    average_priority_score: float | None
    within_sla_rate: float | None
    """Of the inquiries answered or overdue by now: the share answered by their due time."""


PoolKind: TypeAlias = Literal["reader", "writer"]


@dataclass(frozen=True, slots=True)
class Pool:
    """The connections of one kind of a store at one moment."""

    idle: int = 0
    active: int = 0
    maximum: int = 0


class Store(ReviewStore, NoticeStore, ErasingStore, Protocol):
    """Remembers outcomes durably. Raises `StoreUnavailable` when it can't; then nothing of the call was kept.

    What stores something takes the notices of it, and keeps them in the same transaction and in their order; those of
    what this call did not store, since it had been stored before, are not kept.
    """

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        """Commit all or none in one transaction, and return what is stored for each, in order.

        That is the outcome itself or, where its idempotency key (or its id) is stored already, the earlier outcome:
        saving twice changes nothing. Two outcomes of one batch may share a key; the first wins. When this returns, a
        crash of the process or of the machine loses nothing of it.
        """

    async def get(self, inquiry_id: str) -> Outcome | None:
        """The outcome as it stands now, with its newest feedback."""

    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        """Newest `received_at` first (ties: larger id first), at most `limit`, starting just after `after`."""

    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        """Keep the feedback and clear `needs_review`. Raises `InquiryNotFound`.

        `as_review` does so only while the inquiry waits for review and nobody but `feedback.reviewer` holds it at
        `feedback.given_at`. Else it raises `ReviewNotYours`.
        """

    async def resolve(self, inquiry_id: str, resolved_at: datetime, *, notices: Sequence[Notice] = ()) -> Outcome:
        """Note when the inquiry was answered. Raises `InquiryNotFound`, `AlreadyResolved`."""

    async def stats(self, *, since: datetime, now: datetime) -> Stats:
        """Count the inquiries received from `since` on."""

    async def open_inquiries(self) -> Mapping[str, int]:
        """How many unresolved inquiries each consultant holds; consultants with none may be missing."""

    def pools(self) -> Mapping[PoolKind, Pool]:
        """How many of its connections work now, by what they are for; empty without any. Asked every few seconds."""

    async def check(self) -> None:
        """Raise `StoreUnavailable` unless a write would succeed now."""


@runtime_checkable
class ScrapedExporter(Protocol):
    """Shows the metrics to whoever asks for them."""

    @property
    def content_type(self) -> str:
        """Of what `render` gives, with its parameters."""

    async def render(self, snapshot: Snapshot) -> bytes:
        """The page for one scrape."""


@runtime_checkable
class PushingExporter(Protocol):
    """Sends the metrics somewhere, again and again."""

    @property
    def period_s(self) -> float:
        """How long to wait between two pushes."""

    async def push(self, snapshot: Snapshot, sent: Snapshot) -> None:
        """Send the numbers of the whole service, of however many processes it is.

        `sent` is what was last sent with success, by whichever process; empty before the first. The difference is what
        a receiver that adds up must get. Called once a period and once more at the stop, never twice at a time. Raise
        when it could not be sent: the next call has the same `sent`.
        """


Exporter: TypeAlias = ScrapedExporter | PushingExporter
"""One that is asked or one that sends; may be both."""


class Submit(Protocol):
    """A source's way in. What comes through it is judged, triaged and kept as it would be over HTTP."""

    async def __call__(
        self,
        body: bytes,
        *,
        key: str,
        received_at: datetime | None = None,
        caller: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Take in `body`, the JSON of a submit. What is returned is committed.

        `key` names the message among all that this source ever brings: however often it is brought, it is one inquiry.
        `received_at` counts where the body does not say when it came. `caller` may hold the W3C `traceparent` and
        `tracestate` that came with the message. Waits for a place rather than being refused; call it for many at once,
        they are worked on together.

        Raises `Overloaded` or `Unavailable`: bring the message again, `retry_after_s` later at the earliest. Raises
        another `InquiryServiceError`, such as `InquiryInvalid`: it would fail again, so put it aside with the reason.
        Anything else, such as being cancelled, says nothing about the message.
        """


class Source(Protocol):
    """Brings inquiries in from elsewhere, each at least once. Several processes may each run one on the same place."""

    async def run(self, submit: Submit, stopping: asyncio.Event) -> None:
        """Bring messages in until `stopping` is set; then take no more, finish what was taken, and return.

        A message may be acknowledged once `submit` has returned or it was put aside, never before, wherever this is
        cancelled. What was taken and not finished, the next run brings again. Hold no more than is submitted at once.

        What this raises is logged and counted, and it is called again after a pause: no need to wait for a server that
        is away. Cancelled when it has not returned `server.stop_timeout_s` after `stopping` was set.
        """


class Notifier(Protocol):
    """Tells somebody elsewhere what became of inquiries, each thing at least once."""

    @property
    def kinds(self) -> Collection[NoticeKind]:
        """What it wants to hear of, from when it is opened on. Read then."""

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        """Tell of it. When this returns it was delivered, and is never told again.

        `outcome` is as it stands now: `notice` may be of something before. Called for several at once, never for two of
        one inquiry, which are told in the order in which they happened. Cancelled after `notifiers.timeout_s`.

        Raises `Undeliverable` where it will never be taken: it is set aside at once. Whatever else is raised, it is
        told again later, with the same `notice_id`, and one at a time while nothing gets through. Raise `Unavailable`
        to say why, and by its `retry_after_s` not to be asked for this one before. The messages of these two are kept
        and logged, of any other exception its type alone; they must quote no inquiry.
        """
