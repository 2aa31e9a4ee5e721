"""The registry: one small file that is always whole, and a history that says who, when, why and with what figures."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.models.named import NamedModel, Names
from inquiry_svc.models.registry import ALIASES, Alias, Aliases, Reference, Registry
from tests.model_folders import FOLDERED, taken_in

A, B, C = (Reference("xgboost", digit * 32) for digit in "abc")
WHO: dict[str, Any] = {"who": "ana", "why": "", "figures": {}}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "data")


def test_a_data_folder_without_a_registry_has_the_built_in_champion_and_is_left_alone(registry: Registry) -> None:
    assert registry.aliases() == Aliases()
    assert (registry.stamp(), registry.models()) == (None, [])
    assert not registry.folder(A).parents[2].exists()


def test_a_change_says_who_when_why_and_with_what_figures_and_outlasts_the_process(registry: Registry) -> None:
    before = datetime.now(UTC)
    made = registry.promote(A, "champion", who="ana", why="more right", figures={"accuracy_category": 0.93})
    read = Registry(registry.folder(A).parents[2]).aliases()
    assert read.history == (made,)
    assert (made.who, made.why, made.figures) == ("ana", "more right", {"accuracy_category": 0.93})
    assert (made.what, made.alias, made.before, made.after) == ("promote", "champion", None, A)
    assert before <= made.at <= datetime.now(UTC)


def test_a_model_is_for_one_thing(registry: Registry) -> None:
    for alias in ("shadow", "challenger", "champion"):
        registry.promote(A, alias, **WHO)
        assert registry.aliases().held_by(A) == [alias]
    for alias, told in (("champion", "is the champion already"), ("shadow", "promote another in its place first")):
        with pytest.raises(ConfigurationError, match=told):
            registry.promote(A, alias, **WHO)  # type: ignore[arg-type]
    assert len(registry.aliases().history) == 3, "what is refused leaves nothing"


@pytest.mark.parametrize("alias", ["challenger", "shadow"])
def test_the_built_in_model_is_the_champion_or_nothing(registry: Registry, alias: Alias) -> None:
    registry.promote(A, alias, **WHO)
    with pytest.raises(ConfigurationError, match=f"model rollback {alias} takes that down"):
        registry.promote(None, alias, **WHO)
    assert registry.aliases().model(alias) == A


def test_rolling_back_goes_through_the_champions_before_down_to_the_built_in(registry: Registry) -> None:
    for model in (A, B, A, C):
        registry.promote(model, "champion", **WHO)
    registry.roll_back("champion", who="ana", why="")
    registry.promote(C, "champion", **WHO)
    found = [registry.roll_back("champion", who="ana", why="").after for _ in range(4)]
    assert found == [A, B, A, None]
    with pytest.raises(ConfigurationError, match="no champion to go back from"):
        registry.roll_back("champion", who="ana", why="")


def test_a_challenger_and_a_shadow_are_taken_down(registry: Registry) -> None:
    registry.promote(A, "challenger", **WHO)
    registry.promote(B, "shadow", **WHO)
    registry.roll_back("challenger", who="ana", why="")
    assert registry.aliases().challenger is None
    assert registry.aliases().shadow == B
    with pytest.raises(ConfigurationError, match="no challenger to go back from"):
        registry.roll_back("challenger", who="ana", why="")


def test_only_the_one_that_was_judged_is_taken_down(registry: Registry) -> None:
    registry.promote(A, "challenger", **WHO)
    registry.promote(B, "challenger", **WHO)
    with pytest.raises(ConfigurationError, match="is the challenger no more"):
        registry.roll_back("challenger", who="watch", why="", only=A)
    assert registry.aliases().challenger == B


def test_changes_made_at_once_are_all_kept(registry: Registry) -> None:
    models = [Reference("xgboost", f"{number:032}") for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda model: registry.promote(model, "shadow", **WHO), models))
    history = registry.aliases().history
    assert {change.after for change in history} == set(models)
    assert [change.before for change in history[1:]] == [change.after for change in history[:-1]]


def test_changes_made_by_several_processes_are_all_kept(registry: Registry) -> None:
    script = (
        "import sys; from pathlib import Path; from inquiry_svc.models.registry import Reference, Registry\n"
        "for n in range(20): Registry(Path(sys.argv[1])).promote(Reference('x', f'{sys.argv[2]}{n}'), 'shadow',"
        " who='', why='', figures={})"
    )
    folder = str(registry.folder(A).parents[2])
    processes = [subprocess.Popen([sys.executable, "-c", script, folder, number]) for number in "123"]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert len({change.after for change in registry.aliases().history}) == 60


def test_whoever_reads_while_it_is_written_reads_a_whole_file(registry: Registry) -> None:
    seen = set()
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(lambda: [registry.promote(model, "shadow", **WHO) for model in (A, B) * 40])
        while not writing.done():
            seen.add(len(registry.aliases().history))
    writing.result()
    assert seen <= set(range(81))
    assert len(registry.aliases().history) == 80


def test_a_writer_that_is_killed_leaves_a_whole_file_with_all_that_it_told_of(registry: Registry) -> None:
    script = (
        "import sys; from pathlib import Path; from inquiry_svc.models.registry import Reference, Registry\n"
        "registry, n = Registry(Path(sys.argv[1])), int(sys.argv[2])\n"
        "while True:\n"
        "    registry.promote(Reference('x', str(n)), 'shadow', who='', why='', figures={})\n"
        "    print(n, flush=True)\n"
        "    n += 1"
    )
    folder, told = str(registry.folder(A).parents[2]), 0
    for kill in range(5):
        command = [sys.executable, "-c", script, folder, str(told + 1000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(3 + 7 * kill):
                told = int(process.stdout.readline())
            process.kill()
            told = int([str(told), *process.stdout.read().split()][-1])
        shadow = registry.aliases().shadow
        assert shadow is not None
        assert int(shadow.digest) in (told, told + 1)
    registry.promote(A, "shadow", **WHO)
    assert registry.aliases().shadow == A, "the lock of the killed is nobody's"


def test_each_change_gives_another_stamp(registry: Registry) -> None:
    stamps = [registry.stamp()]
    for model in (A, B, A, B):
        registry.promote(model, "shadow", **WHO)
        stamps.append(registry.stamp())
    assert len(set(stamps)) == 5


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"champion": 3}', b'{"history": [{}]}', b"\xff"])
def test_a_broken_file_is_told_of_and_never_written_over(registry: Registry, content: bytes) -> None:
    registry.promote(A, "shadow", **WHO)
    file = registry.folder(A).parents[1] / "aliases.json"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"aliases\.json is broken .*; put a copy of it back"):
        registry.aliases()
    with pytest.raises(ConfigurationError, match="is broken"):
        registry.promote(B, "shadow", **WHO)
    assert file.read_bytes() == content


def test_a_model_is_taken_in_whole_or_not_at_all(registry: Registry) -> None:
    sales = taken_in(registry, "sales")
    assert registry.models() == [sales]
    assert [file.name for file in registry.folder(sales).iterdir()] == ["model.json"]
    assert taken_in(registry, "sales") == sales, "its twin changes nothing"
    with registry.incoming() as folder:
        (folder / "half").write_text("")
    assert registry.models() == [sales]
    assert sorted(path.name for path in registry.folder(sales).parents[1].iterdir()) == ["foldered"]


def test_a_model_has_an_alias_a_digest_a_folder_or_no_name_at_all(registry: Registry, tmp_path: Path) -> None:
    names = Names(registry, FOLDERED)
    sales, legal = taken_in(registry, "sales"), taken_in(registry, "legal")
    registry.promote(sales, "shadow", **WHO)
    for name in ("shadow", sales.digest, sales.digest[:6], str(sales)):
        assert names.find(name) == NamedModel(FOLDERED, registry.folder(sales), sales)
    assert names.find("champion") == names.find("built-in") == NamedModel(FOLDERED)
    assert names.find(str(tmp_path)) == NamedModel(FOLDERED, tmp_path)
    for name, told in (
        ("challenger", "there is no challenger"),
        ("nothing", f"'nothing' names no model and no folder; in the registry: {min(sales, legal, key=str)}"),
        ("foldered/", "names several models"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            names.find(name)


def test_the_aliases_are_those_of_the_file() -> None:
    assert {alias: Aliases(A, B, C).model(alias) for alias in ALIASES} == {
        "champion": A,
        "challenger": B,
        "shadow": C,
    }
