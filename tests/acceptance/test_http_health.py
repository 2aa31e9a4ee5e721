"""Health is truly asked: each component that fails is named, and the status says what that means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from inquiry_svc.catalogue import COMPONENTS, HEALTH
from inquiry_svc.errors import StoreUnavailable
from inquiry_svc.inquiries import Outcome, Text, Verdict
from inquiry_svc.notices import Notice
from inquiry_svc.testing.problems import assert_marked, problem_of
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc_plugins.stores.memory import MemoryStore
from tests.side_by_side import MORE_S

SENT: Final = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
GIVEN: Final = {"classifier.provider": "given", "store.provider": "given", "cache.provider": "given"}


class BrokenStore(MemoryStore):
    """Works until it is broken; then it raises or, if it hangs, never answers."""

    def __init__(self, *, broken: bool = True, hangs: bool = False) -> None:
        super().__init__()
        self.broken, self.hangs, self.checks = broken, hangs, 0

    async def check(self) -> None:
        self.checks += 1
        await self._break()

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        await self._break()
        return await super().save(outcomes, notices)

    async def get(self, inquiry_id: str) -> Outcome | None:
        await self._break()
        return await super().get(inquiry_id)

    async def _break(self) -> None:
        if self.broken and self.hangs:
            await asyncio.Event().wait()
        if self.broken:
            raise StoreUnavailable("secret: SELECT at /var/lib")


class Remembering:
    """A cache that can be broken."""

    def __init__(self, *, broken: bool = False) -> None:
        self._broken = broken

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        await self.check()
        return [None] * len(keys)

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        await self.check()

    async def check(self) -> None:
        if self._broken:
            raise ConnectionError("secret")


async def _broken_classify(texts: Sequence[Text]) -> Sequence[Verdict]:
    raise RuntimeError("secret")


def _offering(**broken: bool) -> Offering:
    return Offering(
        classifier=FunctionClassifier(_broken_classify if broken.get("classifier") else None),
        store=BrokenStore(broken=broken.get("store", False)),
        cache=Remembering(broken=broken.get("cache", False)),
    )


async def _health(running: Running) -> tuple[int, dict[str, Any]]:
    async with running.client.get("/api/v1/health") as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert_marked(answer)
        found: dict[str, Any] = await answer.json()
    assert list(found) == ["status", "version", "components"]
    for component in found["components"].values():
        assert list(component) == ["status", "provider", "checked_in_s"]
        assert component["checked_in_s"] >= 0
    assert "secret" not in str(found)
    return answer.status, found


async def _probe(running: Running, name: str) -> tuple[int, dict[str, Any]]:
    async with running.client.get(f"/api/v1/health/{name}") as answer:
        return answer.status, await answer.json()


def _unwell(found: dict[str, Any]) -> set[str]:
    return {name for name, component in found["components"].items() if component["status"] != "healthy"}


async def test_a_service_that_is_well_says_so() -> None:
    async with running_service() as running:
        status, found = await _health(running)
        assert (status, found["status"]) == (200, "healthy")
        assert found["version"]
        assert found["components"].keys() == set(COMPONENTS)
        assert _unwell(found) == set()
        assert found["components"]["database"]["provider"] == "memory"
        assert await _probe(running, "ready") == (200, {"status": "ready"})
        assert await _probe(running, "live") == (200, {"status": "live"})


@pytest.mark.parametrize(
    ("broken", "unwell", "status", "word"),
    [
        ({"cache": True}, {"cache"}, 200, "degraded"),
        ({"classifier": True}, {"classifier"}, 200, "degraded"),
        ({"cache": True, "classifier": True}, {"cache", "classifier"}, 200, "degraded"),
        ({"store": True}, {"database"}, 503, "unhealthy"),
        ({"store": True, "cache": True, "classifier": True}, {"database", "cache", "classifier"}, 503, "unhealthy"),
    ],
)
async def test_what_is_broken_is_named_and_weighed(
    broken: dict[str, bool], unwell: set[str], status: int, word: str
) -> None:
    async with running_service(GIVEN, plugins=[_offering(**broken)]) as running:
        found_status, found = await _health(running)
        assert (found_status, found["status"], _unwell(found)) == (status, word, unwell)
        for component in COMPONENTS:
            assert running.service.metrics.series(HEALTH, component=component).value == (component not in unwell)
        ready = (503, {"status": "unhealthy"}) if status == 503 else (200, {"status": "ready"})
        assert await _probe(running, "ready") == ready
        assert await _probe(running, "live") == (200, {"status": "live"}), "a restart would not mend it"
        async with running.client.post("/api/v1/inquiries/submit", json=SENT) as answer:
            assert answer.status == (503 if status == 503 else 201)
            if answer.status == 201:
                assert (await answer.json())["degraded"] == (["classifier"] if "classifier" in unwell else [])


async def test_without_both_classifiers_no_inquiry_can_be_served() -> None:
    settings = GIVEN | {"classifier.fallback": "given"}
    async with running_service(settings, plugins=[_offering(classifier=True)]) as running:
        status, found = await _health(running)
    assert (status, found["status"], _unwell(found)) == (503, "unhealthy", {"classifier", "fallback"})


async def test_a_store_that_comes_back_is_noticed() -> None:
    store = BrokenStore()
    async with running_service({"store.provider": "given"}, plugins=[Offering(store=store)]) as running:
        assert (await _health(running))[0] == 503
        store.broken = False
        async with asyncio.timeout(30):
            while (await _health(running))[0] != 200:  # each answer is kept for a moment
                pass
        assert await _probe(running, "ready") == (200, {"status": "ready"})


@pytest.mark.parametrize("hangs", [False, True])
async def test_without_a_store_an_answer_is_503_within_two_seconds_and_tells_no_secret(hangs: bool) -> None:
    offering = Offering(store=BrokenStore(hangs=hangs))
    async with running_service({"store.provider": "given"}, plugins=[offering]) as running:
        for method, path in (
            ("POST", "/api/v1/inquiries/submit"),
            ("GET", "/api/v1/inquiries/00000000-0000-0000-0000-000000000000"),
        ):
            started = time.perf_counter()
            async with running.client.request(method, path, json=SENT if method == "POST" else None) as answer:
                document = await problem_of(answer, 503)
                assert int(answer.headers["Retry-After"]) >= 1
            assert time.perf_counter() - started < 2 + MORE_S
            assert document["type"] == "/problems/store-unavailable"
            assert "secret" not in str(document)


async def test_a_flood_of_probes_does_not_reach_the_store() -> None:
    store = BrokenStore(broken=False)
    async with running_service({"store.provider": "given"}, plugins=[Offering(store=store)]) as running:
        before, started = store.checks, time.perf_counter()
        answers = await asyncio.gather(*(_probe(running, "ready") for _ in range(1_000)))
        assert {status for status, _ in answers} == {200}
        allowed = 2 + (time.perf_counter() - started) / 0.2
        assert store.checks - before <= allowed


async def test_readiness_goes_first_when_stopping() -> None:
    async with running_service() as running:
        running.service.stopping = True
        assert await _probe(running, "ready") == (503, {"status": "stopping"})
        assert await _probe(running, "live") == (200, {"status": "live"})
        async with running.client.post("/api/v1/inquiries/submit", json=SENT) as answer:
            assert answer.status == 201, "who comes late is still served"
