"""The faults: what breaks, which alert a person must hear of, what else may be said then and why, and the cure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.alive import breaking
from tests.alive.hurrying import FACTOR
from tests.alive.stack import Stack

Act = Callable[[Stack], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    alert: str
    """The one of which a person must hear."""
    summary: str
    description: str
    """A pattern; its group, where it has one, is a number between `least` and `most`."""
    make: Act
    cure: Act
    shows_within_s: float = 5.0
    """The condition of the alert is true so soon: two scrapes and a verdict, or as long as it takes to tip a mean."""
    least: float = 0
    most: float = 0
    """As true as buckets and the time before the fault allow."""
    silenced: frozenset[str] = frozenset()
    """Symptoms: they fire, and nobody is told, because whoever reads of the alert knows."""
    may_come_too: Mapping[str, str] = field(default_factory=dict)
    """Alerts that would be right as well, and why."""
    prepare: Act = breaking.nothing
    """Done before, while all is well."""
    once_calm: bool = False
    """Made once the faults before it in its stack are over: its alert would silence theirs."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the service, in its environment."""
    is_long: bool = False
    """It takes more than a minute and a half to fire, or to be over."""


AGAINST_THE_OBJECTIVE: Final = "the same, measured against the objective"
A_SLOW_CHECK: Final = "a slow classifier's check takes most of the second that it has"

EVERY_5_S: Final = 5.0 + 5.0
"""What the service measures so often is shown two scrapes later."""

STACKS: Final[tuple[tuple[Fault, ...], ...]] = (
    (
        Fault(
            "every answer slow",
            "LatencyBudgetBurn",
            "Too many requests are slow",
            r"(\S+)% of the requests took longer than 2 s over the last 1h; the objective allows 5 %\.",
            breaking.slow_every_answer,
            breaking.quicken_every_answer,
            prepare=breaking.be_quiet_for_an_hour,
            shows_within_s=20,
            least=72,
            most=100,
            is_long=True,
        ),
    ),
    (
        Fault(
            "classifier slow for a day",
            "InferenceBudgetBurn",
            "The classifier xgboost is too slow",
            r"(\S+)% of the calls to it took longer than 500 ms over the last 1d; the objective allows 1 %\.",
            breaking.slow_the_day,
            breaking.make_up_for_the_day,
            shows_within_s=40,
            least=3,
            most=80,
            may_come_too={"ClassifierFallback": A_SLOW_CHECK},
            is_long=True,
        ),
    ),
    (
        Fault(
            "nonsense queued",
            "MessagesPutAside",
            r"Messages were put aside \(invalid\)",
            r"About \S+ within an hour became no inquiry; they are in the dead-letter stream, each with its reason\.",
            breaking.queue_what_is_no_inquiry,
            breaking.nothing,
            prepare=breaking.await_the_group,
            is_long=True,
        ),
        Fault(
            "disk fills up",
            "DiskSpaceLow",
            r"The disk of \S+ is filling up",
            r"(\S+)GiB is left for the data folder: less than 2 GiB, or gone within a day at this pace\.",
            breaking.let_the_disk_fill_up,
            breaking.end_the_trouble,
            shows_within_s=EVERY_5_S,
            least=1,
            most=1,
            is_long=True,
        ),
        Fault(
            "answered too late",
            "SlaBudgetBurn",
            "Inquiries are resolved too late",
            r"(\S+)% of the inquiries resolved were late over the last 1d; the objective allows 5 %\.",
            breaking.answer_too_late,
            breaking.answer_many_in_time,
            shows_within_s=10,
            least=90,
            most=100,
            is_long=True,
        ),
        Fault(
            "found wrong",
            "AccuracyKpiMissed",
            "The classifier xgboost is wrong too often",
            r"Reviewers found (\S+)% of its categories of the last 7 days right; the KPI is 85 %\.",
            breaking.find_the_categories_wrong,
            breaking.find_the_categories_right,
            shows_within_s=15,
            least=0,
            most=20,
            is_long=True,
        ),
    ),
    (
        Fault(
            "escalation flood",
            "HighEscalationRate",
            "Escalation rate is unusually high",
            r"(\S+)% of inquiries are being escalated\.",
            breaking.flood_with_anger,
            breaking.calm_down,
            shows_within_s=40,
            least=20,
            most=60,
            may_come_too={
                "EscalationKpiMissed": AGAINST_THE_OBJECTIVE,
                "SatisfactionKpiMissed": "who writes in anger is not satisfied",
            },
        ),
    ),
    (
        Fault(
            "nobody reviews",
            "ReviewQueueOld",
            "Uncertain decisions wait for a person",
            r"The oldest has waited for 4d 0h \S+ \S+\.",
            breaking.let_a_review_grow_old,
            breaking.review_all,
            prepare=breaking.have_something_reviewed,
            shows_within_s=EVERY_5_S,
        ),
        Fault(
            "cache killed",
            "CacheLost",
            "The cache does not answer",
            r"Inquiries are served without it, each classified anew\.",
            breaking.kill_the_cache,
            breaking.start_the_cache,
        ),
        Fault(
            "cache spoilt",
            "CacheAnswersInvalid",
            "The cache gave back what was not put there",
            r"\S+ values of the last 15 minutes were refused and classified anew\.",
            breaking.spoil_the_cache,
            breaking.write_no_two_alike,
            prepare=breaking.fill_the_cache,
        ),
        Fault(
            "watcher fails",
            "PluginErrors",
            "Plugin trouble fails",
            r"It raised in on_stored \S+ times within 15 minutes; inquiries are served without it\.",
            breaking.fail_a_watcher,
            breaking.end_the_trouble,
        ),
        Fault(
            "model gone",
            "ModelRefused",
            "A model of the registry is refused",
            r"It is broken, missing or another than the registry says; what was open before serves on\.",
            breaking.name_a_model_that_is_gone,
            breaking.name_none,
            shows_within_s=8,
        ),
        Fault(
            "notices refused",
            "NoticesSetAside",
            "Notifier webhook could not deliver",
            r"Set aside: (\S+)\. They are told again, or dropped, when somebody says so\.",
            breaking.refuse_every_notice,
            breaking.have_them_told_again,
            shows_within_s=EVERY_5_S,
            least=1,
            most=10_000,
        ),
        Fault(
            "fallback fails",
            "FallbackClassifierDown",
            "The fallback classifier does not answer",
            r"Nothing is lost yet, but nobody would answer if the classifier failed too\.",
            breaking.fail_the_fallback,
            breaking.end_the_trouble,
        ),
        Fault(
            "classifier fails over",
            "ClassifierFallback",
            "The classifier fails and the fallback answers",
            "Answers are marked degraded and go to review; they are less right than the classifier's\\.",
            breaking.fail_the_classifier,
            breaking.end_the_trouble,
        ),
    ),
    (
        Fault(
            "workers killed",
            "WorkersRestarting",
            r"Workers of \S+ keep dying",
            r"(\S+) died within 15 minutes and were started again; what they were working on was answered by nobody\.",
            breaking.kill_each_new_worker,
            breaking.nothing,
            shows_within_s=8,
            least=2,
            most=4,
        ),
        Fault(
            "stream killed",
            "SourceFailing",
            "Source redis_stream brings nothing in",
            r"It failed (\S+) times within 5 minutes and is started again and again; what is queued waits\.",
            breaking.kill_the_stream,
            breaking.start_the_stream,
            shows_within_s=15,
            least=11,
            most=30,
        ),
        Fault(
            "stream held up",
            "StreamBehind",
            "The Redis stream is not kept up with",
            r"Its oldest message has waited for 10m \S+; due times count from when it was added\.",
            breaking.hold_a_message_elsewhere,
            breaking.lose_what_is_held,
            prepare=breaking.await_the_group,
            settings={"INQUIRY_SOURCES__REDIS_STREAM__CLAIM_IDLE_S": "120"},
            shows_within_s=EVERY_5_S,
        ),
        Fault(
            "disk full",
            "DiskAlmostFull",
            r"The disk of \S+ is almost full",
            r"(\S+)MiB is left for the data folder; with none left no inquiry is stored\.",
            breaking.fill_the_disk,
            breaking.end_the_trouble,
            shows_within_s=EVERY_5_S,
            least=100,
            most=100,
        ),
        Fault(
            "connections pile up",
            "FileDescriptorsLow",
            r"\S+ runs out of file descriptors",
            r"(\S+)% of them are open; at 100 % it accepts no connection\.",
            breaking.open_many_connections,
            breaking.end_what_was_begun,
            least=80,
            most=100,
        ),
    ),
    (
        Fault(
            "tables locked",
            "DatabasePoolSaturated",
            r"The reader connections of \S+ are nearly all in use",
            r"(\S+)% of them have been at work for 5 minutes; calls begin to wait\.",
            breaking.lock_the_tables,
            breaking.end_what_was_begun,
            shows_within_s=EVERY_5_S,
            least=90,
            most=100,
        ),
        Fault(
            "lines refused",
            "InquiriesFailing",
            "Inquiries are not stored",
            r"(\S+)% of the inquiries of the last 5 minutes were not acknowledged\.",
            breaking.refuse_every_second_line,
            breaking.take_every_line,
            least=30,
            most=60,
        ),
        Fault(
            "way cut",
            "ProbeFailing",
            r"Clients get no answer at \S+",
            r"For more than 2 minutes no inquiry that the prober sent there was classified\.",
            breaking.cut_the_way,
            breaking.mend_the_way,
            prepare=breaking.probe_through_a_proxy,
            shows_within_s=2 * 30 / FACTOR + 5,
        ),
        Fault(
            "target lost",
            "ServiceAbsent",
            "Nobody watches inquiry-svc",
            r"Prometheus has had no target of the job inquiry-svc for more than 2 minutes\.",
            breaking.lose_the_target,
            breaking.find_the_target,
            once_calm=True,
        ),
        Fault(
            "target gone",
            "ServiceDown",
            "Service inquiry-svc is down",
            "No instance of inquiry-svc has answered a scrape for more than 2 minutes\\.",
            breaking.kill_the_service,
            breaking.start_the_service,
            once_calm=True,
        ),
        Fault(
            "one of two gone",
            "ServiceInstanceDown",
            "One instance of inquiry-svc is down",
            r"\S+ has been down for more than 2 minutes; others answer\.",
            breaking.kill_the_other_instance,
            breaking.start_it_again,
            prepare=breaking.start_another_instance,
            once_calm=True,
        ),
    ),
    (
        Fault(
            "a few answers fail",
            "AvailabilityBudgetBurn",
            "Availability is being lost too fast",
            r"(\S+)% of the valid requests met a fault of the service over the last 1h; the objective allows 0\.1 %\.",
            breaking.fail_an_answer_in_thirty,
            breaking.end_the_rare_trouble,
            shows_within_s=30,
            least=1.4,
            most=4,
        ),
    ),
    (
        Fault(
            "confidence collapse",
            "LowModelConfidence",
            "Model confidence has dropped",
            r"Average confidence of xgboost is (\S+)%\.",
            breaking.unsettle_the_classifier,
            breaking.settle_the_classifier,
            shows_within_s=40,
            least=25,
            most=60,
            may_come_too={"ConfidenceKpiMissed": AGAINST_THE_OBJECTIVE},
        ),
    ),
    (
        Fault(
            "slow answers",
            "HighLatency",
            "High API latency detected",
            r"95th percentile latency is (\S+)s\.",
            breaking.slow_every_fourth_answer,
            breaking.end_the_trouble,
            shows_within_s=15,
            least=5,
            most=10,
            may_come_too={"LatencyBudgetBurn": AGAINST_THE_OBJECTIVE},
        ),
    ),
    (
        Fault(
            "places taken",
            "QueueSaturated",
            "The queue is full and work is refused",
            r"(\S+)% of the texts of the last 5 minutes were refused for want of a place\.",
            breaking.slow_the_classifier,
            breaking.quicken_the_classifier,
            shows_within_s=15,
            least=1,
            most=100,
            may_come_too={
                "HighErrorRate": "who is refused is answered 503",
                "ClassifierFallback": A_SLOW_CHECK,
                "AvailabilityBudgetBurn": AGAINST_THE_OBJECTIVE,
                "ErrorRateKpiMissed": AGAINST_THE_OBJECTIVE,
            },
            settings={"INQUIRY_BATCHING__PLACES": "4"},
        ),
    ),
    (
        Fault(
            "store killed",
            "DatabaseConnectionIssues",
            "The database does not answer",
            "No instance of inquiry-svc has reached its database for more than 1 minute; inquiries are answered 503\\.",
            breaking.kill_the_store,
            breaking.start_the_store,
            silenced=frozenset({"HighErrorRate", "InquiriesFailing", "AvailabilityBudgetBurn"}),
        ),
    ),
    (
        Fault(
            "5xx burst",
            "HighErrorRate",
            "High error rate detected",
            r"Error rate is (\S+)% over the last 5 minutes\.",
            breaking.fail_every_second_answer,
            breaking.end_the_trouble,
            least=30,
            most=60,
            may_come_too={
                "AvailabilityBudgetBurn": AGAINST_THE_OBJECTIVE,
                "ErrorRateKpiMissed": AGAINST_THE_OBJECTIVE,
            },
        ),
    ),
)
"""Those that take longest first. No alert of a stack silences another one of it, unless it waits until all is calm."""

FAULTS: Final = tuple(fault for stack in STACKS for fault in stack)

TRUE_OF_THE_MACHINE: Final = frozenset({"DiskSpaceLow", "DiskAlmostFull"})
"""May be said whatever the fault is: on a full disk they are right."""

NEVER_ALIVE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("HighNodeCPUUsage", "HighPodRestartRate"), "Kubernetes tells of itself"),
    "HighServiceMeshErrorRate": "Istio tells of itself",
    **dict.fromkeys(("ArgoCDSyncFailed", "ArgoCDSyncError", "ArgoCDSyncAttemptFailed"), "Argo CD tells of itself"),
    "InquiryDrift": "it compares a day with a week",
    "ConfidenceKpiMissed": "the same of a day as LowModelConfidence of half an hour",
    "EscalationKpiMissed": "the same of a day as HighEscalationRate of an hour",
    "CanaryRolledBack": "a challenger is taken down in tests/integration",
    "SatisfactionKpiMissed": "a department's mean ends only with happier mail to it, of which escalation gets none",
    **dict.fromkeys(
        ("ErrorRateKpiMissed", "ThroughputKpiMissed"),
        "a critical alert of the same component comes first, and silences it",
    ),
    "NoticesLate": "a receiver that hangs must do so for a quarter of an hour; tests/integration has one that is down",
    "Watchdog": "it fires before every fault",
}
"""What promtool alone shows to fire (`alerting/tests`), and why."""
