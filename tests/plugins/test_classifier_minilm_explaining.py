"""The words that `minilm` names have their exact share of the margin, and without one it moves as that share says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inquiry_svc.contracts import Classifier, Host
from inquiry_svc.explanations import margin_between
from inquiry_svc.inquiries import AXES, Text
from inquiry_svc.labelled import read_labelled
from inquiry_svc.leaving_out import leave_out
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.classifiers import ODD, ORDINARY, ExplainerContract, WeigherContract
from inquiry_svc_plugins.classifiers import minilm as plugin
from inquiry_svc_plugins.classifiers.minilm import explaining
from inquiry_svc_plugins.classifiers.minilm.encoder import MAX_TOKENS, open_encoder
from inquiry_svc_plugins.classifiers.minilm.explaining import explain, judge, weigh, words_of
from inquiry_svc_plugins.classifiers.minilm.model import load_model
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL as XGBOOST

MODEL = load_model(plugin.PACKAGED_MODEL, open_encoder("", 1))
JUDGING = [row.text for row in read_labelled([XGBOOST.with_name("corpus") / "judging" / "judging-2.jsonl"])[:5]]


def opened(folder: Path) -> AbstractAsyncContextManager[Classifier]:
    return plugin.open_minilm(plugin.MinilmSettings(), Host(folder, Metrics()))


class TestMinilmSaysWhy(ExplainerContract, WeigherContract):
    @pytest.fixture(autouse=True)
    def short_of_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(explaining, "MOST_TOKENS", 600)

    @pytest.fixture
    async def classifier(self, tmp_path: Path) -> AsyncIterator[Classifier]:
        async with opened(tmp_path) as classifier:
            yield classifier


pieces = st.sampled_from(
    [
        *("refund", "Refund", "can't", "don\u2019t", "\u0130stanbul", "1,500", "ana@example.org", "[SEP]", "[MASK]"),
        *("\U0001f525", "\ud83d", "\u200b", "\u0301", "\n", "\x00", "\u8acb\u6c42", "!", "'", "unsubscribable"),
    ]
)
strings = (
    st.text(max_size=40) | st.lists(pieces, max_size=15).map("".join) | st.lists(pieces, max_size=15).map(" ".join)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.builds(Text, strings, strings))
@example(text=Text("", ""))
@example(text=Text("", "invoice " * MAX_TOKENS))
def test_the_shares_of_any_text_add_up_to_its_margins_and_stand_in_it(text: Text) -> None:
    (verdict,) = MODEL.verdicts([text])
    for axis, each in weigh(MODEL, text).items():
        assert each.total == pytest.approx(each.margin, abs=1e-4), axis
        margin = margin_between(verdict, axis, each.label.label, each.runner_up.label)
        assert each.margin == pytest.approx(margin, abs=1e-4), axis
        for words in each.words:
            written = [getattr(text, span.field)[span.start : span.end] for span in words.spans]
            assert {each.casefold() for each in written} == {words.text.casefold()}


def test_of_mail_that_it_has_not_seen_every_word_named_moves_the_margin_as_it_weighs_and_the_parts_add_up() -> None:
    named = 0
    for text in JUDGING:
        for axis, each in explain(MODEL, text).axes.items():
            assert each.total == pytest.approx(each.margin, abs=1e-4), axis
            for words in each.words:
                (verdict,) = MODEL.verdicts([leave_out(text, words.spans)])
                left = margin_between(verdict, axis, each.label.label, each.runner_up.label)
                assert (left < each.margin) == (words.weight > 0), (axis, words.text)
                named += 1
    assert named > 40


def test_its_shares_alone_would_often_name_words_without_which_the_margin_moves_the_other_way() -> None:
    """Why each is tried: were it not so, that could go."""
    other_way = 0
    for text in JUDGING[:3]:
        for axis, each in weigh(MODEL, text).items():
            for words in each.words[:12]:
                (verdict,) = MODEL.verdicts([leave_out(text, words.spans)])
                left = margin_between(verdict, axis, each.label.label, each.runner_up.label)
                other_way += (left < each.margin) != (words.weight > 0)
    assert other_way > 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (Text("", "unsubscribable"), {"unsubscribable": [0]}),
        (Text("Refund", "a refund, REFUND"), {"Refund": [0, 2, 10], ",": [8]}),
        (Text("", "I can't, 'really' don\u2019t"), {"can't": [2], "'": [9, 16], "really": [10], "don\u2019t": [18]}),
        (Text("", "re\u200bfund\U0001f525 now"), {"re\u200bfund\U0001f525": [0], "now": [9]}),
        (Text("", "twi\u00e9ce ''s'' \U0001f525"), {"twi\u00e9ce": [0], "'": [7, 8, 10, 11], "s": [9]}),
        (Text("half \ud83d", "x"), {"half": [0], "\ud83d": [5], "x": [0]}),
    ],
)
def test_a_word_made_of_pieces_is_one_wherever_it_stands(text: Text, expected: dict[str, list[int]]) -> None:
    found = {}
    for word in words_of(text, MODEL.encoder.read(text)):
        first = word.spans[0]
        found[getattr(text, first.field)[first.start : first.end]] = [span.start for span in word.spans]
    assert {word: found.get(word) for word in expected} == expected


def test_no_more_is_read_than_so_many_tokens_but_one_text_always_is(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(MODEL.encoder.read(ORDINARY[0]))
    monkeypatch.setattr(explaining, "MOST_TOKENS", 3 * size)
    assert judge(MODEL, [ORDINARY[0]] * 5) == MODEL.verdicts([ORDINARY[0]]) * 3
    assert len(judge(MODEL, [ODD["10,000 characters"]] * 2)) == 1


async def test_classifying_does_not_wait_for_explanations_and_one_given_up_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, begun, asked = threading.Event(), threading.Event(), 0
    verdict = type(MODEL).verdict

    def in_its_time(model: object, embedding: object) -> object:
        nonlocal asked
        if threading.current_thread().name.startswith("minilm-explainer"):
            asked += 1
            begun.set()
            go_on.wait()
        return verdict(model, embedding)  # type: ignore[arg-type]

    async with opened(tmp_path) as classifier:
        assert isinstance(classifier, plugin.MinilmClassifier)
        monkeypatch.setattr(type(MODEL), "verdict", in_its_time)
        explaining = asyncio.create_task(classifier.explain(ORDINARY[0]))
        await asyncio.to_thread(begun.wait)
        assert len(await classifier.classify(ORDINARY)) == len(ORDINARY)
        assert not explaining.done()
        explaining.cancel()
        await asyncio.wait([explaining])
        go_on.set()
        await classifier.weigh(ORDINARY[0], {axis: (labels[0], labels[1]) for axis, labels in AXES.items()})
    assert asked == 2, "of the cuts, none was read"
