"""A request takes no more instructions than were kept, by callgrind: it says so on however loaded a machine."""

from __future__ import annotations

import os
import shutil

import pytest

from benchmarks.instructions import ALLOWED, LIMIT_S, counted, kept, more_than_allowed


@pytest.mark.soak  # kept counts are those of one kind of processor and of one build of Python
@pytest.mark.timeout(LIMIT_S + 20)
def test_a_request_takes_hardly_more_instructions_than_was_kept() -> None:
    if shutil.which("valgrind") is None and os.environ.get("CI") != "true":
        pytest.skip("no valgrind: apt-get install valgrind")
    before = kept()
    if not before:
        pytest.skip("nothing is kept for this version of Python: `python -m benchmarks.instructions --keep`")
    assert more_than_allowed(counted(), before) == []


def test_five_percent_more_is_too_much() -> None:
    before = {"classify": 2.0, "submit": 4.0}
    rows = [{"case": "classify", "of_constant": 2.0 * ALLOWED + 0.001}, {"case": "submit", "of_constant": 4.19}]
    assert more_than_allowed(rows, before) == ["classify: 2.101 of the constant answer, it was 2.0"]
