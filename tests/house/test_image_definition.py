"""The image's definition is read by a linter, and says what the rest of the tree says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from inquiry_svc.settings import ServerSettings
from tests.image import DOCKERFILE, ROOT, of_kind, stages

BUILD, FINAL = stages()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_a_linter_finds_nothing_to_say_about_it() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_stages_stand_on_one_base_that_is_pinned() -> None:
    assert [each.removesuffix(" AS build") for each in of_kind("FROM", BUILD) + of_kind("FROM", FINAL)] == [
        "${BASE}"
    ] * 2
    base = re.search(r"^ARG BASE=\S+:(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert base
    assert base[1] != "latest"


def test_it_runs_as_a_number_that_is_not_root_and_without_a_shell() -> None:
    [user] = of_kind("USER", FINAL)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    for each in (*of_kind("ENTRYPOINT", FINAL), *of_kind("CMD", FINAL), *of_kind("HEALTHCHECK", FINAL)):
        assert re.search(r'\["[^\]]+"\]$', each), f"{each} starts a shell, which passes no signal on"


def test_it_says_the_version_the_port_and_the_uv_of_the_tree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [labels] = of_kind("LABEL", FINAL)
    assert f'org.opencontainers.image.version="{project["version"]}"' in labels
    assert f'org.opencontainers.image.licenses="{project["license"]}"' in labels
    assert of_kind("EXPOSE", FINAL) == [str(ServerSettings().port)]
    [uv] = re.findall(r"uv==(\S+)", DOCKERFILE.read_text())
    assert f"UV_VERSION := {uv}\n" in MAKEFILE


def test_what_it_copies_exists_and_is_let_through() -> None:
    let_through = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [source for each in of_kind("COPY", BUILD) for source in each.split()[:-1]]
    assert sorted(copied) == sorted(let_through)
    assert [source for source in copied if not (ROOT / source).exists()] == []


NOT_IN_THE_IMAGE = ("dask", "minilm", "streamlit", "train")
"""Serving needs none of them, and most are larger than all the rest."""


def test_its_lock_holds_what_the_lock_for_running_holds_for_every_extra_that_serving_needs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    serving = re.search(r"^SERVING := (.*)$", MAKEFILE, re.MULTILINE)
    assert serving
    assert sorted(serving[1].split()) == sorted(extras.keys() - {*NOT_IN_THE_IMAGE})
    image, run = (_pins(ROOT / f"requirements/{name}.lock") for name in ("image", "run"))
    assert image < run
    left_out = {re.split("[>=<;]", each)[0] for extra in NOT_IN_THE_IMAGE for each in extras[extra]}
    assert not {pin.split("==")[0] for pin in image} & left_out


def test_the_consoles_lock_is_part_of_the_lock_for_work_on_it_and_holds_its_extra_alone() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    console, image, dev = (_pins(ROOT / f"requirements/{name}.lock") for name in ("console", "image", "dev"))
    assert console < dev
    names = {pin.split("==")[0] for pin in console}
    assert {re.split("[>=<;]", each)[0] for each in extras["streamlit"]} <= names
    assert not {"asyncpg", "aiobotocore", "redis"} & names
    assert "streamlit" not in {pin.split("==")[0] for pin in image}


def _pins(lock: Path) -> set[str]:
    """Names with versions, without markers, which say less where fewer packages ask."""
    return set(re.findall(r"^(\S+==\S+)", lock.read_text(), re.MULTILINE))
