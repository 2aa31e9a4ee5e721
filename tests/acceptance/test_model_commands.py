"""`inquiry-svc model ...` as people and scripts use it, with a classifier whose models are quickly made."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from inquiry_svc.cli import run
from inquiry_svc.contracts import Host
from inquiry_svc.inquiries import Feedback, Text
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.registry import Registry
from inquiry_svc.testing.samples import sample_inquiry, sample_outcome
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite
from tests.acceptance.serving import install_plugin
from tests.model_folders import FILE, FOLDERED, write_model

RIGHT: Final = {"sentiment": "negative", "urgency": "medium"}
"""What such a model says on the other axes."""


class Commands:
    """Runs them in this process."""

    def __init__(self, classifier: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.classifier = classifier
        self.folder = folder
        self.registry = Registry(folder / "data")
        self._capsys = capsys

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        """What is printed, or told where the exit code is not 0."""
        found = run(list(map(str, arguments)))
        shown = self._capsys.readouterr()
        assert found == code, shown
        if code != 0 and shown.err:
            assert shown.err.startswith("inquiry-svc: ")
            assert shown.err.count("\n") == 1
            return shown.err
        return shown.out

    def labelled(self, name: str, categories: Iterable[str]) -> Path:
        file = self.folder / name
        rows = [{"body": f"text {place}", "category": each, **RIGHT} for place, each in enumerate(categories)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    def judging(self, *, sales: int, legal: int) -> Path:
        return self.labelled("judging.jsonl", ["sales"] * sales + ["legal"] * legal)


@pytest.fixture(params=[FOLDERED, "cascade"])
def commands(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Commands:
    """With the classifier whose models they are, and with one that is made of it and asks another all the same."""
    source = (
        "from tests.model_folders import FolderModels\nregister_classifiers = FolderModels().register_classifiers\n"
    )
    install_plugin(tmp_path, "foldered_plugin", source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("INQUIRY_CLASSIFIER__PROVIDER", request.param)
    inside = {"FIRST": FOLDERED, "SECOND": "keyword", "BELOW": "1.0", "WEIGHTS": "1.0,0.01"}
    for name, value in inside.items():
        monkeypatch.setenv(f"INQUIRY_CLASSIFIER__CASCADE__{name}", value)
    monkeypatch.setenv("INQUIRY_SERVER__DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("INQUIRY_MODELS__MIN_AGREEMENT", "0")
    return Commands(request.param, tmp_path, capsys)


def promoted(commands: Commands, category: str, *options: str | Path) -> str:
    return commands("model", "promote", write_model(commands.folder / category, category), *options)


# Promoting


def test_without_a_registry_the_built_in_model_is_the_champion(commands: Commands) -> None:
    assert commands("model", "list").split() == ["built-in", "champion"]
    assert not (commands.folder / "data").exists()


def test_a_model_that_is_right_is_promoted_and_all_can_see_who_did_it_and_why(commands: Commands) -> None:
    told = promoted(commands, "sales", "--judging", commands.judging(sales=300, legal=0), "--why", "the new corpus")
    [sales] = commands.registry.models()
    assert told.splitlines()[0].split() == ["300", "rows", "candidate", "champion", "limit"]
    assert told.splitlines()[1].split()[:3] == ["category", "100.0%", "0.0%"]
    assert told.splitlines()[-1].endswith(f"promote champion, built-in -> {sales} (the new corpus)")
    [entry] = commands.registry.aliases().history
    assert entry.who
    assert entry.figures["accuracy_category"] == 1.0
    assert entry.figures["champion_accuracy_category"] == 0.0
    listed = commands("model", "list", "--history")
    assert f"foldered/{sales.digest}  champion" in listed
    assert "the new corpus" in listed
    assert "champion_accuracy_category 0" in listed
    assert json.loads(commands("classify", "--json", "Who answers?"))["category"]["label"] == "sales"
    assert json.loads(commands("classify", "--json", "x", "--model", "built-in"))["category"]["label"] == "billing"


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_a_model_that_misses_a_limit_is_refused_and_nothing_changes(commands: Commands, alias: str) -> None:
    judging = commands.judging(sales=200, legal=100)
    folder = write_model(commands.folder / "sales", "sales")
    told = commands("model", "promote", folder, "--as", alias, "--judging", judging, code=1)
    assert "is not promoted: category is right in 66.7%, models.min_accuracy_category is 85.0%" in told
    assert commands.registry.aliases().history == ()
    commands("model", "promote", folder, "--as", alias, "--judging", judging, "--force", "--why", "we know")
    [entry] = commands.registry.aliases().history
    assert (entry.alias, entry.why) == (alias, "we know; forced")
    assert entry.figures["accuracy_category"] == pytest.approx(0.667, abs=1e-3)


def test_what_is_judged_on_is_set_or_named_and_must_be_enough(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(commands.folder / "sales", "sales")
    told = commands("model", "promote", folder, code=2)
    assert told == "inquiry-svc: there is nothing to judge it on; set models.judging, or name --judging FILE\n"
    few = commands.labelled("few.jsonl", ["sales"] * 199)
    assert "category is known of 199 rows, models.min_texts is 200" in commands(
        "model", "promote", folder, "--judging", few, code=1
    )
    monkeypatch.setenv("INQUIRY_MODELS__JUDGING", f"{few},{few}")
    assert "398 rows" in commands("model", "promote", folder)


def test_a_shadow_is_judged_on_nothing(commands: Commands) -> None:
    promoted(commands, "sales", "--as", "shadow")
    [sales] = commands.registry.models()
    assert commands.registry.aliases().shadow == sales


def test_a_model_that_is_broken_is_not_taken_in(commands: Commands) -> None:
    folder = write_model(commands.folder / "sales", "sales")
    (folder / FILE).write_text("{")
    assert f"{FILE} is broken" in commands("model", "promote", folder, "--as", "shadow", code=2)
    assert commands.registry.models() == []
    told = commands("model", "promote", "nothing", code=2)
    assert told == "inquiry-svc: 'nothing' names no model and no folder; in the registry: none\n"


def test_beside_a_champion_that_is_broken_another_is_promoted_by_force_alone(commands: Commands) -> None:
    promoted(commands, "sales", "--force")
    [sales] = commands.registry.models()
    (commands.registry.folder(sales) / FILE).write_text("{")
    judging = commands.judging(sales=0, legal=300)
    legal = write_model(commands.folder / "legal", "legal")
    assert f"{FILE} is broken" in commands("model", "promote", legal, "--judging", judging, code=2)
    told = commands("model", "promote", legal, "--judging", judging, "--force")
    assert told.startswith("without figures, for there is no champion to compare it with: ")
    [*_, entry] = commands.registry.aliases().history
    assert (entry.before, entry.why, entry.figures) == (sales, "forced", {})


# Rolling back


def test_a_rollback_brings_the_champion_before_and_at_last_the_built_in(commands: Commands) -> None:
    judging = commands.judging(sales=300, legal=0)
    for category in ("sales", "legal"):
        promoted(commands, category, "--judging", judging, "--force")
    [before, _] = [entry.after for entry in commands.registry.aliases().history]
    assert commands("model", "rollback", "--why", "complaints").strip().endswith(f"-> {before} (complaints)")
    assert commands("model", "rollback").strip().endswith(f"{before} -> built-in")
    assert commands("model", "rollback", code=2).startswith("inquiry-svc: there is no champion to go back from")
    assert commands("model", "rollback", "shadow", code=2).startswith("inquiry-svc: there is no shadow to go back from")


def test_a_rollback_to_a_model_that_is_broken_is_refused(commands: Commands) -> None:
    for category in ("sales", "legal"):
        promoted(commands, category, "--force")
    sales = commands.registry.aliases().former_champions[-1]
    assert sales is not None
    (commands.registry.folder(sales) / FILE).write_text("{")
    assert f"{FILE} is broken" in commands("model", "rollback", code=2)
    assert len(commands.registry.aliases().history) == 2


# Comparing


def test_diff_says_where_two_models_differ_and_its_exit_code_whether(commands: Commands) -> None:
    sales = write_model(commands.folder / "sales", "sales")
    file = commands.judging(sales=7, legal=3)
    out = commands("model", "diff", "built-in", sales, file, "--examples", "2", code=1)
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0].startswith(f"A  {commands.classifier} ")
    assert "category: the same label for 0 of 10 (0.0%)" in lines
    assert "right of 10 known: A 0.0%, B 70.0%" in lines
    assert "10  A billing, B sales" in lines
    assert [line for line in lines if line.startswith("billing / sales")] == [
        "billing / sales, right: sales: text 0",
        "billing / sales, right: sales: text 1",
    ]
    assert "sentiment: the same label for 10 of 10 (100.0%)" in lines
    assert "the same label for 10 of 10" in commands("model", "diff", sales, sales, file)
    commands("model", "diff", sales, "nothing", file, code=2)
    failing = write_model(commands.folder / "failing", "sales", "raise")
    assert "10  A sales, B failed" in commands("model", "diff", sales, failing, file, code=1)


def test_evaluate_takes_a_model_by_any_of_its_names(commands: Commands) -> None:
    promoted(commands, "sales", "--as", "shadow")
    file = commands.judging(sales=10, legal=0)
    for command in (("evaluate",), ("model", "evaluate")):
        for name, accuracy in (("shadow", 1.0), ("built-in", 0.0), (str(commands.folder / "sales"), 1.0)):
            figures = json.loads(commands(*command, file, "--json", "--model", name))
            assert figures["category"]["accuracy"] == accuracy


# Training


def test_a_model_is_trained_into_the_registry_and_the_same_rows_give_the_same(commands: Commands) -> None:
    file = commands.labelled("corpus.jsonl", ["legal", "legal", "sales"])
    for command in (("train",), ("model", "train")):
        told = commands(*command, file)
        [legal] = commands.registry.models()
        assert told == f"{commands.registry.folder(legal)}: model {legal.digest}; learnt from 3 rows\n"
    out = commands.folder / "elsewhere"
    assert commands("train", file, "--out", out) == f"{out}: model {legal.digest}; learnt from 3 rows\n"
    assert commands.registry.models() == [legal]


async def stored(data_dir: Path, count: int) -> list[LabelledText]:
    """A store with so many inquiries, and what people said of every hundredth, the first received first."""
    now = datetime.now(UTC)
    said = []
    async with open_sqlite(SqliteSettings(), Host(data_dir, Metrics())) as store:
        for number in range(count):
            inquiry = sample_inquiry(
                subject="", body=f"inquiry {number}", received_at=now + timedelta(seconds=number - count)
            )
            await store.save([sample_outcome(inquiry)])
            if number % 100 == 0:
                await store.add_feedback(inquiry.inquiry_id, Feedback("hr", None, "high", "ana", now))
                said.append(LabelledText(Text("", inquiry.body), "hr", None, "high", source="feedback"))
            elif number % 100 == 1:
                await store.add_feedback(inquiry.inquiry_id, Feedback(None, None, None, "ana", now))
    return said


def test_training_from_the_store_learns_what_people_said_and_can_be_done_again(commands: Commands) -> None:
    (commands.folder / "data").mkdir()
    said = asyncio.run(stored(commands.folder / "data", 1203))  # more than two pages
    assert len(said) == 13
    file = commands.labelled("corpus.jsonl", ["legal"] * 12)
    rows_out = commands.folder / "feedback.jsonl"
    told = commands("model", "train", file, "--from-store", "--rows-out", rows_out)
    [hr] = commands.registry.models()
    assert told.splitlines()[0] == "rows from the store: 13"
    assert told.splitlines()[1].endswith(f"model {hr.digest}; learnt from 25 rows")
    assert read_labelled([rows_out]) == said
    assert commands("model", "train", file, rows_out).endswith(f"model {hr.digest}; learnt from 25 rows\n")
    assert commands("train", "--from-store").endswith("learnt from 13 rows\n")


def _disk_is_full(*_: object) -> Path:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_training_that_can_not_be_done_is_told_in_one_line(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    file = commands.labelled("corpus.jsonl", ["legal"])
    assert "there is nothing to learn from; name a FILE, or --from-store" in commands("train", code=2)
    assert "--rows-out writes the rows of the store" in commands("train", file, "--rows-out", "x", code=2)
    assert commands("train", file, "--out", "/proc/model", code=1).endswith("No such file or directory: /proc/model\n")
    with monkeypatch.context() as patch:
        patch.setattr("tests.model_folders.write_model", _disk_is_full)
        assert commands("train", file, code=1) == "inquiry-svc: No space left on device\n"
    monkeypatch.setenv("INQUIRY_STORE__PROVIDER", "memory")
    assert "can't be read from outside the service" in commands("train", "--from-store", code=2)
    monkeypatch.setenv("INQUIRY_CLASSIFIER__PROVIDER", "keyword")
    assert "classifier 'keyword' can't be trained here" in commands("train", file, code=2)
    told = commands("model", "promote", write_model(commands.folder / "m", "sales"), "--as", "shadow", code=2)
    assert told == "inquiry-svc: classifier 'keyword' has no models in folders; name one that has\n"
