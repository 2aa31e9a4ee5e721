"""Figures are checked against ones worked out by hand; files are read, or refused in one line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.evaluation import evaluate, judge, review_thresholds
from inquiry_svc.inquiries import AXES, Model, Text, Verdict
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import ReviewSettings
from inquiry_svc.testing.samples import MODEL, sample_verdict

LABELS = ("low", "medium", "high")
POLICY = ReviewPolicy(ReviewSettings(below_confidence=0.6))


def test_accuracy_f1_and_confusion_are_as_by_hand() -> None:
    truths = ["low", "low", "low", "medium"]
    given = [("low", 1.0), ("low", 1.0), ("medium", 1.0), ("medium", 1.0)]
    figures = judge(LABELS, truths, given)
    assert figures.rows == 4
    assert figures.accuracy == 0.75
    assert figures.confusion == ((2, 1, 0), (0, 1, 0), (0, 0, 0))
    # F1 of low is 4/5, of medium 2/3; "high" never occurs and does not count.
    assert figures.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_a_label_that_is_only_ever_given_wrongly_counts_as_0_in_macro_f1() -> None:
    figures = judge(LABELS, ["low", "low"], [("low", 0.5), ("high", 0.5)])
    assert figures.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_calibration_error_is_the_mean_gap_of_15_equal_bins() -> None:
    # Confidences of 0.9 and 1.0 share the last bins: [13/15, 14/15) and [14/15, 1].
    truths = ["low"] * 10
    given = [("low", 0.9)] * 6 + [("high", 0.9)] * 2 + [("low", 1.0), ("high", 1.0)]
    figures = judge(LABELS, truths, given)
    assert figures.mean_confidence == pytest.approx(0.92)
    assert figures.ece == pytest.approx((8 * (0.9 - 6 / 8) + 2 * (1.0 - 1 / 2)) / 10)


def test_over_and_under_confidence_in_one_bin_cancel_out_but_not_across_bins() -> None:
    same_bin = judge(LABELS, ["low", "low"], [("low", 0.5), ("high", 0.5)])
    two_bins = judge(LABELS, ["low", "low"], [("low", 0.4), ("high", 0.6)])
    assert same_bin.ece == pytest.approx(0.0)
    assert two_bins.ece == pytest.approx(0.6)


def test_a_review_threshold_is_the_least_confidence_from_which_on_enough_is_right() -> None:
    right, wrong = "low", "high"
    truths = [right, right, right, wrong, right, wrong]
    given = [(right, confidence) for confidence in (0.99, 0.92, 0.85, 0.854, 0.71, 0.3)]
    assert review_thresholds(LABELS, truths, given, 0.8) == {"low": 0.71, "medium": 1.0, "high": 1.0}
    assert review_thresholds(LABELS, truths, given, 0.9)["low"] == 0.92, "answers of one hundredth come together"
    assert review_thresholds(LABELS, truths, given, 0.0)["low"] == 0.3
    assert review_thresholds(LABELS, truths, given, 0.9, [1, 1, 1, 0.1, 1, 0.1])["low"] == 0.3
    assert review_thresholds(LABELS, [wrong], [(right, 0.9)], 0.5)["low"] == 1.0


class Remembering:
    """Gives each text the verdict that it was told, and remembers the batches."""

    def __init__(self, verdicts: dict[Text, Verdict]) -> None:
        self.verdicts = verdicts
        self.batches: list[int] = []

    @property
    def model(self) -> Model:
        return MODEL

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        self.batches.append(len(texts))
        return [self.verdicts[text] for text in texts]


def sure_of(category: str, confidence: float) -> Verdict:
    rest = (1 - confidence) / 5
    scores = [confidence if label == category else rest for label in AXES["category"]]
    return Verdict.from_scores([*scores, *sample_verdict().scores[6:]])


async def test_null_labels_are_skipped_and_review_goes_by_the_confidence_in_the_category() -> None:
    rows = [
        LabelledText(Text("", "1"), "billing", "negative", None),
        LabelledText(Text("", "2"), "sales", None, None),
        LabelledText(Text("", "3"), None, "positive", None),
    ]
    verdicts = [sure_of("billing", 0.9), sure_of("billing", 0.5), sure_of("hr", 0.3)]
    classifier = Remembering({row.text: verdict for row, verdict in zip(rows, verdicts, strict=True)})
    found = (await evaluate(classifier, rows, policy=POLICY)).as_json()
    assert found.pop("microseconds_per_document") > 0
    assert found == {
        "rows": 3,
        "category": {
            "rows": 2,
            "accuracy": 0.5,
            "macro_f1": pytest.approx((2 / 3 + 0) / 2),
            "mean_confidence": pytest.approx(0.7),
            "ece": pytest.approx((0.1 + 0.5) / 2),
            "needs_review_share": 0.5,
            "accuracy_without_review": 1.0,
        },
        "sentiment": {
            "rows": 2,
            "accuracy": 0.5,
            "macro_f1": pytest.approx((2 / 3 + 0) / 2),
            "mean_confidence": pytest.approx(0.9),
            "ece": pytest.approx(0.4),
            "needs_review_share": 0.5,
            "accuracy_without_review": 1.0,
        },
        "urgency": {
            "rows": 0,
            "accuracy": None,
            "macro_f1": None,
            "mean_confidence": None,
            "ece": None,
            "needs_review_share": None,
            "accuracy_without_review": None,
        },
    }
    json.dumps(found)


async def test_rows_are_classified_in_batches_and_progress_is_told() -> None:
    rows = [LabelledText(Text("", str(number)), "billing", None, None) for number in range(10)]
    classifier = Remembering({row.text: sure_of("billing", 0.9) for row in rows})
    told: list[int] = []
    evaluation = await evaluate(classifier, rows, policy=POLICY, batch_size=4, on_progress=told.append)
    assert evaluation.axes["category"].accuracy == 1.0
    assert classifier.batches == [4, 4, 4, 2], "the first batch warms up, then all rows"
    assert told == [4, 4, 2]


async def test_no_rows_give_no_figures() -> None:
    evaluation = await evaluate(Remembering({}), [], policy=POLICY)
    assert evaluation.microseconds_per_document is None
    assert evaluation.axes["category"].accuracy is None


ROW = {"subject": "Hi", "body": "Where is it?", "category": "sales", "sentiment": None, "urgency": "low"}


def write(path: Path, *rows: Any) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_are_read_from_plain_and_compressed_files(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROW, {"body": "b", "source": "hand", "group": "g", "more": 1})
    assert read_labelled([path]) == [
        LabelledText(Text("Hi", "Where is it?"), "sales", None, "low"),
        LabelledText(Text("", "b"), None, None, None, "hand", "g"),
    ]


def test_files_follow_one_another_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    first = tmp_path / "1.jsonl"
    first.write_text('{"body": "one"}\n\n  \n{"body": "two"}')
    rows = read_labelled([first, write(tmp_path / "2.jsonl", {"body": "three"})])
    assert [row.text.body for row in rows] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"body": "fine"}\n{oops}\n', "line 2: not JSON"),
        (b'{"body": "fine"}\n["a"]\n', "line 2: a JSON list"),
        (b'{"subject": "no body"}\n', "line 1: no 'body'"),
        (b'{"body": 3}\n', "'body' is 3; make it a string"),
        (b'{"body": "x", "category": "Billing"}\n', "category is 'Billing'; use one of technical_support, billing"),
        (b'{"body": "x", "urgency": 2}\n', "'urgency' is 2; make it a string"),
        (b'{"body": "\xff"}\n', "line 1: not JSON"),
        (b"", "holds no row"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_file_and_line(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_labelled([path])
    message = str(caught.value)
    assert str(path) in message
    assert told in message
    assert "\n" not in message


def test_a_missing_a_damaged_and_a_wrongly_named_file_are_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "rows.jsonl.gz", *[ROW] * 100).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-20])
    (tmp_path / "plain.gz").write_bytes(b"{}\n")
    (tmp_path / "damaged.gz").write_bytes(whole[:12] + b"\xff" * 9 + whole[21:])
    for name in ("missing.jsonl", "cut.jsonl.gz", "plain.gz", "damaged.gz", "."):
        with pytest.raises(ConfigurationError, match="cannot be read") as caught:
            read_labelled([tmp_path / name])
        assert str(tmp_path / name) in str(caught.value)
