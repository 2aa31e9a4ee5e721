"""Models swapped under a service that serves: what its callers, its metrics and its health say of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.models.registry import Reference, Registry
from inquiry_svc.service import Service
from inquiry_svc.testing.exporters import samples_of
from inquiry_svc.testing.running import Running, running_service
from tests.model_folders import FILE, FOLDERED, FolderModels, taken_in

WHO: Final[dict[str, Any]] = {"who": "ana", "why": "", "figures": {}}
SETTINGS: Final = {"classifier.provider": FOLDERED, "cache.provider": "memory", "models.canary_share": 0.5}


class Bench:
    def __init__(self, running: Running, registry: Registry, plugin: FolderModels) -> None:
        self.client = running.client
        self.service = running.service
        self.registry = registry
        self.plugin = plugin

    async def classify(self, body: str) -> dict[str, Any]:
        async with self.client.post("/api/v1/inquiries/classify", json={"body": body}) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def submit(self, body: str) -> dict[str, Any]:
        sent = {"body": body, "sender_email": "ana@example.org"}
        async with self.client.post("/api/v1/inquiries/submit", json=sent) as answer:
            assert answer.status == 201, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def health(self) -> dict[str, Any]:
        async with self.client.get("/api/v1/health") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def sample(self, name: str, **labels: str) -> float:
        async with self.client.get("/metrics") as answer:
            return samples_of(await answer.read())[name, tuple(sorted(labels.items()))]

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(30):
            while not await holds():  # noqa: ASYNC110 (the service follows a file)
                await asyncio.sleep(0.05)

    async def champion_is(self, category: str) -> None:
        async def holds() -> bool:
            return bool((await self.classify("Who answers?"))["category"]["label"] == category)

        await self.until(holds)

    async def challenger_is(self, model: Reference | None) -> None:
        async def holds() -> bool:
            found = self.service.models.open_models.line_up.challenger
            return (None if found is None else found.model.digest) == (model and model.digest)

        await self.until(holds)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    plugin = FolderModels()
    async with running_service(SETTINGS, plugins=[plugin], data_dir=tmp_path) as running:
        yield Bench(running, Registry(tmp_path), plugin)


async def test_a_promotion_is_followed_and_no_answer_of_the_one_before_comes_from_the_cache(bench: Bench) -> None:
    texts = [f"text {number}" for number in range(20)]
    for text in texts:
        assert (await bench.classify(text))["category"]["label"] == "billing"
    sales = taken_in(bench.registry, "sales")
    bench.registry.promote(sales, "champion", **WHO)
    await bench.champion_is("sales")
    answers = [await bench.classify(text) for text in texts]
    assert {(each["category"]["label"], each["model"]["digest"]) for each in answers} == {("sales", sales.digest)}
    bench.registry.roll_back("champion", who="ana", why="")
    await bench.champion_is("billing")
    assert {(await bench.classify(text))["category"]["label"] for text in texts} == {"billing"}
    assert await bench.sample("model_swaps_total", result="done") == 2


async def test_requests_in_flight_and_those_that_come_while_models_are_swapped_are_all_answered(bench: Bench) -> None:
    categories = ("sales", "legal", "hr")  # three, so that each is closed and opened again
    models = [taken_in(bench.registry, category) for category in categories]
    known = {model.digest: category for model, category in zip(models, categories, strict=True)}
    answered: Counter[str] = Counter()
    done = asyncio.Event()

    async def client(number: int) -> None:
        while not done.is_set():
            answer = await bench.submit(f"client {number}, inquiry {answered.total()}")
            assert answer["degraded"] == []
            category = known.get(answer["model"]["digest"], "billing")
            assert answer["category"]["label"] == category, "a verdict under another model's name"
            answered[category] += 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(client(number))
        for swap in range(12):
            bench.registry.promote(models[swap % 3], "champion", **WHO)
            await bench.service.models.follow()
            before = answered.total()
            await bench.until(lambda before=before: _more(answered, before))  # type: ignore[misc]
        done.set()
    await bench.service.models.closed()
    assert min(answered[category] for category in categories) >= 8
    assert bench.plugin.open_now == 2, "the champion and the one before"


async def _more(answered: Counter[str], before: int) -> bool:
    return answered.total() > before + 8


async def test_a_challenger_answers_its_share_the_same_texts_each_time_and_says_so(bench: Bench) -> None:
    sales = taken_in(bench.registry, "sales")
    bench.registry.promote(sales, "challenger", **WHO)
    await bench.challenger_is(sales)
    texts = [f"text {number}" for number in range(100)]
    first = {text: (await bench.submit(text))["category"]["label"] for text in texts}
    again = {text: (await bench.classify(text))["category"]["label"] for text in texts}
    assert again == first
    assert 25 < sum(category == "sales" for category in first.values()) < 75
    share: int = sum(category == "sales" for category in first.values())
    assert await bench.sample("model_candidate_texts_total", alias="challenger", result="classified") == share

    async def compared() -> bool:
        found = await bench.sample(
            "model_candidate_agreement_total", alias="challenger", axis="category", agrees="false"
        )
        return found + share == 100

    await bench.until(compared)
    assert await bench.sample("model_second_opinions_total", result="dropped") == 0


async def test_a_shadow_answers_nobody_and_is_compared(bench: Bench) -> None:
    bench.registry.promote(taken_in(bench.registry, "sales"), "shadow", **WHO)

    async def open_now() -> bool:
        return bench.service.models.open_models.line_up.shadow is not None

    await bench.until(open_now)
    answers = [await bench.submit(f"text {number}") for number in range(30)]
    assert {each["category"]["label"] for each in answers} == {"billing"}

    async def compared() -> bool:
        asked = await bench.sample("model_candidate_texts_total", alias="shadow", result="classified")
        return asked == 30

    await bench.until(compared)
    assert await bench.sample("model_candidate_duration_seconds_count", alias="shadow") == 30
    assert await bench.sample("model_candidate_confidence_count", alias="shadow") == 30
    for axis, agrees in (("category", "false"), ("sentiment", "true"), ("urgency", "true")):
        found = await bench.sample("model_candidate_agreement_total", alias="shadow", axis=axis, agrees=agrees)
        assert found == 30, axis


async def test_a_challenger_that_fails_costs_nobody_an_answer_and_is_taken_down(bench: Bench) -> None:
    """It reads its probe, and fails over what people write from then on."""
    failing = taken_in(bench.registry, "sales", "raise after the first")
    bench.registry.promote(failing, "challenger", **WHO)
    await bench.challenger_is(failing)
    await bench.service.canary.judge(bench.service.snapshot)  # sees it for the first time
    for number in range(500):
        answer = await bench.classify(f"text {number}")
        assert (answer["category"]["label"], answer["degraded"]) == ("billing", [])
    await bench.challenger_is(None)
    assert bench.registry.aliases().history[-1].why.startswith("it fails over 100.0% of the texts")
    assert await bench.sample("model_canary_rollbacks_total", limit="errors") == 1
    assert await bench.sample("classifier_fallbacks_total", reason="error") == 0


async def test_feedback_on_what_a_challenger_answered_takes_it_down(bench: Bench) -> None:
    sales = taken_in(bench.registry, "sales")
    bench.registry.promote(sales, "challenger", **WHO)
    await bench.challenger_is(sales)
    await bench.service.canary.judge(bench.service.snapshot)
    for number in range(140):
        answer = await bench.submit(f"text {number}")
        feedback = f"/api/v1/inquiries/{answer['inquiry_id']}/feedback"
        async with bench.client.post(feedback, json={"category": "billing"}) as said:
            assert said.status == 200, await said.text()
    await bench.challenger_is(None)
    why = bench.registry.aliases().history[-1].why
    assert why.startswith("category is right in 0.0%, the champion's in 100.0%"), why
    assert await bench.sample("model_canary_rollbacks_total", limit="accuracy") == 1


async def test_what_a_reviewer_decides_counts_for_the_model_that_answered(tmp_path: Path) -> None:
    plugin, decided = FolderModels(), Counter[str]()
    async with running_service({**SETTINGS, "review.audit_share": 1.0}, plugins=[plugin], data_dir=tmp_path) as running:
        bench = Bench(running, Registry(tmp_path), plugin)
        sales = taken_in(bench.registry, "sales")
        bench.registry.promote(sales, "challenger", **WHO)
        await bench.challenger_is(sales)
        for number in range(20):
            answer = await bench.submit(f"text {number}")
            decide = f"/api/v1/reviews/{answer['inquiry_id']}/decide"
            async with bench.client.post(decide, json={"reviewer": "ben", "category": "billing"}) as said:
                assert said.status == 200, await said.text()
            decided["challenger" if answer["model"]["digest"] == sales.digest else "champion"] += 1
        for alias, correct in (("champion", "true"), ("challenger", "false")):
            labels = {"alias": alias, "axis": "category", "correct": correct}
            assert await bench.sample("model_alias_feedback_total", **labels) == decided[alias] > 0


async def test_no_canary_is_judged_while_the_service_opens(tmp_path: Path) -> None:
    """A worker has no numbers but its own by then, and takes those of the others for new ones later."""
    seen: list[set[str]] = []

    class Opening:
        @hookimpl
        @asynccontextmanager
        async def lifespan(self, service: Service) -> AsyncIterator[None]:
            seen.append({task.get_name() for task in asyncio.all_tasks()})
            yield

    async with running_service(SETTINGS, plugins=[FolderModels(), Opening()], data_dir=tmp_path):
        seen.append({task.get_name() for task in asyncio.all_tasks()})
    assert ["canary" in names for names in seen] == [False, True]


async def test_a_broken_model_is_refused_and_the_one_before_serves_on_and_health_says_so(bench: Bench) -> None:
    sales, legal = taken_in(bench.registry, "sales"), taken_in(bench.registry, "legal")
    bench.registry.promote(sales, "champion", **WHO)
    await bench.champion_is("sales")
    file = bench.registry.folder(legal) / FILE
    file.write_bytes(file.read_bytes()[:10])
    bench.registry.promote(legal, "champion", **WHO)

    async def refused() -> bool:
        return await bench.sample("model_swaps_total", result="refused") == 1

    await bench.until(refused)
    assert (await bench.classify("Who answers?"))["category"]["label"] == "sales"

    async def degraded() -> bool:
        health = await bench.health()
        unwell = [name for name, each in health["components"].items() if each["status"] != "healthy"]
        return (health["status"], unwell) == ("degraded", ["models"])

    await bench.until(degraded)
    async with bench.client.get("/api/v1/health/ready") as ready:
        assert ready.status == 200, "it serves"
    bench.registry.roll_back("champion", who="ana", why="")

    async def healthy() -> bool:
        return bool((await bench.health())["status"] == "healthy")

    await bench.until(healthy)


async def test_an_explanation_is_by_the_model_that_decided_while_it_is_open(tmp_path: Path) -> None:
    plugin = FolderModels()
    async with running_service(SETTINGS, plugins=[plugin], data_dir=tmp_path) as running:
        bench = Bench(running, Registry(tmp_path), plugin)
        sales = taken_in(bench.registry, "sales")
        bench.registry.promote(sales, "challenger", **WHO)
        await bench.challenger_is(sales)
        answers = [await bench.submit(f"text {number}") for number in range(20)]
        assert len({answer["model"]["digest"] for answer in answers}) == 2
        for answer in answers:
            _, explanation = await bench.service.explain_stored(answer["inquiry_id"])
            assert explanation.model.digest == answer["model"]["digest"]
        bench.registry.roll_back("challenger", who="ana", why="")
        await bench.challenger_is(None)
        for answer in answers:
            _, explanation = await bench.service.explain_stored(answer["inquiry_id"])
            assert explanation.model.digest != sales.digest, "it is open no more: the champion says what it would say"
        bench.registry.promote(taken_in(bench.registry, "legal"), "champion", **WHO)
        await bench.champion_is("legal")
        by_built_in = next(answer for answer in answers if answer["model"]["digest"] != sales.digest)
        _, explanation = await bench.service.explain_stored(by_built_in["inquiry_id"])
        assert explanation.model.digest == by_built_in["model"]["digest"], "the champion before is open yet"


async def test_the_history_is_there_for_people(bench: Bench, tmp_path: Path) -> None:
    bench.registry.promote(taken_in(bench.registry, "sales"), "champion", who="ana", why="better", figures={"a": 1})
    read = json.loads((tmp_path / "models/aliases.json").read_text())
    assert [(each["who"], each["why"], each["figures"]) for each in read["history"]] == [("ana", "better", {"a": 1.0})]
