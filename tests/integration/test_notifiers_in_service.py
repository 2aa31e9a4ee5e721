"""What happens to an inquiry over HTTP is told to the chosen notifiers; where none is chosen, nothing is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from inquiry_svc.errors import Undeliverable
from inquiry_svc.guarded_store import GuardedStore
from inquiry_svc.inquiries import Outcome
from inquiry_svc.notice_metrics import NOTICE_DELIVERIES, NOTICES_AGE, NOTICES_SET_ASIDE, NOTICES_WAITING
from inquiry_svc.notices import Notice, NoticeFilters
from inquiry_svc.testing.providers import FunctionNotifier, Offering
from inquiry_svc.testing.running import Running, running_service

SUBMIT: Final = "/api/v1/inquiries/submit"
GIVEN: Final = {"notifiers.providers": ("given",)}
CALM: Final = {"body": "Which plans do you offer for a team of five?", "sender_email": "ana@example.org"}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)


async def submitted(running: Running, key: str | None = None) -> str:
    headers = {"Idempotency-Key": key} if key else {}
    async with running.client.post(SUBMIT, json=CALM, headers=headers) as response:
        assert response.status == 201
        inquiry_id: str = (await response.json())["inquiry_id"]
        return inquiry_id


async def sent(running: Running, path: str, body: dict[str, Any]) -> None:
    async with running.client.post(path, json=body) as response:
        assert response.status < 300, await response.text()


async def test_a_notifier_hears_of_an_inquiry_from_its_receipt_to_its_answer() -> None:
    told: list[tuple[str, str, bool]] = []

    async def notify(notice: Notice, outcome: Outcome) -> None:
        told.append((notice.kind, outcome.inquiry.inquiry_id, outcome.resolved_at is not None))

    notifier = FunctionNotifier(notify, kinds=("triaged", "reviewed", "resolved"))
    async with running_service(GIVEN, plugins=[Offering(notifier=notifier)]) as running:
        inquiry_id = await submitted(running, "k-1")
        await until(lambda: len(told) == 1)
        assert await submitted(running, "k-1") == inquiry_id
        await sent(running, f"/api/v1/inquiries/{inquiry_id}/feedback", {"category": "sales", "reviewer": "Ana"})
        await until(lambda: len(told) == 2)
        await sent(running, f"/api/v1/inquiries/{inquiry_id}/resolve", {})
        await until(lambda: len(told) == 3)
        delivered = running.service.metrics.series(NOTICE_DELIVERIES, notifier="given", result="delivered")
        await until(lambda: delivered.value == 3)
    assert told == [("triaged", inquiry_id, False), ("reviewed", inquiry_id, False), ("resolved", inquiry_id, True)]


async def test_what_waits_and_what_is_set_aside_is_in_the_metrics() -> None:
    may_answer = asyncio.Event()

    async def notify(notice: Notice, outcome: Outcome) -> None:
        if notice.kind == "triaged":
            raise Undeliverable("gone")
        await may_answer.wait()

    notifier = FunctionNotifier(notify, kinds=("triaged", "resolved"))
    async with running_service(GIVEN, plugins=[Offering(notifier=notifier)]) as running:
        inquiry_id = await submitted(running)
        await sent(running, f"/api/v1/inquiries/{inquiry_id}/resolve", {})
        metrics = running.service.metrics
        waiting, age_s, set_aside = (
            metrics.series(metric, notifier="given") for metric in (NOTICES_WAITING, NOTICES_AGE, NOTICES_SET_ASIDE)
        )
        await until(lambda: (waiting.value, set_aside.value) == (1, 1) and age_s.value > 0)
        may_answer.set()
        await until(lambda: (waiting.value, age_s.value, set_aside.value) == (0, 0, 1))


async def test_where_no_notifier_is_chosen_no_notice_is_made_and_nothing_stands_before_the_store() -> None:
    notifier = FunctionNotifier()
    async with running_service(plugins=[Offering(notifier=notifier)]) as running:
        await submitted(running)
        assert type(running.service.store) is GuardedStore
        assert await running.service.store.notices(NoticeFilters(), limit=1) == []
    assert notifier.called == []


async def test_what_is_being_told_when_the_service_stops_is_given_back() -> None:
    begun = asyncio.Event()

    async def notify(notice: Notice, outcome: Outcome) -> None:
        begun.set()
        await asyncio.Event().wait()

    plugin = Offering(notifier=FunctionNotifier(notify, kinds=["triaged"]))
    async with running_service({**GIVEN, "server.stop_timeout_s": 0.1}, plugins=[plugin]) as running:
        store = running.service.store
        await submitted(running)
        async with asyncio.timeout(20):
            await begun.wait()
        running.service.begin_to_stop()
    (left,) = await store.notices(NoticeFilters(), limit=9)
    assert (left.attempts, left.claimed_until) == (0, None)
