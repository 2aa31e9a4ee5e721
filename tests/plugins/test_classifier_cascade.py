"""The cascade keeps the contract with any two classifiers, goes on where the first is unsure, and never waits long."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.config import load_settings
from inquiry_svc.contracts import Classifier, Explainer, Host, NoSettings, Provider
from inquiry_svc.errors import CannotExplain, ConfigurationError, Unavailable
from inquiry_svc.explanations import AxisExplanation, Contest, Span, Weigher, Words, contest, margin_between
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import AXES, Text, Verdict
from inquiry_svc.labelled import read_labelled
from inquiry_svc.leaving_out import leave_out
from inquiry_svc.metrics import Metrics
from inquiry_svc.opening import Opener
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.reviewing import own_thresholds
from inquiry_svc.testing.classifiers import (
    ORDINARY,
    ClassifierContract,
    ExplainerContract,
    ProfiledContract,
    assert_explains,
)
from inquiry_svc.testing.providers import Classify, FunctionClassifier
from inquiry_svc.testing.running import running_service
from inquiry_svc_plugins.classifiers import cascade
from inquiry_svc_plugins.classifiers.cascade import DEGRADED, TEXTS, CascadeClassifier, CascadeSettings
from inquiry_svc_plugins.classifiers.cascade.explaining import together
from inquiry_svc_plugins.classifiers.keyword import open_keyword
from inquiry_svc_plugins.classifiers.minilm import MinilmClassifier
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL, XgboostSettings, open_xgboost

JUDGING = PACKAGED_MODEL.with_name("corpus") / "judging" / "judging-1.jsonl"


@asynccontextmanager
async def opened(folder: Path, *plugins: object, **settings: Any) -> AsyncIterator[Classifier]:
    """The cascade, opened as the service opens it."""
    offers = Offers(build_manager(plugins))
    found, _ = load_settings(
        offers, options={("classifier", "cascade", name): value for name, value in settings.items()}
    )
    host = Host(folder, Metrics(cascade.register_metrics()))
    async with Opener(found, offers, host).open("classifier", "cascade") as classifier:
        yield classifier


class TestQuickThenKeyword(ClassifierContract, ProfiledContract):
    @pytest.fixture
    async def classifier(self, tmp_path: Path) -> AsyncIterator[Classifier]:
        async with opened(tmp_path, second="keyword", below=0.8) as classifier:
            yield classifier


class TestJoined(ClassifierContract, ExplainerContract):
    @pytest.fixture(autouse=True)
    def even_without_evidence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cascade, "ENOUGH_EVIDENCE", 0.0)

    @pytest.fixture
    async def classifier(self, tmp_path: Path) -> AsyncIterator[Classifier]:
        async with opened(tmp_path, second="keyword", below=0.9, axes=tuple(AXES)) as classifier:
            yield classifier


class TestAllGoOn(ClassifierContract, ExplainerContract):
    @pytest.fixture(autouse=True)
    def even_without_evidence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cascade, "ENOUGH_EVIDENCE", 0.0)

    @pytest.fixture
    async def classifier(self, tmp_path: Path) -> AsyncIterator[Classifier]:
        axes = ("category", "sentiment", "urgency")
        alone = (0.0, 1.0)
        async with opened(
            tmp_path, first="keyword", second="xgboost", below=1.0, axes=axes, weights=alone
        ) as classifier:
            yield classifier


class TestNoneGoesOn(ClassifierContract, ExplainerContract):
    @pytest.fixture
    async def classifier(self, tmp_path: Path) -> AsyncIterator[Classifier]:
        async with opened(tmp_path, second="keyword", below=0.0) as classifier:
            yield classifier


async def test_cascades_that_are_open_share_the_encoder_of_their_second(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        seconds = [each._second.classifier for each in (one, other) if isinstance(each, CascadeClassifier)]
        encoders = [each._model.encoder for each in seconds if isinstance(each, MinilmClassifier)]
        assert len(encoders) == 2
        assert encoders[0] is encoders[1]


def verdict(category: float, sentiment: float = 0.9, evidence: float = 1.0) -> Verdict:
    """Billing, positive, low; as sure of category and sentiment as told."""
    scores = [(1 - category) / 5] * 6
    scores[1] = category
    others = [sentiment, (1 - sentiment) / 2, (1 - sentiment) / 2, 0.7, 0.1, 0.1, 0.1]
    return Verdict.from_scores([*scores, *others], evidence)


SURE_OF_SALES = Verdict.from_scores([0.02, 0.02, 0.9, 0.02, 0.02, 0.02, 0.1, 0.1, 0.8, 0.1, 0.1, 0.1, 0.7])


async def says_sales(texts: Sequence[Text]) -> Sequence[Verdict]:
    return [SURE_OF_SALES for _ in texts]


def made(
    firsts: Sequence[Verdict], second: Classify = says_sales, **settings: Any
) -> tuple[CascadeClassifier, FunctionClassifier, Metrics]:
    """A cascade whose first says these, and its second."""

    async def first(texts: Sequence[Text]) -> Sequence[Verdict]:
        return [firsts[int(text.body)] for text in texts]

    metrics = Metrics(cascade.register_metrics())
    slower = FunctionClassifier(second, digest="1" * 32)
    return CascadeClassifier(FunctionClassifier(first), slower, CascadeSettings(**settings), metrics), slower, metrics


def numbered(count: int) -> list[Text]:
    return [Text("", str(place)) for place in range(count)]


def counted(metrics: Metrics) -> dict[str, float]:
    found = {result: metrics.series(TEXTS, result=result).value for result in TEXTS.labels["result"] or ()}
    return {result: value for result, value in found.items() if value}


async def test_only_what_the_first_is_unsure_of_goes_on() -> None:
    classifier, second, metrics = made([verdict(0.9), verdict(0.5), verdict(0.6)], below=0.6)
    found = await classifier.classify(numbered(3))
    assert [each.category.label for each in found] == ["billing", "sales", "billing"]
    assert second.batches == [[Text("", "1")]]
    assert counted(metrics) == {"sure": 2, "second": 1}


async def test_an_answer_of_which_the_first_is_unsure_is_joined_from_both_by_their_weights() -> None:
    unsure = verdict(0.5, 0.6)
    classifier, _, _ = made([unsure], weights=(0.5, 1.0), below=0.55)
    (found,) = await classifier.classify(numbered(1))
    powers = [first**0.5 * second for first, second in zip(unsure.scores[:6], SURE_OF_SALES.scores[:6], strict=True)]
    assert found.scores[:6] == pytest.approx([power / sum(powers) for power in powers])
    assert found.scores[6:] == unsure.scores[6:], "it is sure enough of sentiment, and asks nobody about urgency"


async def test_with_the_weights_0_and_1_the_answer_of_the_second_stands() -> None:
    classifier, _, _ = made([verdict(0.5)], weights=(0.0, 1.0))
    (found,) = await classifier.classify(numbered(1))
    assert found.scores[:6] == pytest.approx(SURE_OF_SALES.scores[:6])


async def test_a_second_that_rules_out_a_label_cannot_outvote_a_first_that_is_all_but_sure() -> None:
    never_billing = Verdict.from_scores([0.2, 0.0, 0.2, 0.2, 0.2, 0.2, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])

    async def rules_out(texts: Sequence[Text]) -> Sequence[Verdict]:
        return [never_billing for _ in texts]

    classifier, _, _ = made([verdict(0.999)], rules_out, below=1.0)
    (found,) = await classifier.classify(numbered(1))
    assert found.category.label == "billing"


async def test_the_second_is_asked_of_the_axes_named_and_answers_those_of_which_the_first_is_unsure() -> None:
    classifier, _, _ = made([verdict(0.5, 0.5), verdict(0.9, 0.5)], axes=("category", "sentiment"))
    both, one = await classifier.classify(numbered(2))
    assert (both.category.label, both.sentiment.label, both.urgency.label) == ("sales", "negative", "low")
    assert (one.category.label, one.sentiment.label, one.urgency.label) == ("billing", "negative", "low")
    classifier, _, _ = made([verdict(0.5, 0.5)], axes=("category",))
    (asked_of_category,) = await classifier.classify(numbered(1))
    assert (asked_of_category.category.label, asked_of_category.sentiment.label) == ("sales", "positive")


async def test_what_holds_too_little_to_go_by_does_not_go_on() -> None:
    classifier, second, metrics = made([verdict(0.3, evidence=0.4)])
    (found,) = await classifier.classify(numbered(1))
    assert found == verdict(0.3, evidence=0.4)
    assert second.batches == []
    assert counted(metrics) == {"no_evidence": 1}


async def test_a_text_over_which_the_second_raises_fails_alone_and_says_so() -> None:
    async def poisoned(texts: Sequence[Text]) -> Sequence[Verdict]:
        if Text("", "2") in texts:
            raise LookupError("no luck")
        return [SURE_OF_SALES for _ in texts]

    classifier, _, metrics = made([verdict(0.5)] * 6, poisoned)
    found = await classifier.classify(numbered(6))
    assert [each.category.label for each in found] == ["sales", "sales", "billing", "sales", "sales", "sales"]
    assert [each.degraded for each in found] == [(), (), DEGRADED, (), (), ()]
    assert counted(metrics) == {"second": 5, "error": 1}


async def test_too_few_verdicts_are_an_error() -> None:
    async def one(texts: Sequence[Text]) -> Sequence[Verdict]:
        return [SURE_OF_SALES] * (len(texts) > 1)

    classifier, _, metrics = made([verdict(0.5)] * 3, one)
    found = await classifier.classify(numbered(3))
    assert [each.degraded for each in found] == [DEGRADED] * 3
    assert counted(metrics) == {"error": 3}


async def test_what_is_answered_when_the_time_is_up_counts_and_the_rest_is_degraded() -> None:
    calls = 0

    async def slower_and_slower(texts: Sequence[Text]) -> Sequence[Verdict]:
        nonlocal calls
        calls += 1
        if calls == 2:
            await asyncio.Event().wait()
        return [SURE_OF_SALES for _ in texts]

    classifier, _, metrics = made([verdict(0.5)] * 6, slower_and_slower, timeout_s=0.05)
    found = await classifier.classify(numbered(6))
    assert [each.degraded for each in found] == [()] * 4 + [DEGRADED] * 2
    assert counted(metrics) == {"second": 4, "timeout": 2}
    await classifier.classify(numbered(1))
    assert calls == 3, "it answered some, so it is not left alone"


async def test_what_is_answered_of_a_batch_asked_by_halves_counts_when_the_time_is_up_in_the_other_half() -> None:
    async def hangs_over_the_last(texts: Sequence[Text]) -> Sequence[Verdict]:
        if len(texts) > 2:
            raise LookupError("no luck")
        return await asyncio.Future() if Text("", "3") in texts else [SURE_OF_SALES for _ in texts]

    classifier, _, metrics = made([verdict(0.5)] * 4, hangs_over_the_last, timeout_s=0.05)
    found = await classifier.classify(numbered(4))
    assert [each.degraded for each in found] == [()] * 2 + [DEGRADED] * 2
    assert counted(metrics) == {"second": 2, "timeout": 2}


async def test_a_second_that_raises_and_then_hangs_is_left_alone_for_a_while() -> None:
    async def raises_or_hangs(texts: Sequence[Text]) -> Sequence[Verdict]:
        if Text("", "0") in texts:
            raise LookupError("no luck")
        return await asyncio.Future()

    classifier, _, metrics = made([verdict(0.5)] * 2, raises_or_hangs, timeout_s=0.05)
    await classifier.classify(numbered(2))
    await classifier.classify(numbered(2))
    assert counted(metrics) == {"error": 1, "timeout": 1, "resting": 2}


async def test_a_second_that_does_not_answer_is_left_alone_for_a_while() -> None:
    async def hangs(texts: Sequence[Text]) -> Sequence[Verdict]:
        return await asyncio.Future()

    classifier, second, metrics = made([verdict(0.5)] * 2, hangs, timeout_s=0.02)
    for _ in range(3):
        found = await classifier.classify(numbered(2))
        assert [(each.category.label, each.degraded) for each in found] == [("billing", DEGRADED)] * 2
    assert len(second.batches) == 1
    assert counted(metrics) == {"timeout": 2, "resting": 4}


async def test_a_second_that_is_out_of_reach_is_not_asked_about_each_half() -> None:
    async def away(texts: Sequence[Text]) -> Sequence[Verdict]:
        raise Unavailable("gone")

    classifier, second, metrics = made([verdict(0.5)] * 8, away)
    assert {each.degraded for each in await classifier.classify(numbered(8))} == {DEGRADED}
    assert len(second.batches) == 1
    assert counted(metrics) == {"error": 8}


async def test_where_the_first_fails_so_does_the_cascade() -> None:
    classifier, _, _ = made([])
    with pytest.raises(IndexError):
        await classifier.classify(numbered(1))


async def test_the_model_is_another_when_either_is_or_the_threshold() -> None:
    same, other = made([verdict(0.5)])[0].model, made([verdict(0.5)])[0].model
    assert same == other
    assert made([verdict(0.5)], below=0.7)[0].model != same
    assert made([verdict(0.5)], axes=("sentiment",))[0].model != same
    assert made([verdict(0.5)], weights=(0.0, 1.0))[0].model != same


async def test_thresholds_of_review_are_the_firsts(tmp_path: Path) -> None:
    async with opened(tmp_path, second="keyword") as classifier:
        manifest = json.loads((PACKAGED_MODEL / "manifest.json").read_bytes())
        assert own_thresholds(classifier) == manifest["review"]["below_confidence"]
    assert own_thresholds(made([])[0]) == {}


async def test_an_answer_that_stands_is_explained_by_whose_it_is(tmp_path: Path) -> None:
    rows = read_labelled([JUDGING])[:40]
    async with opened(tmp_path, second="keyword", below=0.8, weights=(0.0, 1.0)) as classifier:
        assert isinstance(classifier, Explainer)
        by: Counter[tuple[str, ...]] = Counter()
        for row in rows:
            (found,) = await classifier.classify([row.text])
            explanation = await classifier.explain(row.text)
            assert_explains(explanation, row.text, found)
            for each in explanation.axes.values():
                assert [opinion.weight for opinion in each.opinions] == pytest.approx([each.margin])
                assert each.opinions[0].label == each.label
                by[tuple(opinion.model.name for opinion in each.opinions)] += 1
        assert set(by) == {("xgboost",), ("keyword",)}


async def test_the_words_and_features_of_a_joined_answer_weigh_what_both_give_them(tmp_path: Path) -> None:
    joined = 0
    async with (
        opened(tmp_path, second="keyword", below=0.8) as classifier,
        open_xgboost(XgboostSettings(), Host(tmp_path, Metrics())) as first,
        open_keyword(NoSettings(), Host(tmp_path, Metrics())) as second,
    ):
        assert isinstance(classifier, Explainer)
        assert isinstance(first, Weigher)
        assert isinstance(second, Weigher)
        for row in read_labelled([JUDGING])[:150]:
            explanation = await classifier.explain(row.text)
            (found,) = await classifier.classify([row.text])
            assert_explains(explanation, row.text, found)
            for axis, each in explanation.axes.items():
                if len(each.opinions) == 1:
                    continue
                joined += 1
                assert sum(opinion.weight for opinion in each.opinions) == pytest.approx(each.margin)
                between = {axis: (each.label.label, each.runner_up.label)}
                by_first = (await first.weigh(row.text, between))[axis]
                by_second = (await second.weigh(row.text, between))[axis]
                assert each.base == pytest.approx(0.7 * by_first.base + 0.45 * by_second.base)
                assert [feature.weight for feature in each.surface] == pytest.approx(
                    [0.7 * feature.weight for feature in by_first.surface]
                )
                for words in each.words:
                    assert words.weight == pytest.approx(inside(words, by_first, 0.7) + inside(words, by_second, 0.45))
                    assert words.alone is not None
                    assert words.alone * words.weight > 0, "what is named does what it says"
    assert joined > 10


def inside(words: Words, explained: AxisExplanation, power: float) -> float:
    """What the words at these places weigh together, and those inside of them."""

    def places(each: Words) -> set[tuple[str, int]]:
        return {(span.field, place) for span in each.spans for place in range(span.start, span.end)}

    return sum(power * each.weight for each in explained.words if places(each) <= places(words))


async def test_what_is_left_out_is_judged_by_the_cascade_and_nothing_of_it_is_counted(tmp_path: Path) -> None:
    metrics = Metrics(cascade.register_metrics())
    host = Host(tmp_path, metrics)
    async with open_xgboost(XgboostSettings(), host) as first, open_keyword(NoSettings(), host) as second:
        classifier = CascadeClassifier(first, second, CascadeSettings(below=0.9), metrics)
        flips = 0
        for text in ORDINARY:
            explanation = await classifier.explain(text)
            assert counted(metrics) == {}
            for axis, each in explanation.axes.items():
                if each.flip is not None:
                    (found,) = await classifier.classify([leave_out(text, each.flip.spans)])
                    assert getattr(found, axis) == each.flip.label
                    flips += 1
            metrics = Metrics(cascade.register_metrics())
            classifier = CascadeClassifier(first, second, CascadeSettings(below=0.9), metrics)
        assert flips


async def test_of_a_second_that_cannot_say_why_its_part_is_one_line(tmp_path: Path) -> None:
    async with open_keyword(NoSettings(), Host(tmp_path, Metrics())) as first:
        settings = CascadeSettings(below=1.0, axes=("category",))
        classifier = CascadeClassifier(
            first, FunctionClassifier(says_sales), settings, Metrics(cascade.register_metrics())
        )
        text = Text("", "Where is my invoice?")
        explanation = await classifier.explain(text)
        (found,) = await classifier.classify([text])
    assert_explains(explanation, text, found)
    category = explanation.axes["category"]
    (line,) = category.surface
    assert (category.label.label, category.runner_up.label) == ("sales", "billing")
    assert (line.name, line.value) == ("second opinion", SURE_OF_SALES.category.confidence)
    assert line.weight == pytest.approx(0.45 * margin_between(SURE_OF_SALES, "category", "sales", "billing"))
    assert [words.text for words in category.words] == ["invoice"]
    assert [opinion.model.name for opinion in category.opinions] == ["keyword", "function"]
    assert explanation.axes["sentiment"].surface == ()


class RulesOut(FunctionClassifier):
    """Rules billing out, and says so."""

    verdict = Verdict.from_scores([0.2, 0.0, 0.2, 0.2, 0.2, 0.2, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        return [self.verdict for _ in texts]

    judge = classify

    async def weigh(self, text: Text, contests: Mapping[str, Contest]) -> Mapping[str, AxisExplanation]:
        margins = {axis: margin_between(self.verdict, axis, *between) for axis, between in contests.items()}
        return {
            axis: AxisExplanation(
                *contest(self.verdict, axis, contests[axis]), margin, base=margin, words=(), surface=()
            )
            for axis, margin in margins.items()
        }


async def test_where_the_second_rules_a_label_out_the_weights_of_the_joined_answer_add_up(tmp_path: Path) -> None:
    async with open_xgboost(XgboostSettings(), Host(tmp_path, Metrics())) as first:
        settings = CascadeSettings(below=1.0, weights=(0.7, 0.01))
        classifier = CascadeClassifier(first, RulesOut(), settings, Metrics(cascade.register_metrics()))
        text = Text("", "My card was charged twice for March.")
        (found,) = await classifier.classify([text])
        explanation = await classifier.explain(text)
    assert_explains(explanation, text, found)
    category = explanation.axes["category"]
    assert category.label.label == "billing"
    assert category.opinions[1].weight == pytest.approx(0.01 * math.log(1e-6 / 0.2)), "as little as one may count"


async def test_an_answer_by_those_that_cannot_say_why_is_not_explained() -> None:
    for settings in ({"weights": (0.0, 1.0)}, {}, {"below": 0.0}):
        classifier, _, _ = made([verdict(0.5)], **settings)
        with pytest.raises(CannotExplain, match="about category is by 'function'"):
            await classifier.explain(numbered(1)[0])


async def test_where_the_second_is_away_there_is_no_explanation_for_now() -> None:
    async def hangs(texts: Sequence[Text]) -> Sequence[Verdict]:
        return await asyncio.Future()

    classifier, _, _ = made([verdict(0.5)], hangs, timeout_s=0.02)
    with pytest.raises(Unavailable, match="no answer within"):
        await classifier.explain(numbered(1)[0])


async def test_one_that_cannot_be_asked_aside_is_asked_by_turns() -> None:
    running, most = 0, 0

    async def one_at_a_time(texts: Sequence[Text]) -> Sequence[Verdict]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return [verdict(0.9) for _ in texts]

    classifier = CascadeClassifier(
        FunctionClassifier(one_at_a_time),
        FunctionClassifier(says_sales),
        CascadeSettings(),
        Metrics(cascade.register_metrics()),
    )
    asked = [classifier.classify(numbered(2)), *(classifier.explain(numbered(1)[0]) for _ in range(3))]
    await asyncio.gather(*asked, return_exceptions=True)
    assert most == 1


def words_at(weight: float, *spans: tuple[int, int]) -> Words:
    return Words("-", weight, tuple(Span("body", start, end) for start, end in spans))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([words_at(1, (0, 4)), words_at(2, (0, 4))], {((0, 4),): 3}),
        ([words_at(1, (0, 4)), words_at(2, (5, 9)), words_at(4, (0, 9))], {((0, 9),): 7}),
        ([words_at(1, (0, 4), (9, 13)), words_at(2, (0, 4))], {((0, 4), (9, 13)): 3}),
        ([words_at(1, (3, 4), (9, 10)), words_at(2, (0, 6))], {((0, 6),): 2, ((3, 4), (9, 10)): 1}),
        ([words_at(1, (0, 4)), words_at(2, (3, 6))], {((0, 4),): 1, ((3, 6),): 2}),
        ([words_at(1, (0, 4)), words_at(-1, (0, 4))], {}),
    ],
    ids=["one place", "in a phrase", "at one of its places", "elsewhere too", "overlapping", "to nothing"],
)
def test_words_are_added_up_where_one_stands_only_inside_the_other(
    given: list[Words], expected: dict[tuple[tuple[int, int], ...], float]
) -> None:
    for order in (given, given[::-1]):
        found = {tuple((span.start, span.end) for span in each.spans): each.weight for each in together(order)}
        assert found == expected


class Slow:
    """An outsider's plugin: a classifier `slow` that answers as it is told."""

    def __init__(self, classify: Classify) -> None:
        self._classifier = FunctionClassifier(classify)

    @hookimpl
    def register_classifiers(self) -> Iterable[Provider[Classifier]]:
        @asynccontextmanager
        async def open_slow(settings: NoSettings, host: Host) -> AsyncIterator[Classifier]:
            yield self._classifier

        return [Provider("slow", open_slow)]


async def test_a_service_says_that_the_second_failed_asks_for_review_and_does_not_remember_it() -> None:
    working = False

    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        if not working:
            raise LookupError("no luck")
        return [SURE_OF_SALES for _ in texts]

    settings = {
        "classifier.provider": "cascade",
        "classifier.cascade.first": "keyword",
        "classifier.cascade.second": "slow",
        "classifier.cascade.below": 1.0,
        "classifier.cascade.weights": [0, 1],
        "cache.provider": "memory",
    }
    async with running_service(settings, plugins=[Slow(classify)]) as running:

        async def asked() -> dict[str, Any]:
            body = {"subject": "", "body": ORDINARY[0].body, "sender_email": "ana@example.org"}
            async with running.client.post("/api/v1/inquiries/submit", json=body) as response:
                assert response.status == 201
                found: dict[str, Any] = await response.json()
                return found

        failed = await asked()
        assert failed["degraded"] == ["second classifier"]
        assert failed["needs_review"]
        assert "degraded" in failed["review_reasons"]
        assert failed["category"]["label"] == "billing"
        assert failed["model"]["name"] == "cascade"
        async with running.client.get(f"/api/v1/inquiries/{failed['inquiry_id']}") as response:
            assert (await response.json())["degraded"] == ["second classifier"]
        working = True
        answered = await asked()
        assert (answered["category"]["label"], answered["degraded"]) == ("sales", [])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"second": "cascade"}, "would open itself: cascade -> cascade"),
        ({"second": "keywrod"}, "did you mean 'keyword'"),
        ({"axes": ("mood",)}, "mood"),
        ({"axes": ()}, "axes"),
    ],
)
async def test_what_cannot_be_opened_is_refused_in_one_line(
    settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        async with opened(tmp_path, **settings):
            pass
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_configuration_in_the_page_is_the_default(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "classifiers.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    offers = Offers(build_manager())
    for block in blocks:
        (tmp_path / "page.toml").write_text(block)
        found, _ = load_settings(offers, file=tmp_path / "page.toml")
    assert found.classifier.provider == "cascade"
    assert found.of_providers["classifier", "cascade"] == CascadeSettings()


def test_a_host_of_its_own_lends_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lends none"):
        Host(tmp_path, Metrics()).open_classifier("keyword")


async def test_random_thresholds_never_make_an_unsound_verdict() -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(50):
        firsts = [verdict(chance.uniform(0.2, 1), chance.uniform(0.4, 1)) for _ in range(5)]
        classifier, _, _ = made(firsts, below=chance.random(), axes=("category", "sentiment", "urgency"))
        for found in await classifier.classify(numbered(5)):
            assert sum(found.scores) == pytest.approx(3)
            assert found.category.confidence == max(found.scores[:6])
