"""The compiled kernel answers every text as numpy does, stays within its memory, and is not used where it would not."""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inquiry_svc.contracts import Host
from inquiry_svc.inquiries import AXES, Text
from inquiry_svc.labelled import read_labelled
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.classifiers import ODD, ORDINARY
from inquiry_svc_plugins.classifiers import xgboost as plugin
from inquiry_svc_plugins.classifiers.xgboost import fast
from inquiry_svc_plugins.classifiers.xgboost.fast import FastModel, quickened
from inquiry_svc_plugins.classifiers.xgboost.features import extract
from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS, LABELS, ROW
from inquiry_svc_plugins.classifiers.xgboost.model import TriageModel, forest_inputs, load_model
from inquiry_svc_plugins.classifiers.xgboost.temperatures import Temperatures
from inquiry_svc_plugins.classifiers.xgboost.trees import Forest

CORPUS = plugin.PACKAGED_MODEL.with_name("corpus")
REFERENCE = load_model(plugin.PACKAGED_MODEL)
FIRST_LABELS: Final = [sum(len(labels) for labels in list(AXES.values())[:axis]) for axis in range(1, len(AXES))]

PIECES: Final = (
    *(
        "refund",
        "URGENT ",
        "can\u2019t",
        "caf\u00e9",
        "cafe\u0301",
        "re\u200bfund",
        "don't ",
        "great ",
        "2024",
        "x" * 40,
    ),
    *(":)", ":-(", " :D", ";-)", "<3", ":'(", "<", "3", "(", ")"),
    *("@", "a@b", "://", ":/", "https://x.example/y?z=1", "www.", "www", "xwww.", "www.a", "(www.b)", "w", ":", "/"),
    *(" ", "  ", "\n", "\t", "\x00", "\x00\x00", "\x1c", "\x85", "\u00a0", "\u2028", "\u3000", "\u200b", "\u2060"),
    *("!", "!!!!!!", "?", ".", "-", "\u2764\ufe0f", "\U0001f525", "\ud83d", "\udc4d", "\u0301", "\u202e", "\ufeff"),
    *(
        "r\u0435fund",
        "\uff32\uff25\uff26",
        "\U0001d429ay",
        "\u3164",
        "\uff20",
        "> On Monday Bo wrote:\n",
        "refund invoice ",
    ),
    *("a", "b", "A", "\u0130", "\u1e9e", "\u03a3", "\u0416", "\u5de5\u5177", "\ue000", "\uffff", "\U0010ffff"),
)
"""What words, addresses and folding turn on, to be put together in any order."""

strings = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=()), max_size=40).map("".join)


def assert_same_answers(texts: Sequence[Text], reference: TriageModel = REFERENCE) -> None:
    quick = quickened(reference)
    assert isinstance(quick, FastModel), "install the package again: its kernel is missing or old"
    (expected, evidence), (found, by_kernel) = reference.judge(texts), quick.judge(texts)
    assert np.array_equal(by_kernel, evidence)
    apart = np.abs(found - expected).max(axis=1)
    assert apart.max() <= fast.TOLERANCE, f"{texts[int(apart.argmax())]!r}: {apart.max()} apart"
    for ours, theirs in zip(_by_axis(found), _by_axis(expected), strict=True):
        assert np.array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))


def _by_axis(probabilities: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return np.split(probabilities, FIRST_LABELS, axis=1)


# The same answers


def test_the_corpus_is_answered_as_by_numpy() -> None:
    texts = [row.text for row in read_labelled(sorted(CORPUS.rglob("*.jsonl")))]
    for at in range(0, len(texts), 500):
        assert_same_answers(texts[at : at + 500])


def test_odd_texts_are_answered_as_by_numpy() -> None:
    assert_same_answers([*ODD.values(), *ORDINARY])
    assert_same_answers([ODD["nothing at all"]])


@given(st.lists(st.builds(Text, strings, strings), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_any_text_is_answered_as_by_numpy(texts: list[Text]) -> None:
    assert_same_answers(texts)


def test_each_utf_16_unit_is_read_as_by_numpy() -> None:
    units = [chr(code) for code in range(0x10000)]
    rows = ["".join(units[at : at + 32]) for at in range(0, len(units), 32)]
    for at in range(0, len(rows), 256):
        assert_same_answers([Text(" ".join(row), f"a{'b a'.join(row)}b @{row}@ x") for row in rows[at : at + 256]])


def test_what_the_trees_look_at_is_the_same_to_the_bit() -> None:
    """Scores before they are rounded, whatever the number of n-grams: they are summed in halves and in eights."""
    rows = read_labelled([CORPUS / "authored-2.jsonl"])
    body = "!?!??? ".join(row.text.body for row in rows)
    texts = [Text("", body[7 * length :][:length]) for length in (*range(300), *range(300, 10_001, 111))]
    larger = np.array([1 << 14] * LABELS + [1] * (ROW - LABELS), np.float32)
    linear = REFERENCE.linear
    unrounded = replace(
        linear,
        table=linear.table * larger,
        meanings=replace(linear.meanings, table=linear.meanings.table * larger),
        convolution=replace(linear.convolution, scale=linear.convolution.scale * np.float32(1 << 14)),
        bias=linear.bias * np.float32(1 << 14),
    )
    features = extract(texts)
    inputs = forest_inputs(unrounded.scores(features), features.surface)
    for first in (0, LABELS):
        forests = forests_that_tell(inputs[first : first + LABELS], first)
        apart = dict.fromkeys(AXES, Temperatures(1e5, 1e5))  # no score is so large that a step is lost
        assert_same_answers(texts, replace(REFERENCE, linear=unrounded, forests=forests, temperatures=apart))


def forests_that_tell(values: NDArray[np.float32], first_column: int) -> dict[str, Forest]:
    """Trees whose margins say which of the `values` of its own column each label's column holds, or next to which."""
    distinct = [np.unique(column) for column in values] + [np.empty(0, np.float32)] * (LABELS - len(values))
    rounds = 2 * max(map(len, distinct))
    thresholds = np.full((rounds, LABELS), np.inf, np.float32)
    for label, held in enumerate(distinct):
        thresholds[: 2 * len(held), label] = np.concatenate([held, np.nextafter(held, np.float32(np.inf))])
    columns = np.minimum(first_column + np.arange(LABELS, dtype=np.int32), first_column + len(values) - 1)
    return {
        axis: Forest(
            score_columns=own,
            columns=np.tile(columns[at], rounds)[None],
            thresholds=thresholds[:, at].reshape(1, -1),
            leaves=np.tile(np.array([0, 256], np.float32), (rounds * len(at), 1)),
        )
        for (axis, own), at in zip(COLUMNS.items(), np.split(np.arange(LABELS), FIRST_LABELS), strict=True)
    }


@pytest.mark.parametrize("batches", [20, pytest.param(2_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_random_texts_are_answered_as_by_numpy(batches: int) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    for texts in random_batches(seed, batches):
        assert_same_answers(texts)


def random_batches(seed: int, count: int) -> Iterator[list[Text]]:
    chance = random.Random(seed)

    def string(longest: int) -> str:
        return "".join(
            chance.choice(PIECES) if chance.random() < 0.8 else chr(chance.randrange(0x110000))
            for _ in range(chance.randrange(longest + 1))
        )

    for _ in range(count):
        yield [
            Text(string(chance.choice([0, 3, 30])), string(chance.choice([0, 3, 30, 300, 2000])))
            for _ in range(chance.choice([1, 2, 64, 200]))
        ]


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_trees_of_any_depth_are_walked_as_by_numpy(depth: int) -> None:
    chance = np.random.default_rng(depth)
    splits = 2**depth - 1
    forests = {
        axis: Forest(
            score_columns=COLUMNS[axis],
            columns=chance.integers(0, 25, (splits, 7 * len(labels)), dtype=np.int32),
            thresholds=np.where(
                chance.random((splits, 7 * len(labels))) < 0.2, np.inf, chance.normal(size=(splits, 7 * len(labels)))
            ).astype(np.float32),
            leaves=chance.normal(size=(7 * len(labels), splits + 1)).astype(np.float32),
        )
        for axis, labels in AXES.items()
    }
    rows = read_labelled([CORPUS / "authored-3.jsonl"])[:100]
    assert_same_answers([row.text for row in rows], replace(REFERENCE, forests=forests))


# Beside others


def test_threads_that_ask_at_once_do_not_disturb_each_other() -> None:
    quick = quickened(REFERENCE)
    batches = [list(batch) for batch in random_batches(1, 40)]
    alone = [quick.probabilities(batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            for one, other in zip(threads.map(quick.probabilities, batches), alone, strict=True):
                assert np.array_equal(one, other)


def test_other_threads_run_while_a_large_batch_is_read() -> None:
    quick = quickened(REFERENCE)
    texts = [Text("", "The invoice of last month is wrong and nobody answers. " * 180)] * 256
    turns, done = 0, threading.Event()

    def count_turns() -> None:
        nonlocal turns
        while not done.wait(0.001):
            turns += 1

    switching_s = sys.getswitchinterval()
    sys.setswitchinterval(100.0)  # only who lets go of the lock lets others run
    counting = threading.Thread(target=count_turns)
    counting.start()
    try:
        before = turns
        quick.probabilities(texts)
        after = turns
    finally:
        sys.setswitchinterval(switching_s)
        done.set()
        counting.join()
    assert after > before + 3


# Memory


@pytest.mark.parametrize("batches", [15, pytest.param(1_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_the_kernel_stays_within_its_memory(batches: int, tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc, whose address sanitizer can be loaded into a Python that knows nothing of it")
    sanitizer = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    checked, sources = tmp_path / "checked.so", fast.LIBRARY.parent
    flags = ["-std=c99", "-g", "-O1", "-shared", "-fPIC", "-ffp-contract=off", "-fsanitize=address,undefined"]
    flags += ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fno-sanitize-recover=all"]
    subprocess.run([compiler, *flags, str(sources / "kernel.c"), "-o", str(checked), "-lm"], check=True)
    seed = random.SystemRandom().randrange(10**6)
    script = f"""
from pathlib import Path
from tests.plugins.test_classifier_xgboost_fast import *
fast.LIBRARY = Path({str(checked)!r})
for texts in [*random_batches({seed}, {batches}), list(ODD.values())]:
    assert_same_answers(texts)
print("whole")
"""
    environment = {"LD_PRELOAD": sanitizer.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "whole\n", f"seed {seed}\n{done.stderr}"


# Where it is not used


async def test_the_classifier_answers_by_the_kernel_unless_told_otherwise(tmp_path: Path) -> None:
    for chosen in (True, False):
        async with plugin.open_xgboost(plugin.XgboostSettings(fast=chosen), Host(tmp_path, Metrics())) as classifier:
            assert isinstance(classifier, plugin.XgboostClassifier)
            assert isinstance(classifier._model, FastModel) == chosen


@pytest.mark.parametrize("content", [None, b"", b"not a library"])
def test_without_a_kernel_numpy_answers_and_says_so(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library = tmp_path / "kernel.so"
    if content is not None:
        library.write_bytes(content)
    monkeypatch.setattr(fast, "LIBRARY", library)
    with caplog.at_level(logging.WARNING):
        assert quickened(REFERENCE) is REFERENCE
    assert str(library) in caplog.text
    assert "C compiler" in caplog.text, "the cure is named"


def test_a_kernel_that_was_built_for_other_tables_is_not_called(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fast, "_SHAPE", (*fast._SHAPE[:-1], fast._SHAPE[-1] + 1))
    assert quickened(REFERENCE) is REFERENCE
    assert "another version" in caplog.text


def test_a_kernel_that_answers_otherwise_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    class NewerModel(TriageModel):
        def read(self, texts: Sequence[Text]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            probabilities, counted = REFERENCE.read(texts)
            return np.roll(probabilities, 1, axis=1), counted

    newer = NewerModel(*(getattr(REFERENCE, each.name) for each in fields(TriageModel)))
    assert quickened(newer) is newer
    assert "does not answer as numpy does" in caplog.text
