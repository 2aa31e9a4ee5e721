"""What can be set: one frozen dataclass for each section of the configuration, with its defaults and bounds.

A provider's own settings stand in `[<section>.<provider>]` and are declared by the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta

from inquiry_svc.inquiries import Category

SECRET: Final = "secret"  # noqa: S105 (the name of a mark, not a password)
Secret: TypeAlias = Annotated[str, Meta(extra={SECRET: True})]
"""A setting that is never shown."""

SECTIONS: Final[Mapping[str, str]] = {
    "classifier": "classifier",
    "router": "router",
    "cache": "cache",
    "store": "store",
    "exporter": "exporters",
    "source": "sources",
    "notifier": "notifiers",
    "tracer": "tracing",
}
"""The section in which each kind of provider is chosen and set."""

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86_400)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    """0 takes any free port and says which."""
    admin_host: str = "127.0.0.1"
    admin_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    """Set, metrics and what needs the scope `admin` are served there instead, beside health."""
    allowed_origins: tuple[str, ...] = ()
    """Whose pages may call from a browser, such as `https://desk.example.org`; none but our own unless named."""
    workers: Count = 1
    data_dir: str = "inquiry-data"
    first_byte_timeout_s: Seconds = 10.0
    header_timeout_s: Seconds = 10.0
    body_timeout_s: Seconds = 30.0
    unread_timeout_s: Seconds = 30.0
    """How long an answer may wait for its client to read on."""
    keepalive_timeout_s: Seconds = 75.0
    connections_per_address: Annotated[int, Meta(ge=0)] = 0
    """So many at once, of each worker; one more is closed. 0: any number, as behind a proxy, whose address all have."""
    announce_stop_s: Annotated[float, Meta(ge=0)] = 1.0
    """How long readiness says 503 before the port closes, so that a load balancer can look elsewhere."""
    stop_timeout_s: Seconds = 8.0
    """How long the rest of the stop may take: half of it for accepted requests to finish, then they are broken off.
    A second more where somebody connects at the last moment."""


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Who may call. On any address but this machine's own, the start is refused unless one of the first two is set."""

    keys_file: str = ""
    """Holds the API keys, as `inquiry-svc keys` writes it; read again when it changes. Empty: there are none."""
    anyone_may_call: bool = False
    """Without keys, from everywhere: for where something in front asks who calls."""
    open_metrics: bool = False
    """Where there are keys: metrics may be read without one."""


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """How often one key may call, or where there are none, one address. Workers of one service count together."""

    requests: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """In each window; 0: as often as it likes. Health is never counted; a bulk upload counts once."""
    per_sender: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """Submits with one `sender_email` in each window, whoever calls, each line of a bulk upload; 0: any number."""
    window_s: Annotated[int, Meta(ge=1, le=86_400)] = 60


@dataclass(frozen=True, slots=True)
class BatchingSettings:
    max_batch: Count = 64
    places: Count = 512
    """Texts in the service at once; one more is refused with 503. Then two batches' worth, or one where all only
    classify, until nobody is refused."""
    deadline_s: Seconds = 1.7
    """An inquiry not stored by then is answered 503."""


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    below_confidence: Share | dict[Category, Share] | None = None
    """A person should look where the category is less sure than this: one number, or a table by category.

    For a category that is not named, the threshold that the classifier carries, else 0.6.
    """
    below_evidence: Share = 0.5
    """A person should look where the classifier found less in the text to go by."""
    lease_s: Seconds = 900.0
    """How long a reviewer holds what they have claimed; after that, others may."""
    audit_share: Share = 0.02
    """Of all inquiries: so many, picked by chance, are looked at whatever the answer is. 0: none."""


@dataclass(frozen=True, slots=True)
class ClassifierSettings:
    provider: str = "xgboost"
    fallback: str = "keyword"
    """Answers when the provider fails; such answers say `degraded`."""
    timeout_s: Seconds = 1.0
    explain_timeout_s: Seconds = 5.0
    """For saying why, which nobody's inquiry waits for."""
    rest_s: Seconds = 5.0
    """After a time-out the provider is left alone for so long."""


@dataclass(frozen=True, slots=True)
class ModelsSettings:
    """When a model of the registry may answer. `inquiry-svc model promote` and a running canary are held to it."""

    judging: tuple[str, ...] = ()
    """Files of JSON lines with the right labels, by hands that no model has learnt from."""
    canary_share: Share = 0.1
    """Of the texts, by a hash: those that the challenger answers."""
    min_accuracy_category: Share = 0.85
    min_accuracy_sentiment: Share = 0.8
    min_accuracy_urgency: Share = 0.75
    """On the judging files. People mostly review what a model was unsure of, so feedback has no such floor."""
    max_accuracy_loss: Share = 0.02
    """How much less right than the champion it may be, on any axis, on the judging files and by feedback."""
    min_agreement: Share = 0.75
    """With the champion, on the category."""
    max_p99_s: Seconds = 0.25
    """One call in a hundred may take longer. Of a canary it is read off a histogram: up to the next bound."""
    max_error_rate: Share = 0.01
    """Of the texts: those that it can't classify."""
    min_texts: Count = 200
    min_feedback: Count = 50
    """Fewer texts, or fewer inquiries of which a person said the right label, decide nothing."""


@dataclass(frozen=True, slots=True)
class RouterSettings:
    provider: str = "rules"


@dataclass(frozen=True, slots=True)
class CacheSettings:
    provider: str = "memory"
    timeout_s: Seconds = 0.05


@dataclass(frozen=True, slots=True)
class StoreSettings:
    provider: str = "sqlite"
    timeout_s: Seconds = 1.5


@dataclass(frozen=True, slots=True)
class ExportersSettings:
    providers: tuple[str, ...] = ("aioprometheus",)
    """Several at once. A scrape gets the form that it asks for, of those that are chosen, or else the first."""


@dataclass(frozen=True, slots=True)
class SourcesSettings:
    providers: tuple[str, ...] = ()
    """All of them bring inquiries in, beside HTTP."""


@dataclass(frozen=True, slots=True)
class NotifiersSettings:
    providers: tuple[str, ...] = ()
    """All of them tell what they are set to. What they have not told yet waits in the store."""
    at_once: Count = 16
    """So many notices each of them may be telling at a time, in each process; one while nothing gets through."""
    timeout_s: Seconds = 10.0
    """For telling of one thing. After that it is told again later."""
    give_up_after_s: Annotated[float, Meta(gt=0)] = 259_200.0
    """What fails after it has waited for so long is set aside: see `inquiry-svc notices`."""


NO_TRACER: Final = "none"


@dataclass(frozen=True, slots=True)
class TracingSettings:
    provider: str = NO_TRACER
    """none: nothing is traced, and nothing is loaded or done for it."""


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"
    """auto: text on a terminal, JSON lines elsewhere."""
    requests: Literal["all", "problems", "none"] = "problems"
    """Which requests leave a line; problems: answered with 4xx or 5xx, or slower than `slow_s`."""
    slow_s: Seconds = 2.0
    file: str = ""
    """Such as app.log: the lines go there, too, beside standard error. All workers write to the one."""
    file_max_bytes: Annotated[int, Meta(ge=1024)] = 100 * 1024**2
    """A larger one becomes app.log.1, that app.log.2, and so on."""
    file_count: Count = 5
    """With the one that is written to; the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What commands that ask a running service say to it: `doctor`, `dashboard`, `console`. The service does not."""

    key: Secret = ""
    """An API key, where the service wants one: with the scope `metrics`, for `console` with submit, read and review.

    Whoever reaches the page of a console acts with it."""


@dataclass(frozen=True, slots=True)
class DoctorSettings:
    """What `inquiry-svc doctor` looks at. The service itself does not read it."""

    url: str = ""
    """The service; empty: where [server] says that it listens."""
    prometheus: str = "http://127.0.0.1:9090"
    alertmanager: str = "http://127.0.0.1:9093"
    folder: str = "."
    """Holds the folders `monitoring` and `alerting`."""
    backups: str = ""
    """The files of backups, such as `/backup/inquiries-*.sqlite3`; the newest is looked at."""
    max_backup_age_s: Annotated[float, Meta(gt=0)] = 86_400.0
    min_free_bytes: Count = 2 * 1024**3
    """On the disk of the data folder. Source: the alert DiskSpaceLow."""
    timeout_s: Seconds = 10.0
    """For each check; they run at once."""


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """The page of `inquiry-svc console`, a client of the service. The service itself does not read it."""

    url: str = "http://127.0.0.1:8000"
    """The service."""
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 8501
    timeout_s: Seconds = 5.0
    """For each answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration."""

    server: ServerSettings = field(default_factory=ServerSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    batching: BatchingSettings = field(default_factory=BatchingSettings)
    review: ReviewSettings = field(default_factory=ReviewSettings)
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)
    models: ModelsSettings = field(default_factory=ModelsSettings)
    router: RouterSettings = field(default_factory=RouterSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    exporters: ExportersSettings = field(default_factory=ExportersSettings)
    sources: SourcesSettings = field(default_factory=SourcesSettings)
    notifiers: NotifiersSettings = field(default_factory=NotifiersSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    client: ClientSettings = field(default_factory=ClientSettings)
    doctor: DoctorSettings = field(default_factory=DoctorSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    of_providers: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    """The settings of each installed provider, by section and name."""

    def chosen(self) -> list[tuple[str, str]]:
        """The kind and name of every provider that the service will open."""
        return [
            ("classifier", self.classifier.provider),
            ("classifier", self.classifier.fallback),
            ("router", self.router.provider),
            ("cache", self.cache.provider),
            ("store", self.store.provider),
            *(("exporter", name) for name in self.exporters.providers),
            *(("source", name) for name in self.sources.providers),
            *(("notifier", name) for name in self.notifiers.providers),
            *([("tracer", self.tracing.provider)] if self.tracing.provider != NO_TRACER else []),
        ]
