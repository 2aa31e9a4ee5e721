"""The source `redis_stream` on a real server: each message one inquiry, whatever happens to either of them."""

from __future__ import annotations

import asyncio
import inspect
import re
import shlex
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from redis import asyncio as aioredis

from inquiry_svc.contracts import Host, Source
from inquiry_svc.errors import ConfigurationError, InquiryInvalid, StoreUnavailable
from inquiry_svc.inquiries import Outcome
from inquiry_svc.intake.bodies import SubmitIn
from inquiry_svc.intake.checking import checked
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.samples import sample_outcome
from inquiry_svc.testing.sources import Desk, Place, SourceContract, bringing, until
from inquiry_svc_plugins.sources import redis_stream
from inquiry_svc_plugins.sources.redis_stream import (
    COMMITTED,
    DEAD_LETTERS,
    LAG,
    PENDING,
    RECEIVED,
    RedisStreamSettings,
    open_redis_stream,
    register_metrics,
)
from tests.servers.redis import RedisServer, redis_server

QUICK: Final[dict[str, Any]] = {"block_s": 0.05, "claim_idle_s": 0.3}


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    with redis_server() as server:
        await server.start()
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[aioredis.Redis]:
    async with aioredis.Redis.from_url(server.url) as client:
        yield client


class RedisPlace:
    def __init__(self, redis: aioredis.Redis, url: str, folder: Path, **settings: Any) -> None:
        self.redis = redis
        self.settings = {"url": url, **QUICK, **settings}
        self.host = Host(folder, Metrics(register_metrics()))
        self.consumers = count()

    async def put(self, bodies: Sequence[bytes]) -> None:
        async with self.redis.pipeline() as pipeline:
            for body in bodies:
                pipeline.xadd("inquiries", {"inquiry": body, "trace": "an unknown field"})
            await pipeline.execute()

    def open_source(self) -> AbstractAsyncContextManager[Source]:
        settings = RedisStreamSettings(**self.settings, consumer=f"consumer {next(self.consumers)}")
        return open_redis_stream(settings, self.host)

    async def left(self) -> int:
        """Those that nobody has taken, and those that are taken."""
        groups: Any = await self.redis.xinfo_groups("inquiries")
        waiting: Any = await self.redis.xrange(
            "inquiries", min=b"(" + groups[0]["last-delivered-id"] if groups else "-"
        )
        return len(waiting) + sum(int(group["pending"]) for group in groups)

    async def put_aside(self) -> Sequence[bytes]:
        return [letter[b"inquiry"] for letter in await self.dead_letters()]

    async def dead_letters(self) -> list[dict[bytes, bytes]]:
        dead: Any = await self.redis.xrange("inquiries:dead")
        return [fields for _, fields in dead]

    async def consumers_of_the_group(self) -> dict[bytes, int]:
        """How many messages each of them holds."""
        found: Any = await self.redis.xinfo_consumers("inquiries", RedisStreamSettings().group)
        return {each["name"]: each["pending"] for each in found}


async def until_nothing_is_left(place: RedisPlace) -> None:
    async def nothing_is_left() -> bool:
        return await place.left() == 0

    await until(nothing_is_left, "nothing is left")


@pytest.fixture
async def place(redis: aioredis.Redis, server: RedisServer, tmp_path: Path) -> RedisPlace:
    return RedisPlace(redis, server.url, tmp_path)


class TestRedisStream(SourceContract):
    @pytest.fixture
    async def place(self, redis: aioredis.Redis, server: RedisServer, tmp_path: Path) -> Place:
        return RedisPlace(redis, server.url, tmp_path)


class TestRedisStreamThatOthersReadToo(SourceContract):
    @pytest.fixture
    async def place(self, redis: aioredis.Redis, server: RedisServer, tmp_path: Path) -> Place:
        return RedisPlace(redis, server.url, tmp_path, delete_committed=False, batch_size=7)


# Deliveries


async def test_two_share_the_messages_and_neither_takes_what_the_other_holds(place: RedisPlace) -> None:
    """One holds its messages for many times `claim_idle_s`, while the service can't take them in."""
    stuck, well = Desk(), Desk()
    bodies = [b"stuck %d" % number for number in range(3)]
    stuck.failures = {body: [StoreUnavailable("away")] * 10 for body in bodies}
    await place.put(bodies)
    async with bringing(place, stuck):
        await until(stuck.is_busy, "the first has taken them")
        async with bringing(place, well):
            await place.put([b"well %d" % number for number in range(50)])
            await until_nothing_is_left(place)
    assert Counter(stuck.kept.values()) == Counter(bodies)
    assert len(stuck.brought) == 33
    assert len(well.kept) == 50
    assert len(well.brought) == 50
    assert await place.put_aside() == [], "an outage of the service counted as deliveries"


async def test_what_is_committed_is_no_dead_letter_however_often_redis_refuses_to_hear_of_it(place: RedisPlace) -> None:
    desk = Desk()
    await place.redis.acl_setuser("limited", enabled=True, nopass=True, keys="*", commands=["+@all", "-xack"])
    url = place.settings["url"].replace("redis://", "redis://limited:any@")
    place.settings |= {"url": url, "max_deliveries": 2}
    await place.put([b"one"])
    async with bringing(place, desk):

        async def it_was_brought_often() -> bool:
            return len(desk.brought) > 5

        await until(it_was_brought_often, "it is brought again and again")
        await place.redis.acl_setuser("limited", commands=["+xack"])
        await until_nothing_is_left(place)
    assert list(desk.kept.values()) == [b"one"]
    assert await place.put_aside() == []


async def test_an_outage_of_the_service_is_no_messages_fault_however_often_it_starts_anew_meanwhile(
    place: RedisPlace,
) -> None:
    desk = Desk()
    desk.failures = {b"one": [StoreUnavailable("away")] * 1000}
    place.settings |= {"max_deliveries": 2}
    await place.put([b"one"])
    for crash in range(1, 6):

        async def it_was_held_for_a_while(tries: int = 3 * crash) -> bool:
            return len(desk.brought) >= tries

        async with bringing(place, desk):
            await until(it_was_held_for_a_while, "it is tried again and again")
    desk.failures.clear()
    async with bringing(place, desk):
        await until_nothing_is_left(place)
    assert list(desk.kept.values()) == [b"one"]
    assert await place.put_aside() == []


async def test_a_message_that_ends_the_process_is_put_aside_in_the_end_and_no_other_with_it(place: RedisPlace) -> None:
    desk, bodies = Desk(), [b"message %d" % number for number in range(10)]
    await place.put([*bodies[:4], b"killer", *bodies[4:]])
    place.settings |= {"max_deliveries": 3}
    killed = 0

    async def killing(body: bytes, *, key: str, **_: Any) -> Outcome:
        if body == b"killer":
            killing_now.set()
            await asyncio.Event().wait()
        return await desk.submit(body, key=key)

    killing_now = asyncio.Event()
    async with asyncio.timeout(20):
        while await place.left():
            killing_now.clear()
            async with place.open_source() as source:
                tasks = [
                    asyncio.create_task(each) for each in (source.run(killing, asyncio.Event()), killing_now.wait())
                ]
                tasks.append(asyncio.create_task(until_nothing_is_left(place)))
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                killed += killing_now.is_set()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    assert killed == 3
    assert await place.put_aside() == [b"killer"]
    assert Counter(desk.kept.values()) == Counter(bodies)
    assert place.host.metrics.series(DEAD_LETTERS, reason="too_many_deliveries").value == 1
    [letter] = await place.dead_letters()
    assert letter[b"dead:reason"].startswith(b"it was delivered 4 times and never done with")


async def test_a_message_is_received_when_it_was_added_unless_its_id_is_no_time(place: RedisPlace) -> None:
    moments: dict[bytes, datetime | None] = {}

    async def noting(body: bytes, *, key: str, received_at: datetime | None = None, **_: Any) -> Outcome:
        moments[body] = received_at
        return sample_outcome()

    for message_id, body in (("7-1", b"counted"), ("1700000000123-0", b"in 2023"), ("99999999999999-0", b"in 5138")):
        await place.redis.xadd("inquiries", {"inquiry": body}, id=message_id)
    stopping = asyncio.Event()
    async with place.open_source() as source:
        running = asyncio.create_task(source.run(noting, stopping))
        await until_nothing_is_left(place)
        stopping.set()
        await running
    assert moments[b"counted"] is None
    assert moments[b"in 2023"] == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
    in_5138 = moments[b"in 5138"]
    assert in_5138 is not None
    assert abs(datetime.now(UTC) - in_5138) < timedelta(seconds=20), "the present at the latest"


async def test_the_trace_of_who_sent_a_message_is_handed_on(place: RedisPlace) -> None:
    callers: dict[bytes, Mapping[str, str] | None] = {}

    async def noting(body: bytes, *, key: str, caller: Mapping[str, str] | None = None, **_: Any) -> Outcome:
        callers[body] = caller
        return sample_outcome()

    trace = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "tracestate": "vendor=value"}
    fields: dict[Any, Any] = {"inquiry": b"traced", **trace, "other": "x"}
    await place.redis.xadd("inquiries", fields)
    await place.redis.xadd("inquiries", {"inquiry": b"nonsense", "traceparent": b"\xff\x00"})
    await place.redis.xadd("inquiries", {"inquiry": b"plain"})
    stopping = asyncio.Event()
    async with place.open_source() as source:
        running = asyncio.create_task(source.run(noting, stopping))
        await until_nothing_is_left(place)
        stopping.set()
        await running
    assert callers == {b"traced": trace, b"nonsense": {"traceparent": "\xff\x00"}, b"plain": {}}


# Dead letters


async def test_a_dead_letter_has_the_whole_message_and_says_where_it_was_and_why(place: RedisPlace) -> None:
    desk = Desk()
    desk.failures = {b"{}": [InquiryInvalid(["/body is required", "/sender_email is required"])]}
    async with bringing(place, desk):
        ids = [
            await place.redis.xadd("inquiries", fields)  # type: ignore[arg-type]  # bytes are what it takes
            for fields in ({b"inquiry": b"{}", b"trace": b"\xff"}, {b"enquiry": b"misspelt"})
        ]
        await until_nothing_is_left(place)
    here = {b"dead:stream": b"inquiries"}
    assert await place.dead_letters() == [
        {
            b"inquiry": b"{}",
            b"trace": b"\xff",
            b"dead:id": ids[0],
            **here,
            b"dead:reason": b"/body is required; /sender_email is required",
        },
        {b"enquiry": b"misspelt", b"dead:id": ids[1], **here, b"dead:reason": b"it has no field 'inquiry'"},
    ]
    assert place.host.metrics.series(DEAD_LETTERS, reason="invalid").value == 2


async def test_a_message_that_was_deleted_while_it_was_held_is_told_of(place: RedisPlace) -> None:
    desk = Desk()
    desk.open.clear()
    await place.put([b"one", b"two"])
    async with bringing(place, desk):
        await until(desk.is_busy, "they are taken")
    [(lost, _), _] = await place.redis.xrange("inquiries")  # type: ignore[misc]  # both are there
    await place.redis.xdel("inquiries", lost)  # type: ignore[arg-type]  # it has an id
    desk.open.set()
    async with bringing(place, desk):
        await until_nothing_is_left(place)
    assert list(desk.kept.values()) == [b"two"]
    [letter] = await place.dead_letters()
    assert letter[b"dead:id"] == lost
    assert letter[b"dead:reason"] == b"it was deleted from the stream before it was done with"


async def test_a_dead_letter_that_cannot_be_written_is_kept_where_it_is_and_the_rest_flows(place: RedisPlace) -> None:
    desk = Desk()
    desk.failures = {b"poison": [InquiryInvalid(["no"])] * 1000}
    await place.redis.set("inquiries:dead", "a string, so no letter can be added")
    place.settings |= {"max_deliveries": 2}
    async with bringing(place, desk):
        await place.put([b"poison", b"one", b"two"])

        async def the_rest_is_kept() -> bool:
            return len(desk.kept) == 2 and await place.left() == 1 and len(desk.brought) > 8

        await until(the_rest_is_kept, "the rest flows")
        await place.redis.delete("inquiries:dead")
        await until_nothing_is_left(place)
    assert [letter[b"dead:reason"] for letter in await place.dead_letters()] == [b"no"]


# The group


async def test_a_consumer_that_stops_leaves_the_group_unless_it_holds_something(place: RedisPlace) -> None:
    desk = Desk()
    async with bringing(place, desk) as run:
        await place.put([b"one"])
        await until_nothing_is_left(place)
        assert len(await place.consumers_of_the_group()) == 1
        await run.stop()
    assert await place.consumers_of_the_group() == {}
    desk.failures = {b"two": [StoreUnavailable("away")] * 1000}
    async with bringing(place, desk) as run:
        await place.put([b"two"])

        async def it_is_held() -> bool:
            return b"two" in {body for _, body in desk.brought}

        await until(it_is_held, "it is held")
        await run.stop()
    assert list((await place.consumers_of_the_group()).values()) == [1]


async def test_a_stream_that_is_gone_is_made_again(place: RedisPlace) -> None:
    desk = Desk()
    async with bringing(place, desk):
        await place.put([b"one"])
        await until_nothing_is_left(place)
        await place.redis.flushall()
        await place.put([b"two"])

        async def both_are_kept() -> bool:
            return len(desk.kept) == 2

        await until(both_are_kept, "both are kept")
        await until_nothing_is_left(place)


async def test_what_waits_and_what_is_done_is_counted(place: RedisPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inquiry_svc_plugins.sources.redis_stream.source._MEASURE_EVERY_S", 0.0)
    desk, metrics = Desk(), place.host.metrics
    desk.failures = {b"stuck": [StoreUnavailable("away")] * 1000}
    an_hour_ago_ms = int((datetime.now(UTC) - timedelta(hours=1)).timestamp() * 1000)
    await place.redis.xadd("inquiries", {"inquiry": b"stuck"}, id=f"{an_hour_ago_ms}-0")
    await place.put([b"one", b"two"])
    async with bringing(place, desk):

        async def it_shows() -> bool:
            return metrics.series(PENDING).value == 1 and metrics.series(LAG).value > 3590

        await until(it_shows, "one is pending for an hour")
        desk.failures.clear()
        await until_nothing_is_left(place)

        async def it_is_gone() -> bool:
            return metrics.series(PENDING).value == metrics.series(LAG).value == 0

        await until(it_is_gone, "nothing is pending")
    assert metrics.series(RECEIVED).value == metrics.series(COMMITTED).value == 3


# Settings


def test_the_command_that_is_documented_queues_a_valid_inquiry() -> None:
    command = re.search(r"^    redis-cli (XADD .*)$", inspect.getdoc(redis_stream) or "", re.MULTILINE)
    assert command is not None
    word, stream, message_id, field, body = shlex.split(command[1])
    assert (word, stream, message_id, field) == ("XADD", RedisStreamSettings().stream, "*", "inquiry")
    assert checked(body.encode(), SubmitIn).body == "Charged twice."


async def test_a_wrong_url_is_refused_without_being_quoted(tmp_path: Path) -> None:
    opening = open_redis_stream(RedisStreamSettings(url="http://:hunter2@example.org"), Host(tmp_path, Metrics()))
    with pytest.raises(ConfigurationError, match=r"sources\.redis_stream\.url") as refused:
        await opening.__aenter__()
    assert "hunter2" not in str(refused.value)


async def test_dead_letters_may_not_go_where_they_came_from(tmp_path: Path) -> None:
    settings = RedisStreamSettings(stream="x", dead_letter_stream="x")
    with pytest.raises(ConfigurationError, match="dead_letter_stream is the stream 'x' itself; name another"):
        await open_redis_stream(settings, Host(tmp_path, Metrics())).__aenter__()
