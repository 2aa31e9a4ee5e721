"""Runs a contract suite over providers that are broken on purpose, in a process of its own, and tells what failed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


def suite_failures(file: str, choice: str) -> set[tuple[str, str]]:
    """Each failure of the chosen classes `Broken...` in `file`: the test, and its parameter ("" where it has none)."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rf", "-n0", "-p", "no:cacheprovider", file]
    chosen = ["-o", "python_classes=Broken", "-k", choice]
    run = subprocess.run([*command, *chosen], capture_output=True, text=True, timeout=240, check=False)
    found = re.findall(r"^FAILED \S+::(test_\w+)(?:\[([\w-]+)\])?", run.stdout, re.MULTILINE)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert " error" not in run.stdout, run.stdout
    return set(found)


def names_of_tests(suite: type) -> set[str]:
    return {name for name in dir(suite) if name.startswith("test_")}
