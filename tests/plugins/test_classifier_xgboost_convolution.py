"""What tokens say in their order is read as promised, and learnt without the hands that are held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from inquiry_svc.inquiries import AXES, Text
from inquiry_svc.labelled import read_labelled
from inquiry_svc_plugins.classifiers import xgboost as plugin
from inquiry_svc_plugins.classifiers.xgboost import convolution_net as net
from inquiry_svc_plugins.classifiers.xgboost import convolution_training as training
from inquiry_svc_plugins.classifiers.xgboost.convolution import (
    AROUND,
    FILTERS,
    FIRST,
    MEAN_PARTS,
    NOTHING,
    UNKNOWN,
    WINDOW,
    Convolution,
    to_arrays,
)
from inquiry_svc_plugins.classifiers.xgboost.features import Features, buckets_of, extract
from inquiry_svc_plugins.classifiers.xgboost.meanings import LABELS
from inquiry_svc_plugins.classifiers.xgboost.model import load_model
from inquiry_svc_plugins.classifiers.xgboost.word_vectors import read_vectors

CORPUS = plugin.PACKAGED_MODEL.with_name("corpus")
VECTORS = read_vectors()
SHIPPED = load_model(plugin.PACKAGED_MODEL).linear.convolution
BEYOND = [NOTHING] * AROUND
TEXTS = [row.text for row in read_labelled([CORPUS / "authored-1.jsonl"])]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As a training has it: several tests at once would wait for each other's threads."""
    with threadpool_limits(1):
        yield


# Reading


def by_hand(layer: Convolution, tokens: Sequence[int]) -> list[float]:
    """The scores of one text, token by token."""
    rows = [*BEYOND, *(int(layer.rows[token]) for token in tokens), *BEYOND]
    worth = layer.table.reshape(len(layer.table), WINDOW, FILTERS).astype(int)
    fits = [
        np.maximum(sum(worth[rows[at + place], place] for place in range(WINDOW)) + layer.bias, 0)
        for at in range(len(tokens))
    ]
    best = np.max(fits, axis=0)
    mean = np.rint(np.sum(fits, axis=0) * MEAN_PARTS / len(tokens))
    return list((layer.out[0] @ best) * layer.scale[0] + (layer.out[1] @ mean) * layer.scale[1])


@pytest.mark.parametrize("text", [*TEXTS[:9], Text("Hi", "!"), Text("", "zzqxv"), Text("", "not working " * 900)])
def test_the_scores_are_those_of_the_best_windows_and_of_the_mean(text: Text) -> None:
    features = extract([text])
    expected = by_hand(SHIPPED, features.tokens.tolist())
    assert np.abs(expected).max() > 0.001
    assert SHIPPED.scores(features)[0] == pytest.approx(expected, abs=1e-4)


def test_a_text_without_tokens_says_nothing() -> None:
    features = extract([Text("", " "), TEXTS[0], Text("", "\n")])
    scores = SHIPPED.scores(features)
    assert scores[[0, 2]].tolist() == [[0.0] * LABELS] * 2
    assert scores[1].tolist() == SHIPPED.scores(extract([TEXTS[0]]))[0].tolist()
    assert SHIPPED.contributions(extract([Text("", "")])).shape == (0, LABELS)


def test_what_the_tokens_add_makes_up_the_scores() -> None:
    for text in TEXTS[:40]:
        features = extract([text])
        adds = SHIPPED.contributions(features)
        assert adds.shape == (len(features.tokens), LABELS)
        assert adds.sum(axis=0) == pytest.approx(SHIPPED.scores(features)[0], abs=1e-5)


def test_the_same_words_in_another_order_say_something_else() -> None:
    one, other = (SHIPPED.scores(extract([Text("", body)]))[0] for body in ("not good, bad", "not bad, good"))
    negative, positive = (len(AXES["category"]) + AXES["sentiment"].index(label) for label in ("negative", "positive"))
    assert one[negative] - one[positive] > other[negative] - other[positive] + 0.05


# Storing


def test_what_is_stored_answers_as_what_was_learnt() -> None:
    chance = np.random.default_rng(3)
    buckets = np.unique(extract(TEXTS).tokens)
    vectors = chance.normal(size=(FIRST + len(buckets), 16)).astype(np.float32)
    filters = chance.normal(size=(WINDOW * 16, FILTERS)).astype(np.float32)
    bias, out = (chance.normal(size=shape).astype(np.float32) for shape in (FILTERS, (2 * FILTERS, LABELS)))
    layer = Convolution.from_arrays(to_arrays(buckets, vectors, filters, bias, out))
    assert not layer.table[NOTHING].any()
    vectors[NOTHING] = 0
    gaps = []
    for text in TEXTS[:60]:
        features = extract([text])
        rows = [*BEYOND, *(FIRST + np.searchsorted(buckets, features.tokens)), *BEYOND]
        windows = np.hstack([vectors[rows[place : place + len(features.tokens)]] for place in range(WINDOW)])
        fits = np.maximum(windows @ filters + bias, 0)
        expected = np.hstack([fits.max(axis=0), fits.mean(axis=0)]) @ out
        gaps.append(np.abs(layer.scores(features)[0] - expected).max() / np.abs(expected).max())
    assert max(gaps) < 0.03


def test_a_token_that_nobody_knows_has_a_row_for_all_of_them() -> None:
    assert SHIPPED.rows[buckets_of(["zzqxv"])[0]] == UNKNOWN
    assert SHIPPED.rows[buckets_of(["refund"])[0]] >= FIRST


# Learning


def labelled(texts: Sequence[Text]) -> tuple[Features, dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    chance = np.random.default_rng(5)
    answers = {axis: chance.integers(-1, len(labels), len(texts)) for axis, labels in AXES.items()}
    return extract(texts), answers, chance.integers(0, 3, len(texts))


def test_held_out_scores_know_nothing_of_the_answers_that_are_held_out() -> None:
    features, answers, folds = labelled(TEXTS)
    weights = np.ones(len(TEXTS))
    told = 0

    def tell() -> None:
        nonlocal told
        told += 1

    _, scores = training.train_convolution(features, VECTORS, answers, weights, folds, tell)
    assert told == 1 + training.parts_of(folds) == 4
    others = {axis: np.where(folds == 1, 0, each) for axis, each in answers.items()}
    _, again = training.train_convolution(features, VECTORS, others, weights, folds, tell)
    assert again[folds == 1].tolist() == scores[folds == 1].tolist()
    assert np.abs(again[folds != 1] - scores[folds != 1]).max() > 0.001


def test_rows_that_weigh_nothing_teach_nothing() -> None:
    features, answers, folds = labelled(TEXTS[:99])
    weights = np.where(np.arange(99) % 2, 1.0, 0.0)
    arrays, _ = training.train_convolution(features, VECTORS, answers, weights, folds, lambda: None)
    others = {axis: np.where(weights > 0, each, 0) for axis, each in answers.items()}
    again, _ = training.train_convolution(features, VECTORS, others, weights, folds, lambda: None)
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)


def test_it_learns_what_only_the_order_of_words_says() -> None:
    """Which of two words has the "not", where every text has the same words."""
    chance = np.random.default_rng(7)
    words = ["good", "bad", "order", "bill", "today", "please"]
    bodies, answer = [], []
    for _ in range(1500):
        mixed = chance.permutation(words).tolist()
        denied = mixed.index("good" if chance.random() < 0.5 else "bad")
        answer.append(AXES["sentiment"].index("negative" if mixed[denied] == "good" else "positive"))
        bodies.append(" ".join([*mixed[:denied], "not", *mixed[denied:]]))
    answers = {axis: np.array(answer) if axis == "sentiment" else np.full(1500, -1) for axis in AXES}
    features = extract([Text("", body) for body in bodies])
    folds = np.arange(1500) % 3
    _, scores = training.train_convolution(features, VECTORS, answers, np.ones(1500), folds, lambda: None)
    first = len(AXES["category"])
    found = scores[:, first : first + len(AXES["sentiment"])].argmax(axis=1)
    assert (found == answer).mean() > 0.95


def test_the_slopes_are_those_of_the_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    for dropped in ("TOKENS_DROPPED", "NUMBERS_DROPPED", "FILTERS_DROPPED", "SMOOTHING"):
        monkeypatch.setattr(net, dropped, 0.0)
    monkeypatch.setattr(training, "EPOCHS", 3)
    features, answers, _ = labelled(TEXTS[:64])
    task, _ = training.task_of(features, VECTORS, answers, np.ones(64))
    learnt, rows = training.trained(task, np.arange(64)), np.arange(64)
    slopes = net.slopes_of(learnt, task, rows, np.random.default_rng(11))

    def surprise() -> float:
        scores = net.scores_of(learnt, task.texts, rows).astype(float) + learnt.out_bias
        total, first = 0.0, 0
        for axis, labels in AXES.items():
            own = scores[:, first : first + len(labels)]
            first += len(labels)
            known = answers[axis] >= 0
            chosen = own[np.arange(64), answers[axis].clip(0)]
            total += float((np.logaddexp.reduce(own, axis=1) - chosen)[known].sum())
        return total / 64

    for name, (slope, places) in slopes.items():
        values = getattr(learnt, name)
        before, way = values.copy(), slope / np.linalg.norm(slope)
        found = []
        for step in (0.01, -0.01):
            values[places] = before[places] + step * way
            found.append(surprise())
        values[:] = before
        assert (found[0] - found[1]) / 0.02 == pytest.approx(np.linalg.norm(slope), rel=0.02), name
