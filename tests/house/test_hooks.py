"""Every hook is documented with its exact signature and used by a plugin in this tree."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from inquiry_svc import hookspecs

ROOT = Path(__file__).parents[2]
HOOKS = {
    node.name: node
    for node in ast.parse(inspect.getsource(hookspecs)).body
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
}


@pytest.fixture(scope="module")
def implemented() -> set[str]:
    return set(_implemented_hooks())


@pytest.mark.parametrize("hook", HOOKS)
def test_the_hook_stands_in_the_plugin_guide_with_its_exact_signature(hook: str) -> None:
    node = HOOKS[hook]
    signature = f"`{hook}({ast.unparse(node.args)}) -> {ast.unparse(node.returns) if node.returns else 'None'}`"
    assert signature in (ROOT / "plugins/README.md").read_text(), f"write {signature} into plugins/README.md"


@pytest.mark.parametrize("hook", HOOKS)
def test_the_hook_says_what_it_is_for(hook: str) -> None:
    assert ast.get_docstring(HOOKS[hook])


@pytest.mark.parametrize("hook", HOOKS)
def test_the_hook_is_implemented_somewhere_in_this_tree(hook: str, implemented: set[str]) -> None:
    assert hook in implemented, f"nothing implements {hook}: remove it until a plugin needs it"


def test_the_guide_names_no_hook_that_does_not_exist() -> None:
    lines = (ROOT / "plugins/README.md").read_text().splitlines()
    named = {line.split("`")[1].split("(")[0] for line in lines if line.startswith("| `") and "(" in line}
    assert named == set(HOOKS)


def _implemented_hooks() -> Iterator[str]:
    for file in [*(ROOT / "plugins").rglob("*.py"), *(ROOT / "inquiry_svc").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(mark, ast.Name) and mark.id == "hookimpl" for mark in node.decorator_list
            ):
                yield node.name
