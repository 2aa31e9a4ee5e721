"""The vectorised features are held to a plain, slow reading of the same rules; the arrays of trees to XGBoost."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
import xgboost as library
from numpy.typing import NDArray

from inquiry_svc.inquiries import AXES, Text
from inquiry_svc.labelled import read_labelled
from inquiry_svc.testing.classifiers import ODD, ORDINARY
from inquiry_svc_plugins.classifiers import xgboost as plugin
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKET_BITS, MAX_TEXTS, SURFACE, Features, extract
from inquiry_svc_plugins.classifiers.xgboost.lexicon import LEXICON
from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS, LABELS
from inquiry_svc_plugins.classifiers.xgboost.model import forest_inputs, load_model
from inquiry_svc_plugins.classifiers.xgboost.training import margins_of
from inquiry_svc_plugins.classifiers.xgboost.trees import forest_from_booster
from inquiry_svc_plugins.classifiers.xgboost.units import BLANK, DROPPED, LETTER, MULTIPLIER, unit_tables

CORPUS = plugin.PACKAGED_MODEL.with_name("corpus")


def corpus_texts() -> list[Text]:
    return [row.text for row in read_labelled(sorted(CORPUS.glob("authored-[1-8].jsonl")))]


# One text at a time, one character at a time


def plain_buckets(text: Text) -> tuple[list[int], list[int], list[int]]:
    """The buckets of characters, of words and of single words that `features.py` promises."""
    units = plain_units(text)
    folded = [0x20, *(int(unit_tables().folded[unit]) for unit in units), 0x20]
    characters = {0}
    for size in (3, 4, 5):
        for start in range(len(folded) - size + 1):
            gram = folded[start : start + size]
            if 0x20 not in gram[1:-1]:
                characters.add(mix(polynomial(gram)))
    words = plain_words(units)
    pairs = [first * int(MULTIPLIER) + second for first, second in itertools.pairwise(words)]
    singles = {0, *map(mix, words)}
    return sorted(characters), sorted(singles | {*map(mix, pairs)}), sorted(singles)


def plain_units(text: Text) -> list[int]:
    whole = f"{text.subject}\n{text.body}".replace("\x00", " ")
    if any(mark in whole for mark in ("@", "://", "www.")):
        whole = " ".join(
            "\ue000" if "@" in word else "\ue001" if "://" in word or word.startswith("www.") else word
            for word in whole.split()
        )
    encoded = whole.encode("utf-16-le", "surrogatepass")
    units = [int.from_bytes(encoded[at : at + 2], "little") for at in range(0, len(encoded), 2)]
    return [unit for unit in units if unit_tables().kinds[unit] != DROPPED]


def plain_words(units: list[int]) -> list[int]:
    words: list[list[int]] = [[]]
    for unit in units:
        if unit_tables().kinds[unit] >= LETTER:
            words[-1].append(int(unit_tables().folded[unit]))
        elif words[-1]:
            words.append([])
    powers = [pow(int(MULTIPLIER), place + 1, 1 << 32) for place in range(32)]
    return [sum(unit * powers[min(place, 31)] for place, unit in enumerate(word)) % (1 << 32) for word in words if word]


def polynomial(gram: list[int]) -> int:
    value = 0
    for unit in gram:
        value = (value * int(MULTIPLIER) + unit) % (1 << 32)
    return value


def mix(value: int) -> int:
    value %= 1 << 32
    value ^= value >> 15
    value = value * 0x85EBCA6B % (1 << 32)
    value ^= value >> 13
    value = value * 0xC2B2AE35 % (1 << 32)
    return value >> (32 - BUCKET_BITS)


def plain_tokens(text: Text) -> list[int]:
    """The bucket of each word and of each mark, in their order."""
    tokens: list[list[int]] = [[]]
    for unit in plain_units(text):
        kind, folded = unit_tables().kinds[unit], int(unit_tables().folded[unit])
        if kind >= LETTER:
            tokens[-1].append(folded)
        else:
            tokens += [[folded], []] if kind != BLANK else [[]]
    powers = [pow(int(MULTIPLIER), place + 1, 1 << 32) for place in range(32)]
    return [mix(sum(unit * powers[min(place, 31)] for place, unit in enumerate(each))) for each in tokens if each]


def of_text(features: Features, place: int) -> tuple[list[int], list[int], list[int]]:
    starts = [*features.starts.tolist(), len(features.buckets)]
    characters = features.buckets[starts[2 * place] : starts[2 * place + 1]]
    words = features.buckets[starts[2 * place + 1] : starts[2 * place + 2]]
    ends = [*features.word_starts.tolist(), len(features.words)]
    singles = features.words[ends[place] : ends[place + 1]]
    return characters.tolist(), (words - (1 << BUCKET_BITS)).tolist(), singles.tolist()


def surface_of(text: Text) -> dict[str, float]:
    return dict(zip(SURFACE, extract([text]).surface[0].tolist(), strict=True))


def test_buckets_are_those_of_the_plain_reading() -> None:
    texts = [*ODD.values(), *ORDINARY, *corpus_texts()[::40], Text("\x00a", "b\x00\x00c@d e")]
    features = extract(texts)
    for place, text in enumerate(texts):
        assert of_text(features, place) == plain_buckets(text), text
        ends = [*features.token_starts.tolist(), len(features.tokens)]
        assert features.tokens[ends[place] : ends[place + 1]].tolist() == plain_tokens(text), text


def test_features_of_a_text_do_not_depend_on_the_batch() -> None:
    texts = [*ODD.values(), *ORDINARY, *corpus_texts()[:40]]
    random.Random(7).shuffle(texts)
    together = extract(texts)
    for place, text in enumerate(texts):
        alone = extract([text])
        assert of_text(together, place) == of_text(alone, 0)
        assert together.surface[place].tolist() == alone.surface[0].tolist()


def test_case_digits_addresses_and_invisible_characters_make_no_difference() -> None:
    def buckets(body: str) -> list[int]:
        found: list[int] = extract([Text("", body)]).buckets.tolist()
        return found

    assert buckets("Refund Order 123") == buckets("reFUND order 987")
    assert buckets("ask ana@example.org now") == buckets("ask bo.li@mail.example now")
    assert buckets("see https://a.example/x?y=1 now") == buckets("see www.b.example now")
    assert buckets("re\u200bfund\ufeff") == buckets("refund")
    assert buckets("I can\u2019t") == buckets("I can't")
    assert buckets("refund") != buckets("refunds")


def test_surface_counts_are_as_by_hand() -> None:
    counts = surface_of(Text("Hm", "GREAT! great!! Not good? 12"))
    assert counts["log_length"] == pytest.approx(math.log1p(1 + 2 + 1 + 27))
    assert counts["log_words"] == pytest.approx(math.log1p(6))
    assert counts["has_subject"] == 1
    assert counts["exclamation_marks"] == 3
    assert counts["question_marks"] == 1
    assert counts["capitals_share"] == pytest.approx(7 / 31)
    assert counts["digits_share"] == pytest.approx(2 / 31)
    assert counts["positive_words"] == 3
    assert counts["negations"] == 1
    assert counts["negative_words"] == counts["pressing_words"] == counts["unhurried_words"] == 0


def test_each_word_of_the_lexicon_counts_for_its_list_alone() -> None:
    for name, words in LEXICON.items():
        for word in words:
            counts = surface_of(Text("", word))
            assert {listed: counts[listed] for listed in LEXICON} == {
                listed: float(listed == name) for listed in LEXICON
            }


def test_none_and_too_many_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="0 texts in one call"):
        extract([])
    with pytest.raises(ValueError, match=f"{MAX_TEXTS + 1} texts in one call"):
        extract([Text("", "")] * (MAX_TEXTS + 1))


# The trees


@pytest.fixture(scope="module")
def inputs() -> NDArray[np.float32]:
    model = load_model(plugin.PACKAGED_MODEL)
    features = extract([*ODD.values(), *corpus_texts()])
    return forest_inputs(model.linear.scores(features), features.surface)


@pytest.mark.parametrize("axis", AXES)
def test_the_arrays_of_trees_answer_as_the_packaged_xgboost_file_does(axis: str, inputs: NDArray[np.float32]) -> None:
    forest = load_model(plugin.PACKAGED_MODEL).forests[axis]
    booster = library.Booster(model_file=str(plugin.PACKAGED_MODEL / f"{axis}.ubj"))
    expected = margins_of(axis, booster, np.ascontiguousarray(inputs.T))
    assert np.abs(forest.margins(inputs) - expected).max() < 1e-5
    assert (expected - inputs[COLUMNS[axis]].T).std(axis=0).min() > 0.01, "the trees differ from text to text"


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_trees_of_any_depth_and_shape_become_the_same_arrays(depth: int, tmp_path: Path) -> None:
    chance = np.random.default_rng(depth)
    inputs = chance.normal(size=(400, LABELS + 2)).astype(np.float32)
    answers = (inputs[:, 0] * inputs[:, 1] > 0).astype(int) + (inputs[:, 2] > 1)
    data = library.DMatrix(inputs, answers, base_margin=inputs[:, COLUMNS["sentiment"]], nthread=1)
    settings = {"objective": "multi:softprob", "num_class": 3, "max_depth": depth, "nthread": 1}
    booster = library.train({**settings, "gamma": 1.0}, data, 20)
    forest = forest_from_booster(booster, "sentiment", depth)
    expected = booster.predict(data, output_margin=True)
    assert np.abs(forest.margins(np.ascontiguousarray(inputs.T)) - expected).max() < 1e-5
    thresholds = forest.thresholds[np.isfinite(forest.thresholds)]
    on_the_edge = np.repeat(thresholds[:50, None], LABELS + 2, axis=1)
    edge = margins_of("sentiment", booster, on_the_edge)
    assert np.abs(forest.margins(np.ascontiguousarray(on_the_edge.T)) - edge).max() < 1e-5
