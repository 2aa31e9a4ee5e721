"""The keyword classifier keeps the contract and says what its lists say."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inquiry_svc.contracts import Classifier, Host, NoSettings
from inquiry_svc.inquiries import AXES, Text
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.classifiers import ClassifierContract, ExplainerContract, WeigherContract
from inquiry_svc_plugins.classifiers import keyword


class TestKeyword(ClassifierContract, ExplainerContract, WeigherContract):
    @pytest.fixture
    async def classifier(self, tmp_path: Path) -> AsyncIterator[Classifier]:
        async with keyword.open_keyword(NoSettings(), Host(tmp_path, Metrics())) as classifier:
            yield classifier


@pytest.fixture
def classifier() -> Classifier:
    return keyword.KeywordClassifier()


async def test_an_empty_text_gets_the_priors(classifier: Classifier) -> None:
    (verdict,) = await classifier.classify([Text("", "")])
    first = 0
    for labels in AXES.values():
        priors = [keyword.PRIORS[label] for label in labels]
        assert verdict.scores[first : first + len(labels)] == pytest.approx([prior / sum(priors) for prior in priors])
        first += len(labels)


async def test_whole_words_count_once_each_in_any_case(classifier: Classifier) -> None:
    one, repeated, part = await classifier.classify(
        [Text("", "an INVOICE"), Text("", "Invoice, invoice? invoice!"), Text("", "invoiceless")]
    )
    assert one.category.label == "billing"
    assert one.scores == repeated.scores
    assert len(set(part.scores[:6])) == 1


async def test_without_a_word_of_any_category_there_is_no_evidence(classifier: Classifier) -> None:
    verdicts = await classifier.classify([Text("", "an invoice"), Text("", "urgent, thanks"), Text("", "merci")])
    assert [verdict.evidence for verdict in verdicts] == [1.0, 0.0, 0.0]


async def test_a_curly_apostrophe_is_an_apostrophe(classifier: Classifier) -> None:
    plain, curly = await classifier.classify([Text("", "I can't log in"), Text("", "I can\u2019t log in")])
    assert plain == curly
    assert plain.category.label == "technical_support"


async def test_a_pasted_list_of_keywords_counts_for_little_more_than_three_of_them(classifier: Classifier) -> None:
    some, everything = await classifier.classify(
        [Text("", "lawyer court gdpr"), Text("", " ".join(keyword.KEYWORDS["legal"]))]
    )
    assert some.category.label == everything.category.label == "legal"
    assert everything.category.confidence <= some.category.confidence < 0.97


async def test_long_texts_leave_others_their_turn_on_the_event_loop(classifier: Classifier) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await classifier.classify([Text("", "invoice " * 1200)] * 10)
    counting.cancel()
    assert turns >= 4


def test_every_label_has_words_and_each_word_is_lower_case_and_listed_once() -> None:
    assert set(keyword.KEYWORDS) == {label for labels in AXES.values() for label in labels} == set(keyword.PRIORS)
    for label, words in keyword.KEYWORDS.items():
        assert words, label
        assert list(words) == sorted({word.lower().strip() for word in words}), label


async def explained(text: Text) -> dict[str, list[tuple[str, float, list[int]]]]:
    """For each axis: word, weight and the places where it starts."""
    axes = (await keyword.KeywordClassifier().explain(text)).axes
    return {
        axis: [(words.text, words.weight, [span.start for span in words.spans]) for words in each.words]
        for axis, each in axes.items()
    }


async def test_a_word_weighs_the_logarithm_of_its_weight_for_its_label_and_against_it_for_the_runner_up() -> None:
    classifier = keyword.KeywordClassifier()
    explanation = (await classifier.explain(Text("", "Refund my card, and send a demo. A REFUND!"))).axes["category"]
    assert (explanation.label.label, explanation.runner_up.label) == ("billing", "sales")
    one = math.log(keyword.WEIGHTS["category"])
    found = {words.text: words.weight for words in explanation.words}
    assert found == pytest.approx({"Refund": one, "card": one, "demo": -one})
    assert [span.start for span in explanation.words[0].spans] == [0, 35]
    assert explanation.base == 0
    assert explanation.margin == pytest.approx(one)


async def test_more_words_of_a_list_than_are_counted_share_what_those_count_for() -> None:
    words = keyword.KEYWORDS["legal"][:6]
    found = (await explained(Text("", ". ".join(words))))["category"]
    total = keyword.MAX_COUNTED * math.log(keyword.WEIGHTS["category"])
    assert {word: weight for word, weight, _ in found} == pytest.approx(dict.fromkeys(words, total / 6))


async def test_the_base_is_that_of_the_priors() -> None:
    explanation = (await keyword.KeywordClassifier().explain(Text("", ""))).axes["urgency"]
    assert (explanation.label.label, explanation.runner_up.label) == ("medium", "high")
    assert explanation.margin == pytest.approx(explanation.base)
    assert explanation.base == pytest.approx(math.log(keyword.PRIORS["medium"] / keyword.PRIORS["high"]))


async def test_places_are_counted_in_the_text_as_it_was_given() -> None:
    growing = "\u0130\u0130 \U0001f525"
    found = await explained(Text(f"{growing} invoice", f"{growing} I can\u2019t log in: Invoice"))
    assert {(word, tuple(starts)) for word, _, starts in found["category"]} == {
        ("invoice", (5, 21)),
        ("can\u2019t log in", (7,)),
        ("log in", (13,)),
    }
