"""The figures of the accuracy benchmark against ones worked out by hand; its page is what its results say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.accuracy import page
from benchmarks.accuracy.figures import SHARES, by_source, figures_of, review_curve
from benchmarks.accuracy.systems import Judged
from benchmarks.results_file import RESULTS
from inquiry_svc.inquiries import CATEGORIES, Text, Verdict
from inquiry_svc.labelled import LabelledText


def verdict(category: str, confidence: float) -> Verdict:
    rest = (1 - confidence) / (len(CATEGORIES) - 1)
    category_scores = [confidence if label == category else rest for label in CATEGORIES]
    return Verdict.from_scores([*category_scores, 0.2, 0.5, 0.3, 0.1, 0.6, 0.2, 0.1])


def row(category: str, source: str = "one", body: str = "", sentiment: str | None = "neutral") -> LabelledText:
    return LabelledText(Text("", body), category, sentiment, "medium", source)


def test_the_least_sure_are_reviewed_first() -> None:
    rows = [row("billing")] * 10
    verdicts = [verdict("sales" if place < 2 else "billing", 0.5 + place / 25) for place in range(10)]
    curve = dict(zip(SHARES, review_curve(rows, verdicts), strict=True))
    assert curve[0.0] == 0.8
    assert curve[0.1] == pytest.approx(8 / 9, abs=1e-4)
    assert curve[0.2] == curve[0.6] == 1.0


def test_of_equally_sure_answers_the_wrong_ones_are_not_reviewed_first() -> None:
    rows = [row("billing")] * 10
    verdicts = [verdict("sales" if place % 2 else "billing", 0.7) for place in range(10)]
    assert set(review_curve(rows, verdicts)) == {0.5}


def test_each_slice_counts_its_own_rows() -> None:
    rows = [row("billing", "one", "x" * 99), row("billing", "two", "x" * 100), row("sales", "two", "x" * 700)]
    found = figures_of(Judged("any", [verdict("billing", 0.9)] * 3, 1.0), rows)
    assert found["by_hand"]["one"] == {"rows": 1, "category": 1.0, "sentiment": 1.0, "urgency": 1.0}
    assert found["by_hand"]["two"]["category"] == 0.5
    assert [found["by_length"][name]["rows"] for name in found["by_length"]] == [1, 1, 0, 1]
    assert found["by_category"]["sales"]["category"] == 0.0
    assert found["by_category"]["hr"] == {"rows": 0, "category": None, "sentiment": None, "urgency": None}
    assert found["axes"]["category"]["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["axes"]["category"]["reliability"] == [{"confidence": 0.9, "accuracy": 0.6667, "rows": 3}]


def test_a_source_is_judged_on_what_it_is_labelled_with() -> None:
    rows = [row("billing", "a", sentiment=None), row("billing", "b"), row("sales", "b")]
    found = by_source([Judged("any", [verdict("billing", 0.9)] * 3, 1.0)], rows)
    assert found["category"] == {"a": {"rows": 1, "any": 1.0}, "b": {"rows": 2, "any": 0.5}}
    assert found["sentiment"] == {"b": {"rows": 2, "any": 1.0}}


def test_the_page_is_what_the_results_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "accuracy.md")
    results, second = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("accuracy", "second_opinions"))
    page.write_page(results, second)
    kept = (RESULTS.parent / "accuracy.md").read_text()
    assert (tmp_path / "accuracy.md").read_text() == kept, "run: python -m benchmarks.accuracy --page-only"
