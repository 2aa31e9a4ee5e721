"""A receiver that is down, fails, is slow or means harm: each thing is told in the end, in order, or seen not to be.

The service waits a thousandth of what it waits otherwise between two attempts, so an hour is 3.6 seconds.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any, Final

import pytest

from inquiry_svc.notice_metrics import NOTICE_DELIVERIES
from inquiry_svc.notices import NoticeFilters, NoticeKind, Undelivered
from inquiry_svc.notifying import Notifying, Pace
from inquiry_svc.testing.running import Running, running_service
from tests.plugins.test_notifier_webhook import METADATA, ignore, listening
from tests.servers.webhook import SECRET, WebhookReceiver, webhook_receiver

HURRY: Final = 1000
HOUR_S: Final = 3600 / HURRY
KINDS: Final[tuple[NoticeKind, ...]] = ("triaged", "reviewed", "resolved")
"""In the order in which `live` has them happen."""


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Pace()
    hurried = {name: max(0.005, seconds / HURRY) for name, seconds in asdict(usual).items()}
    pace = replace(Pace(**hurried), claim_beyond_s=usual.claim_beyond_s)
    defaults = Notifying.__init__.__kwdefaults__
    assert defaults
    monkeypatch.setitem(defaults, "pace", pace)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@asynccontextmanager
async def telling(url: str, **changes: Any) -> AsyncIterator[Running]:
    own = {"url": url, "secret": SECRET, "kinds": KINDS, "allow_private": True}
    settings = {"notifiers.providers": ("webhook",), **{f"notifiers.webhook.{name}": own[name] for name in own}}
    changed = {name.replace("__", "."): value for name, value in changes.items()}
    async with running_service({**settings, **changed}) as running:
        yield running


async def live(running: Running, count: int) -> list[str]:
    """So many inquiries, each written, reviewed and resolved; their ids."""
    ids: list[str] = []
    for _ in range(count):
        body = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
        inquiry_id = str((await post(running, "submit", body))["inquiry_id"])
        await post(running, f"{inquiry_id}/feedback", {"category": "billing", "reviewer": "Ana"})
        await post(running, f"{inquiry_id}/resolve", {})
        ids.append(inquiry_id)
    return ids


async def post(running: Running, call: str, body: dict[str, str]) -> dict[str, Any]:
    async with running.client.post(f"/api/v1/inquiries/{call}", json=body) as answer:
        assert answer.status in (200, 201), await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def undelivered(running: Running, **filters: Any) -> Sequence[Undelivered]:
    return await running.service.store.notices(NoticeFilters(**filters), limit=10_000)


async def all_told(running: Running) -> None:
    async def nothing_waits() -> bool:
        return not await undelivered(running)

    await until(nothing_waits)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 (a server tells nobody)
            await asyncio.sleep(0.01)


def assert_told(receiver: WebhookReceiver, ids: Sequence[str]) -> None:
    """Each thing was accepted, once after the other, and under one id however often it came."""
    arrived, accepted = defaultdict[str, list[NoticeKind]](list), set[tuple[str, NoticeKind]]()
    names = defaultdict[str, set[tuple[str, NoticeKind]]](set)
    for request in receiver.requests:
        kind: NoticeKind = request.content["type"].removeprefix("inquiry.")
        arrived[request.inquiry_id].append(kind)
        names[request.webhook_id].add((request.inquiry_id, kind))
        if request.answered == 204:
            accepted.add((request.inquiry_id, kind))
    assert accepted == {(inquiry_id, kind) for inquiry_id in ids for kind in KINDS}
    assert {len(each) for each in names.values()} == {1}
    assert len(names) == len(accepted)
    for kinds in arrived.values():
        assert kinds == sorted(kinds, key=KINDS.index)


def failures(running: Running) -> float:
    return running.service.metrics.series(NOTICE_DELIVERIES, notifier="webhook", result="failed").value


async def test_a_receiver_that_was_down_for_an_hour_is_told_everything_then(receiver: WebhookReceiver) -> None:
    await receiver.stop()
    async with telling(receiver.url) as running:
        ids = await live(running, 20)
        await asyncio.sleep(HOUR_S)  # load
        ids += await live(running, 5)
        assert len(await undelivered(running)) == 75
        print(f"{failures(running):g} attempts while it was down")
        assert failures(running) < 500, "it was overrun"
        await receiver.start()
        await all_told(running)
    assert_told(receiver, ids)


async def test_answers_of_500_delay_what_they_were_for_and_lose_nothing(receiver: WebhookReceiver) -> None:
    receiver.statuses = [500, 204, 503, 429, 204, 500] * 10 + [502] * 20
    async with telling(receiver.url) as running:
        ids = await live(running, 20)
        await all_told(running)
        assert failures(running) == 60
    assert_told(receiver, ids)


async def test_what_a_slow_receiver_was_told_in_vain_comes_again_as_the_same(receiver: WebhookReceiver) -> None:
    receiver.open.clear()
    async with telling(receiver.url, notifiers__timeout_s=0.1) as running:
        ids = await live(running, 5)

        async def some_came_twice() -> bool:
            return len(receiver.requests) > len({each.webhook_id for each in receiver.requests})

        await until(some_came_twice)
        receiver.open.set()
        await all_told(running)
    assert_told(receiver, ids)


@pytest.mark.parametrize("status", [302, 307])
async def test_a_receiver_that_sends_elsewhere_has_heard_nothing_and_nobody_else_has(
    receiver: WebhookReceiver, status: int
) -> None:
    async with webhook_receiver() as elsewhere, telling(receiver.url) as running:
        for target in (f"http://{METADATA}/latest/meta-data/", elsewhere.url):
            receiver.status, receiver.headers = status, {"Location": target}
            receiver.requests.clear()
            ids = await live(running, 1)

            async def it_was_tried_twice() -> bool:
                return len(receiver.requests) >= 2

            await until(it_was_tried_twice)
            [waiting, *_] = await undelivered(running)
            assert waiting.reason == f"the receiver answered {status}"
            receiver.status, receiver.headers = 204, {}
            await all_told(running)
            assert_told(receiver, ids)
        assert elsewhere.requests == []


async def test_an_address_inside_the_network_is_never_connected_to_and_that_is_to_be_seen() -> None:
    async with listening(ignore) as listener:
        url = f"https://localhost:{listener.port}/"
        private = {"notifiers__webhook__allow_private": False, "notifiers__give_up_after_s": 0.2}
        async with telling(url, **private) as running:
            await live(running, 2)

            async def all_is_set_aside() -> bool:
                return len(await undelivered(running, set_aside=True)) == 6

            await until(all_is_set_aside)
            for each in await undelivered(running):
                assert "is not a public address" in str(each.reason)
        assert listener.connections == 0


async def test_what_will_never_be_taken_is_set_aside_at_once_and_can_be_told_again(receiver: WebhookReceiver) -> None:
    receiver.statuses = [410]
    async with telling(receiver.url) as running:
        ids = await live(running, 1)

        async def the_rest_is_told() -> bool:
            return len(receiver.accepted) == 2 and len(await undelivered(running)) == 1

        await until(the_rest_is_told)
        [aside] = await undelivered(running)
        assert (aside.notice.kind, aside.attempts) == ("triaged", 1)
        assert aside.set_aside_at is not None
        assert aside.reason == "the receiver answered 410: it will never take this"
        await running.service.store.retry_notices(NoticeFilters(set_aside=True), now=aside.set_aside_at, limit=10)
        await all_told(running)
    assert [each.content["type"] for each in receiver.accepted] == [
        f"inquiry.{kind}" for kind in (*KINDS[1:], KINDS[0])
    ]
    assert receiver.requests[0].webhook_id == receiver.requests[-1].webhook_id
    assert {each.inquiry_id for each in receiver.requests} == set(ids)
