"""The faults: what breaks, which alert a person must hear of, what else may be said then and why, and the cure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.alive.stack import Stack
from tests.alive.traffic import ANGRY, CALM, PAUSE_S
from tests.alive.waiting import until

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


async def kill_the_store(stack: Stack) -> None:
    """While nobody writes: the alert does not wait for the first who is turned away."""
    stack.traffic.wanted.clear()
    await asyncio.to_thread(stack.postgres.kill)
    await until(lambda: _fires(stack, "DatabaseConnectionIssues"), "DatabaseConnectionIssues fires")
    stack.traffic.wanted.set()


async def start_the_store(stack: Stack) -> None:
    await asyncio.to_thread(stack.postgres.start)


async def kill_the_service(stack: Stack) -> None:
    stack.service.process.kill()


async def start_the_service(stack: Stack) -> None:
    stack.service = await stack.start_service()


async def flood_with_anger(stack: Stack) -> None:
    stack.traffic.texts = (CALM[0], ANGRY[0], CALM[1], ANGRY[1])
    stack.traffic.pause_s = 4 * PAUSE_S


async def calm_down(stack: Stack) -> None:
    """With more of the usual than usual, so that the hour need not pass."""
    stack.traffic.texts = CALM
    stack.traffic.pause_s = PAUSE_S / 2


async def settle_the_classifier(stack: Stack) -> None:
    stack.make("none")
    await calm_down(stack)


async def fail_the_classifier(stack: Stack) -> None:
    stack.make("the classifier raises")


async def unsettle_the_classifier(stack: Stack) -> None:
    stack.make("the classifier is unsure")


async def fail_every_second_answer(stack: Stack) -> None:
    stack.make("one answer in two fails")


async def slow_every_fourth_answer(stack: Stack) -> None:
    stack.make("one answer in four is slow")


async def end_the_trouble(stack: Stack) -> None:
    stack.make("none")


async def _fires(stack: Stack, alert: str) -> bool:
    return alert in await stack.firing()


AGAINST_THE_OBJECTIVE: Final = "the same, measured against the objective"

FAULTS: Final = (
    Fault(
        "escalation flood",
        "HighEscalationRate",
        "Escalation rate is unusually high",
        r"(\S+)% of inquiries are being escalated\.",
        flood_with_anger,
        calm_down,
        shows_within_s=40,
        least=20,
        most=60,
        may_come_too={
            "EscalationKpiMissed": AGAINST_THE_OBJECTIVE,
            "SatisfactionKpiMissed": "who writes in anger is not satisfied",
        },
    ),
    Fault(
        "confidence collapse",
        "LowModelConfidence",
        "Model confidence has dropped",
        r"Average confidence of xgboost is (\S+)%\.",
        unsettle_the_classifier,
        settle_the_classifier,
        shows_within_s=40,
        least=25,
        most=60,
        may_come_too={"ConfidenceKpiMissed": AGAINST_THE_OBJECTIVE},
    ),
    Fault(
        "slow answers",
        "HighLatency",
        "High API latency detected",
        r"95th percentile latency is (\S+)s\.",
        slow_every_fourth_answer,
        end_the_trouble,
        shows_within_s=15,
        least=5,
        most=10,
        may_come_too={"LatencyBudgetBurn": AGAINST_THE_OBJECTIVE},
    ),
    Fault(
        "store killed",
        "DatabaseConnectionIssues",
        "The database does not answer",
        "No instance of inquiry-svc has reached its database for more than 1 minute; inquiries are answered 503\\.",
        kill_the_store,
        start_the_store,
        silenced=frozenset({"HighErrorRate", "InquiriesFailing", "AvailabilityBudgetBurn"}),
    ),
    Fault(
        "5xx burst",
        "HighErrorRate",
        "High error rate detected",
        r"Error rate is (\S+)% over the last 5 minutes\.",
        fail_every_second_answer,
        end_the_trouble,
        least=30,
        most=60,
        may_come_too={
            "AvailabilityBudgetBurn": AGAINST_THE_OBJECTIVE,
            "ErrorRateKpiMissed": AGAINST_THE_OBJECTIVE,
        },
    ),
    Fault(
        "classifier fails over",
        "ClassifierFallback",
        "The classifier fails and the fallback answers",
        "Answers are marked degraded and go to review; they are less right than the classifier's\\.",
        fail_the_classifier,
        end_the_trouble,
    ),
    Fault(
        "target gone",
        "ServiceDown",
        "Service inquiry-svc is down",
        "No instance of inquiry-svc has answered a scrape for more than 2 minutes\\.",
        kill_the_service,
        start_the_service,
    ),
)
"""Those that take longest first."""

TRUE_OF_THE_MACHINE: Final = frozenset({"DiskSpaceLow", "DiskAlmostFull"})
"""May be said whatever the fault is: on a full disk they are right."""
