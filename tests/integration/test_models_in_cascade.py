"""The registry's models inside a cascade: they are those of its first classifier, and the cascade answers with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from inquiry_svc.config import load_settings
from inquiry_svc.contracts import Provider
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.model_folders import ModelFolders
from inquiry_svc.models.named import NamedModel, names_of
from inquiry_svc.models.registry import Reference, Registry
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.testing.running import running_service
from inquiry_svc_plugins.classifiers.cascade import CascadeSettings, open_cascade
from tests.integration.test_models_in_service import Bench
from tests.model_folders import FILE, FOLDERED, FolderModels, taken_in

WHO: Final[dict[str, Any]] = {"who": "ana", "why": "", "figures": {}}
SETTINGS: Final = {
    "classifier.provider": "cascade",
    "classifier.cascade.first": FOLDERED,
    "classifier.cascade.second": "keyword",
    "classifier.cascade.below": 1.0,
    "classifier.cascade.weights": [1.0, 0.01],
    "cache.provider": "memory",
    "models.canary_share": 0.5,
}
TEXT: Final = "Where is the invoice? Number"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    plugin = FolderModels()
    async with running_service(SETTINGS, plugins=[plugin], data_dir=tmp_path) as running:
        yield Bench(running, Registry(tmp_path), plugin)


async def answers(bench: Bench, count: int = 40) -> Counter[tuple[str, str, str]]:
    """Label, and the model's name and digest."""
    found: Counter[tuple[str, str, str]] = Counter()
    for number in range(count):
        answer = await bench.classify(f"{TEXT} {number}")
        assert answer["degraded"] == []
        found[answer["category"]["label"], answer["model"]["name"], answer["model"]["digest"]] += 1
    return found


async def went_on(bench: Bench) -> float:
    return await bench.sample("cascade_texts_total", result="second")


async def test_the_cascade_answers_by_the_champion_of_its_first_and_by_the_one_before_after_a_rollback(
    bench: Bench,
) -> None:
    ((label, name, built_in),) = await answers(bench)
    assert (label, name) == ("billing", "cascade")
    bench.registry.promote(taken_in(bench.registry, "sales"), "champion", **WHO)
    await bench.champion_is("sales")
    before = await went_on(bench)
    ((label, name, digest),) = await answers(bench)
    assert (label, name) == ("sales", "cascade")
    assert digest != built_in, "nothing of the one before comes from the cache"
    assert await went_on(bench) == before + 40, "the second is asked as before"
    assert await bench.sample("model_version_info", model_name="cascade", version="2", sha=digest, role="classifier")
    bench.registry.roll_back("champion", who="ana", why="")
    await bench.champion_is("billing")
    assert set(await answers(bench)) == {("billing", "cascade", built_in)}


async def test_a_canary_answers_its_share_inside_the_cascade_and_a_shadow_nobody(bench: Bench) -> None:
    sales, legal = taken_in(bench.registry, "sales"), taken_in(bench.registry, "legal")
    bench.registry.promote(sales, "challenger", **WHO)
    bench.registry.promote(legal, "shadow", **WHO)

    async def both_are_open() -> bool:
        line_up = bench.service.models.open_models.line_up
        return bench.service.models.challenger == sales and line_up.shadow is not None

    await bench.until(both_are_open)
    found = await answers(bench, 100)
    assert {(label, name) for label, name, _ in found} == {("billing", "cascade"), ("sales", "cascade")}
    assert len(found) == 2
    assert min(found.values()) > 25


async def test_a_canary_that_fails_inside_the_cascade_costs_nobody_an_answer_and_is_taken_down(bench: Bench) -> None:
    failing = taken_in(bench.registry, "sales", "raise after the first")
    bench.registry.promote(failing, "challenger", **WHO)

    async def is_open() -> bool:
        return bench.service.models.challenger == failing

    await bench.until(is_open)
    await bench.service.canary.judge(bench.service.snapshot)  # sees it for the first time
    assert {label for label, _, _ in await answers(bench, 500)} == {"billing"}
    await bench.challenger_is(None)
    assert bench.registry.aliases().history[-1].why.startswith("it fails over 100.0% of the texts")


async def test_a_folder_that_holds_another_model_than_its_name_says_is_refused_and_the_cascade_serves_on(
    bench: Bench,
) -> None:
    sales = taken_in(bench.registry, "sales")
    (bench.registry.folder(sales) / FILE).write_text(json.dumps({"category": "legal", "does": "answer"}))
    bench.registry.promote(sales, "champion", **WHO)

    async def refused() -> bool:
        return await bench.sample("model_swaps_total", result="refused") == 1

    await bench.until(refused)
    assert {(label, name) for label, name, _ in await answers(bench)} == {("billing", "cascade")}
    models = (await bench.health())["components"]["models"]
    assert models["status"] == "unhealthy"


# Whose they are


class Around:
    """A plugin with another cascade."""

    @hookimpl
    def register_classifiers(self) -> Iterable[Provider[Any]]:
        return [Provider("around", open_cascade, CascadeSettings, model_folders=ModelFolders(of="first"))]


@pytest.mark.parametrize(
    ("chosen", "cascades_first", "learner"),
    [
        ("keyword", "xgboost", "keyword"),
        ("cascade", "xgboost", "xgboost"),
        ("cascade", "minilm", "minilm"),
        ("around", "xgboost", "xgboost"),
        ("cascade", "cascade", "cascade"),
        ("cascade", "around", "cascade"),
    ],
)
def test_models_are_those_of_the_innermost_first_classifier_unless_it_is_made_of_itself(
    tmp_path: Path, chosen: str, cascades_first: str, learner: str
) -> None:
    offers = Offers(build_manager([Around()]))
    options = {("provider",): chosen, ("cascade", "first"): cascades_first, ("around", "first"): "cascade"}
    settings, _ = load_settings(offers, options={("classifier", *path): value for path, value in options.items()})
    names = names_of(Registry(tmp_path), settings, offers)
    assert names.learner == learner
    assert names.of(None) == NamedModel(chosen)
    of_learner, of_another = Reference(learner, "1" * 32), Reference("another", "1" * 32)
    assert names.of(of_learner).provider == chosen
    assert names.of(of_another).provider == "another"


async def test_a_cascade_in_a_cascade_answers_by_the_champion_of_the_innermost_first(tmp_path: Path) -> None:
    plugin = FolderModels()
    settings = {
        **SETTINGS,
        "classifier.provider": "around",
        "classifier.around.first": "cascade",
        "classifier.around.second": "keyword",
        "classifier.around.below": 0.0,
    }
    async with running_service(settings, plugins=[plugin, Around()], data_dir=tmp_path) as running:
        bench = Bench(running, Registry(tmp_path), plugin)
        bench.registry.promote(taken_in(bench.registry, "sales"), "champion", **WHO)
        await bench.champion_is("sales")
        assert {(label, name) for label, name, _ in await answers(bench)} == {("sales", "cascade")}
