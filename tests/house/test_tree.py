"""Promises that the tree makes about itself."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "inquiry_svc").rglob("*.py"), *(ROOT / "plugins/inquiry_svc_plugins").rglob("*.py")])
HEAVY = {
    *("numpy", "scipy", "xgboost", "aiohttp", "aioprometheus", "yaml", "sqlite3", "psutil", "uvloop"),
    *("aiobotocore", "botocore", "google", "opentelemetry", "streamlit", "altair", "pandas", "requests"),
    *("onnxruntime", "tokenizers", "distributed", "dask"),
}


def module_name(file: Path) -> str:
    root = ROOT / "plugins" if "inquiry_svc_plugins" in file.parts else ROOT
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imported_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `statement`."""
    script = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_every_module_imports_alone_and_without_warnings() -> None:
    # Other people's libraries are loaded once; each of our modules then in a process of its own.
    script = (
        "import importlib, os, sys\n"
        "import aiohttp.web, altair, hypothesis, msgspec, pytest, requests, scipy.sparse, streamlit, xgboost, yaml\n"
        "for name in sys.argv[1:]:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        try:\n"
        "            importlib.import_module(name)\n"
        "        except BaseException as error:\n"
        "            print(name, repr(error), flush=True)\n"
        "            os._exit(1)\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    names = [module_name(file) for file in SOURCES]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *names], capture_output=True, text=True, timeout=280, check=True
    )
    assert done.stdout == ""


def test_importing_the_package_loads_no_heavy_library() -> None:
    assert not imported_after("import inquiry_svc") & HEAVY


def test_loading_every_plugin_loads_no_heavy_library() -> None:
    loaded = imported_after("from inquiry_svc.plugins import Offers, build_manager; Offers(build_manager())")
    assert not loaded & HEAVY


def test_every_plugin_module_has_an_entry_point() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["inquiry_svc"]
    with_hooks = {
        module_name(file) for file in SOURCES if "inquiry_svc_plugins" in file.parts and "@hookimpl" in file.read_text()
    }
    assert set(declared.values()) == with_hooks


def test_the_installed_entry_points_are_those_of_the_project_file() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["inquiry_svc"]
    installed = {each.name: each.value for each in importlib.metadata.entry_points(group="inquiry_svc")}
    assert declared.items() <= installed.items(), "run `make clean` and make again"


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_a_file_opens_with_what_it_is_for(file: Path) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text()))
    assert docstring, "say at the top what the file is for"
    assert docstring.split("\n\n")[0].rstrip().endswith((".", ":", "?")), "let the first paragraph end"


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_a_file_has_one_idea(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 330, "look for the second idea"


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "base", "manager", "misc"])
def test_no_file_is_named_for_nothing(word: str) -> None:
    assert [name_of(file) for file in SOURCES if file.stem == word] == []


def test_only_the_command_line_reads_the_environment() -> None:
    readers = [name_of(file) for file in SOURCES if re.search(r"\bos\.(environ|getenv)\b", file.read_text())]
    assert readers == ["inquiry_svc/cli/configured.py"]


def test_every_error_is_drawn_in_the_tree_at_the_top_of_its_file() -> None:
    tree = ast.parse((ROOT / "inquiry_svc/errors.py").read_text())
    drawn = set(re.findall(r"^[ │├└─]*([A-Z]\w+)", ast.get_docstring(tree) or "", re.MULTILINE))
    assert {node.name for node in tree.body if isinstance(node, ast.ClassDef)} <= drawn
