"""What words mean adds to the scores of the words themselves, and is learnt without the hands that are held out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from inquiry_svc.inquiries import AXES, Text
from inquiry_svc.labelled import read_labelled
from inquiry_svc_plugins.classifiers import xgboost as plugin
from inquiry_svc_plugins.classifiers.holding_out import Floats
from inquiry_svc_plugins.classifiers.xgboost import word_vectors
from inquiry_svc_plugins.classifiers.xgboost.faces import with_faces
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, Features, buckets_of, extract
from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS, LABELS, PRIOR, Meanings
from inquiry_svc_plugins.classifiers.xgboost.model import load_model
from inquiry_svc_plugins.classifiers.xgboost.word_vectors import (
    RIDGE,
    SHARES,
    VALENCE,
    WordVectors,
    read_vectors,
    shares_of_words,
    train_meanings,
    valence_weights,
)

CORPUS = plugin.PACKAGED_MODEL.with_name("corpus")
SHARE = np.repeat([SHARES[axis] for axis in AXES], [len(labels) for labels in AXES.values()])
"""Of each label."""
VECTORS = read_vectors()
MODEL = load_model(plugin.PACKAGED_MODEL)
MEANINGS = MODEL.linear.meanings
TEXTS = [row.text for row in read_labelled([CORPUS / "authored-1.jsonl"])]


def place_of(word: str) -> int:
    (place,) = np.flatnonzero(VECTORS.buckets == buckets_of([word])[0])
    return int(place)


def by_valence(features: Features) -> Floats:
    found: Floats = shares_of_words(features, VECTORS) @ valence_weights(VECTORS)
    return found


def alike(word: str, other: str) -> float:
    one, two = (VECTORS.vectors[place_of(each)] for each in (word, other))
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


# The vectors


def test_each_word_has_a_bucket_of_its_own_and_none_has_the_one_of_every_text() -> None:
    assert len(set(VECTORS.buckets.tolist())) == len(VECTORS.buckets) == len(VECTORS.vectors) == len(VECTORS.amounts)
    assert VECTORS.buckets.min() > 0


def test_a_word_counts_for_less_the_more_it_is_used() -> None:
    of_the, of_invoice, of_marmalade = (VECTORS.amounts[place_of(word)] for word in ("the", "invoice", "marmalade"))
    assert 0 < of_the < of_invoice < of_marmalade <= 1


@pytest.mark.parametrize(
    ("word", "near", "far"),
    [("refund", "reimbursement", "mattress"), ("salary", "wage", "router"), ("awful", "terrible", "router")],
)
def test_words_that_mean_alike_have_vectors_alike(word: str, near: str, far: str) -> None:
    assert alike(word, near) > alike(word, far) + 0.2


def test_a_word_is_as_pleasant_as_people_find_it() -> None:
    of_grateful, of_vile, of_router = (VECTORS.valences[place_of(word)] for word in ("grateful", "vile", "router"))
    assert of_vile < -2 < of_router == 0 < 2 <= of_grateful


def test_valences_speak_for_the_pleasant_label_and_against_the_other_alone() -> None:
    features = extract([Text("", "vile"), Text("", "a vile router"), Text("", "router")])
    found = by_valence(features)
    said = dict(zip(AXES["sentiment"], found[0, COLUMNS["sentiment"]], strict=True))
    place = place_of("vile")
    share = VECTORS.amounts[place] / (VECTORS.amounts[place] + PRIOR)
    assert said == pytest.approx(
        {"negative": -VALENCE * VECTORS.valences[place] * share, "neutral": 0.0, "positive": -said["negative"]}
    )
    assert np.abs(found[1]).max() < said["negative"], "others share in what the text says"
    assert not found[2].any()
    assert not np.delete(found, np.r_[COLUMNS["sentiment"]], axis=1).any()


# The layer


def test_the_scores_are_the_mean_of_what_the_words_say_by_their_amounts() -> None:
    text = Text("Refund", "the refund, please; zzqxv")
    known = [MEANINGS.rows[bucket] for bucket in buckets_of(["refund", "the", "please"])]
    assert MEANINGS.rows[buckets_of(["zzqxv"])[0]] == 0, "not in the vocabulary"
    rows = MEANINGS.table[known].astype(float)
    expected = rows[:, :LABELS].sum(axis=0) / (rows[:, LABELS].sum() + PRIOR)
    assert np.abs(expected).max() > 0.01
    assert MEANINGS.scores(extract([text]))[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("text", [Text("", ""), Text("", "zzqxv 12345 \u5de5\u5177")])
def test_a_text_without_a_known_word_says_nothing(text: Text) -> None:
    assert MEANINGS.scores(extract([text])).tolist() == [[0.0] * LABELS]


@pytest.mark.parametrize(
    ("word", "sentiment"), [("abhorrent", "negative"), ("euphoric", "positive"), ("triumphant", "positive")]
)
def test_a_word_that_the_corpus_lacks_says_what_people_think_of_it(word: str, sentiment: str) -> None:
    assert MODEL.linear.rows[(BUCKETS >> 1) + buckets_of([word])[0]] == 0, "n-grams know the word"
    assert MODEL.verdicts([Text("", f"I find the whole thing {word}.")])[0].sentiment.label == sentiment


def test_what_is_stored_answers_as_what_was_fitted() -> None:
    features, targets, weights, folds = case()
    arrays, bias, _ = train_meanings(features, VECTORS, targets, weights, folds)
    inputs = inputs_of(features, VECTORS)
    found = Meanings.from_arrays(arrays).scores(features) + bias
    expected = SHARE * (inputs @ exact(inputs, targets, weights)) + by_valence(features)
    assert (np.abs(found - expected) <= arrays["word_scale"] / 2 + 1e-6).all(), (
        "more than half a step of what is stored"
    )
    assert np.delete(arrays["word_scale"], np.r_[COLUMNS["sentiment"]]).max() < 0.02


def test_held_out_scores_are_those_of_a_layer_fitted_to_the_other_rows() -> None:
    features, targets, weights, folds = case()
    _, _, scores = train_meanings(features, VECTORS, targets, weights, folds)
    inputs = inputs_of(features, VECTORS)
    for fold in range(3):
        without = np.where((folds == fold)[:, None], 0.0, weights)
        expected = SHARE * (inputs @ exact(inputs, targets, without)) + by_valence(features)
        assert scores[folds == fold] == pytest.approx(expected[folds == fold], abs=1e-6)
    turned = np.where((folds == 1)[:, None], -targets, targets)
    _, _, other = train_meanings(features, VECTORS, turned, weights, folds)
    assert other[folds == 1] == pytest.approx(scores[folds == 1], abs=1e-6)
    assert np.abs(other[folds != 1] - scores[folds != 1]).max() > 0.1


def case() -> tuple[Features, Floats, Floats, NDArray[np.int64]]:
    """Rows of which some are not labelled on an axis, some weigh less, in three folds."""
    chance = np.random.default_rng(5)
    targets = chance.choice([-1.0, 1.0], (len(TEXTS), LABELS))
    weights = np.sqrt(chance.choice([1.0, 0.25], (len(TEXTS), 1))) * np.ones((len(TEXTS), LABELS))
    weights[::3, -len(AXES["urgency"]) :] = 0.0
    return extract(TEXTS), targets, weights, chance.integers(0, 3, len(TEXTS))


def inputs_of(features: Features, words: WordVectors) -> Floats:
    means = shares_of_words(features, words) @ words.vectors.astype(float)
    return np.hstack([means, np.ones((len(means), 1))])


def exact(inputs: Floats, targets: Floats, weights: Floats) -> Floats:
    """By least squares, with a row more for each weight that is held down."""
    ridge = np.sqrt(np.append(np.full(inputs.shape[1] - 1, RIDGE), 1e-6))
    found = np.empty((inputs.shape[1], LABELS))
    for label in range(LABELS):
        root = weights[:, label]
        system = np.vstack([inputs * root[:, None], np.diag(ridge)])
        wanted = np.append(targets[:, label] * root, np.zeros(len(ridge)))
        found[:, label] = np.linalg.lstsq(system, wanted, rcond=None)[0]
    return found


# How the vectors are made


def test_of_words_in_one_bucket_the_one_used_most_has_it() -> None:
    making = pytest.importorskip("inquiry_svc_plugins.classifiers.xgboost.vocabulary")
    from inquiry_svc_plugins.classifiers.minilm.encoder import open_encoder

    encoder = open_encoder("", 1)
    listed = [word for word in encoder.tokenizer.get_vocab() if len(word) > 1 and word.isascii() and word.isalpha()]
    buckets = Counter(buckets_of(listed).tolist())
    one, other = next(
        pair
        for pair in (
            [word for word, found in zip(listed, buckets_of(listed).tolist(), strict=True) if found == bucket]
            for bucket, count in buckets.items()
            if count == 2
        )
    )
    for more, less in ((one, other), (other, one)):
        words = making.vocabulary(encoder, Counter({more: 9, less: 3}))
        assert more in words
        assert less not in words
    assert "zzqxv" in making.vocabulary(encoder, Counter(zzqxv=2))
    assert "zzqxv" not in making.vocabulary(encoder, Counter(zzqxv=1))
    assert "zzqxv" in making.vocabulary(encoder, Counter(), ["zzqxv"])


def test_emoticons_of_one_face_have_their_mean_valence(tmp_path: Path) -> None:
    making = pytest.importorskip("inquiry_svc_plugins.classifiers.xgboost.vocabulary")
    valences = tmp_path / "valences.txt"
    valences.write_text(":(\t-1\n:-(\t-2\t0.5\n:)\t2\nrefund\t0.4\nno line of it\n%)\t-0.4\n")
    sad, glad = with_faces(":( :)").replace("\u200b", "").split()
    assert making.valences_of(valences) == {sad: -1.5, glad: 2.0, "refund": 0.4}
    assert making.words_of(Text("", "refund :-) now:(")) == {"refund", "now", glad, sad}


def test_faces_are_among_the_words_whose_valence_is_given() -> None:
    glad, sad, heart = with_faces(":) :( <3").replace("\u200b", "").split()
    of_glad, of_sad, of_heart = (VECTORS.valences[place_of(face)] for face in (glad, sad, heart))
    assert of_sad < -1 < 1 < of_heart
    assert of_glad > 1


def test_the_command_writes_what_a_training_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    making = pytest.importorskip("inquiry_svc_plugins.classifiers.xgboost.vocabulary")
    every = [word for text in TEXTS[:90] for word in sorted(making.words_of(text)) if len(word) > 6]
    every += ["refund", "reimbursement", "router", "the"]
    words = list(dict(zip(buckets_of(every).tolist(), every, strict=True)).values())
    assert len(words) > making.WIDTH
    monkeypatch.setattr(making, "vocabulary", lambda encoder, used, judged: words)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join((CORPUS / "authored-1.jsonl").read_text().splitlines(keepends=True)[:90]))
    out = tmp_path / "vectors.npz"
    valences = tmp_path / "valences.txt"
    valences.write_text("refund\t0.4\t1.2\t[1, 0]\nrouter\t-1.25\n:-(\t-2\nno line of it\n")
    result = CliRunner().invoke(making.main, [str(rows), "--valences", str(valences), "--out", str(out)])
    assert result.exit_code == 0, result.output
    monkeypatch.setattr(word_vectors, "VECTORS", out)
    made = read_vectors()
    assert made.buckets.tolist() == buckets_of(words).tolist()
    assert made.vectors.shape == (len(words), making.WIDTH)
    assert np.isfinite(made.vectors).all()
    near, far = (
        made.vectors[words.index("refund")] @ made.vectors[words.index(other)] for other in ("reimbursement", "router")
    )
    assert near > far
    judged = {word: round(float(made.valences[place]), 3) for place, word in enumerate(words) if made.valences[place]}
    assert judged == {"refund": 0.4, "router": -1.2}
    assert made.amounts[words.index("the")] == made.amounts.min()
