"""More than the service can take: those at the door are told at once, those who can wait do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
import pytest

from inquiry_svc.catalogue import INQUIRIES_IN_FLIGHT, INQUIRIES_REFUSED
from inquiry_svc.inquiries import Outcome
from inquiry_svc.notices import Notice
from inquiry_svc.testing.providers import Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc_plugins.stores.memory import MemoryStore

PLACES = 16
SUBMIT = "/api/v1/inquiries/submit"
INQUIRY = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}


class StuckStore(MemoryStore):
    """Saves nothing until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.going_on = asyncio.Event()

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        await self.going_on.wait()
        return await super().save(outcomes, notices)


def full_service(store: StuckStore) -> dict[str, object]:
    return {"store.provider": "given", "batching.places": PLACES, "store.timeout_s": 30, "batching.deadline_s": 30}


async def submit(running: Running) -> int:
    async with running.client.post(SUBMIT, json=INQUIRY) as response:
        return response.status


async def fill(running: Running) -> list[asyncio.Task[int]]:
    callers = [asyncio.create_task(submit(running)) for _ in range(PLACES)]
    await until_in_flight(running, PLACES)
    return callers


async def is_ready(running: Running) -> bool:
    async with running.client.get("/api/v1/health/ready") as response:
        return response.status == 200


async def until_in_flight(running: Running, count: int) -> None:
    in_flight = running.service.metrics.series(INQUIRIES_IN_FLIGHT)
    async with asyncio.timeout(30):
        while in_flight.value != count:  # noqa: ASYNC110 (a gauge has no event)
            await asyncio.sleep(0.001)


@pytest.mark.alone
async def test_who_finds_no_place_is_told_so_within_50_ms_and_when_to_come_again() -> None:
    store = StuckStore()
    waits: list[float] = []
    async with running_service(full_service(store), plugins=[Offering(store=store)]) as running:
        callers = await fill(running)
        for path, body in [(SUBMIT, INQUIRY), ("/api/v1/inquiries/classify", {"body": "x"})] * 25:
            started = time.perf_counter()
            async with running.client.post(path, json=body) as response:
                waits.append(time.perf_counter() - started)
                assert response.status == 503
                assert int(response.headers["Retry-After"]) >= 1
                assert (await response.json())["type"] == "/problems/overloaded"
        assert running.service.metrics.series(INQUIRIES_REFUSED).value == 50
        async with asyncio.timeout(30):
            while await is_ready(running):  # noqa: ASYNC110 (an answer of the last moment may be given again)
                await asyncio.sleep(0.02)
        store.going_on.set()
        assert await asyncio.gather(*callers) == [201] * PLACES
        await until_in_flight(running, 0)
        async with running.client.post(SUBMIT, json=INQUIRY) as response:
            assert response.status == 201
    waits.sort()
    print(f"refused after {waits[25] * 1000:.1f} ms (median), {waits[-1] * 1000:.1f} ms (slowest)")
    assert waits[45] < 0.05, waits


async def test_a_refusal_never_overtakes_an_answer() -> None:
    store = StuckStore()
    body = json.dumps(INQUIRY).encode()
    request = (
        f"POST {SUBMIT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    settings = {**full_service(store), "batching.places": 1}
    async with running_service(settings, plugins=[Offering(store=store)]) as running:
        address = urlsplit(running.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request.encode() + body)
        await until_in_flight(running, 1)
        writer.write(request.encode() + body)
        async with running.client.post(SUBMIT, json=INQUIRY) as response:  # so that what came before was read
            assert response.status == 503
        store.going_on.set()
        async with asyncio.timeout(30):
            assert (await reader.readline()).startswith(b"HTTP/1.1 201")
        writer.close()


async def test_an_upload_waits_for_places_and_every_line_is_answered() -> None:
    store = StuckStore()
    lines = b"".join(b'{"body": "line %d", "sender_email": "ana@example.org"}\n' % number for number in range(100))
    async with running_service(full_service(store), plugins=[Offering(store=store)]) as running:
        upload = asyncio.create_task(
            running.client.post("/api/v1/inquiries/bulk", data=lines, headers={"Content-Type": "application/x-ndjson"})
        )
        await until_in_flight(running, PLACES // 2)
        singles = [asyncio.create_task(submit(running)) for _ in range(PLACES // 2)]
        await until_in_flight(running, PLACES)
        assert running.service.metrics.series(INQUIRIES_REFUSED).value == 0, "the upload left the others no place"
        store.going_on.set()
        assert await asyncio.gather(*singles) == [201] * len(singles)
        answers = (await (await upload).read()).splitlines()
    assert len(answers) == 100
    assert all(b'"inquiry_id"' in answer for answer in answers), answers
    assert [f"line {number}".encode() in answer for number, answer in enumerate(answers)] == [True] * 100


async def test_an_uploader_who_hangs_up_while_waiting_gives_all_places_back() -> None:
    store = StuckStore()
    lines = b'{"body": "one", "sender_email": "ana@example.org"}\n' * 100
    async with running_service(full_service(store), plugins=[Offering(store=store)]) as running:
        async with aiohttp.ClientSession(running.url) as leaving:
            upload = asyncio.create_task(
                leaving.post("/api/v1/inquiries/bulk", data=lines, headers={"Content-Type": "application/x-ndjson"})
            )
            await until_in_flight(running, PLACES // 2)
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
        await until_in_flight(running, 0)
        callers = await fill(running)
        store.going_on.set()
        assert await asyncio.gather(*callers) == [201] * PLACES
