"""Training makes the packaged model again, byte by byte where it was made so, and the command refuses in one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from inquiry_svc.cli.model.train import train
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc_plugins.classifiers import xgboost as plugin
from inquiry_svc_plugins.classifiers.holding_out import MAX_FOLDS, answers_of, folds_of, row_weights, temperature_of
from inquiry_svc_plugins.classifiers.xgboost import training, writing
from inquiry_svc_plugins.classifiers.xgboost.linear import LinearLayer
from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS, LABELS
from inquiry_svc_plugins.classifiers.xgboost.model import load_model

CORPUS = plugin.PACKAGED_MODEL.with_name("corpus")
TRAINED_ON = sorted(CORPUS.glob("*.jsonl"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(train, [*map(str, arguments)])


@pytest.mark.timeout(3000)  # some twelve minutes of one core
def test_the_packaged_model_is_made_again_from_the_corpus(tmp_path: Path) -> None:
    result = run(*TRAINED_ON, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    packaged, made = (json.loads((path / "manifest.json").read_bytes()) for path in (plugin.PACKAGED_MODEL, tmp_path))
    if made["made_with"] == packaged["made_with"]:
        names = {path.name for path in plugin.PACKAGED_MODEL.iterdir()}
        assert {path.name for path in tmp_path.iterdir()} == names
        for name in names:
            assert (tmp_path / name).read_bytes() == (plugin.PACKAGED_MODEL / name).read_bytes(), name
    unseen = read_labelled(sorted((CORPUS / "judging").glob("judging-*.jsonl")))
    right = [
        np.mean(
            [
                [getattr(verdict, axis).label == row.label(axis) for axis in AXES]
                for row, verdict in zip(unseen, model.verdicts([row.text for row in unseen]), strict=True)
            ],
            axis=0,
        )
        for model in map(load_model, (plugin.PACKAGED_MODEL, tmp_path))
    ]
    assert np.abs(right[0] - right[1]).max() <= 0.02


@pytest.fixture(scope="module")
def few() -> Sequence[LabelledText]:
    return [row for hand in (10, 11, 12) for row in read_labelled([CORPUS / f"authored-{hand}.jsonl"])[:60]]


def test_rows_without_a_label_are_left_out_of_that_axis_alone(few: Sequence[LabelledText], tmp_path: Path) -> None:
    rows = [replace(row, urgency=None) if place % 2 else row for place, row in enumerate(few)]
    trained = training.train(rows)
    assert len(trained.axes["category"].rows) == len(rows)
    assert trained.axes["urgency"].rows.tolist() == list(range(0, len(rows), 2))
    manifest = writing.write_model(trained, rows, tmp_path / "model")
    assert manifest["corpus"]["labelled"]["urgency"] == len(rows) // 2
    whole = training.train(few)
    assert np.abs(_category_weights(whole) - _category_weights(trained)).max() <= 1, "categories are learnt as before"


def _category_weights(trained: training.Trained) -> NDArray[np.int64]:
    return trained.linear["weights"][:, : len(AXES["category"])].astype(np.int64)


def test_without_sources_whole_groups_are_held_out(few: Sequence[LabelledText]) -> None:
    rows = [replace(row, source="", group=f"group {place // 3}") for place, row in enumerate(few)]
    trained = training.train(rows)
    assert not trained.by_source
    for place in range(0, len(rows), 3):
        assert len(set(trained.folds[place : place + 3].tolist())) == 1
    assert len(set(trained.folds.tolist())) == MAX_FOLDS


def test_with_sources_each_is_a_fold(few: Sequence[LabelledText]) -> None:
    trained = training.train(few)
    assert trained.by_source
    assert trained.folds.tolist() == [0] * 60 + [1] * 60 + [2] * 60


def test_a_row_of_the_hands_that_draw_the_lines_counts_more_and_a_group_as_one_row(few: Sequence[LabelledText]) -> None:
    grouped = [replace(row, group="one") for row in few[:4]]
    first = [replace(row, source="authored-1") for row in (few[4], *grouped)]
    assert row_weights([few[4], *grouped, *first]).tolist() == [1, *[1 / 4] * 4, 3, *[3 / 4] * 4]


def test_all_layers_are_brought_to_the_scale_of_log_odds(few: Sequence[LabelledText]) -> None:
    features, (folds, _) = training.extract_all(few), folds_of(few)
    answers = {axis: answers_of(few, axis) for axis in AXES}
    arrays = dict(np.load(plugin.PACKAGED_MODEL / "linear.npz"))
    before = np.random.default_rng(7).normal(size=(len(few), LABELS))
    scaled, after = training._in_log_odds(arrays, before, answers, folds)
    factors = (after / before).mean(axis=0)
    for axis, columns in COLUMNS.items():
        assert factors[columns] == pytest.approx(1 / temperature_of(before[:, columns], answers[axis], folds), rel=1e-5)
    one, other = (LinearLayer.from_arrays(each).scores(features) for each in (arrays, scaled))
    assert other == pytest.approx(one * factors, rel=1e-4, abs=1e-4)


def test_every_step_is_told(few: Sequence[LabelledText]) -> None:
    told = 0

    def tell() -> None:
        nonlocal told
        told += 1

    training.train(few, tell)
    assert told == training.steps(few)


def test_too_few_labels_are_refused(few: Sequence[LabelledText]) -> None:
    with pytest.raises(ConfigurationError, match="labelled with sentiment"):
        training.train([replace(row, sentiment=None) for row in few])
    with pytest.raises(ConfigurationError, match="labelled with urgency"):
        training.train([replace(row, urgency="low") for row in few])


def write_rows(path: Path, rows: Sequence[LabelledText]) -> Path:
    lines = [
        {
            "subject": row.text.subject,
            "body": row.text.body,
            **{axis: row.label(axis) for axis in AXES},
            "source": row.source,
        }
        for row in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_command_writes_a_model_and_replaces_one_but_nothing_else(
    few: Sequence[LabelledText], tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", few)
    out = tmp_path / "new" / "model"
    for _ in range(2):
        result = run(rows, "--out", out)
        assert result.exit_code == 0, result.output
        assert "right on held-out sources" in result.output
    assert load_model(out).verdicts([few[0].text])
    assert "mean of sources" in (out / "MODEL_CARD.md").read_text()

    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").write_text("keep")
    for folder, told in ((other, "holds files but no model"), (rows, "is not a folder")):
        refused = run(rows, "--out", folder)
        assert isinstance(refused.exception, ConfigurationError)
        assert told in str(refused.exception)
    assert [path.name for path in other.iterdir()] == ["precious.txt"]


def test_the_command_refuses_a_bad_row_and_a_missing_argument(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"body": "x", "category": "spam"}\n')
    refused = run(bad, "--out", tmp_path / "model")
    assert isinstance(refused.exception, ConfigurationError)
    assert f"{bad}, line 1" in str(refused.exception)
    assert not (tmp_path / "model").exists()
    assert run("--out", tmp_path / "model").exit_code == 2
