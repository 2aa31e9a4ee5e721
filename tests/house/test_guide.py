"""`monitoring/GUIDE.md` has each row of the monitoring guide's check-list once, and what it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.plugins import asked, build_manager

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "monitoring/GUIDE.md"
ROWS: Final = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in PAGE.read_text().splitlines()
    if re.match(r"\| [A-Z]\d* \|", line)
]

LAST: Final = {"Q": 23, "G": 7, "A": 12, "C": 8, "P": 10, "L": 6, "K": 10, "T": 4, "X": 4, "E": 3, "D": 4, "W": 4}
"""The last row of each letter but M, whose metrics have two digits and whose month has one, and S, which is one row."""
IDS: Final = [
    *(f"M{number:02}" for number in range(1, 21)),
    *(
        f"{letter}{number:02}" if letter == "Q" else f"{letter}{number}"
        for letter, last in LAST.items()
        for number in range(1, last + 1)
    ),
    *(f"M{number}" for number in range(1, 5)),
    "S",
    *(f"Z{number}" for number in range(1, 6)),
]


def test_every_row_of_the_guide_stands_on_the_page_once_and_in_order() -> None:
    assert [row[0] for row in ROWS] == IDS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_where_it_lives_and_what_proves_it(row: tuple[str, ...]) -> None:
    _, asks, place, proof = row
    assert asks
    shown, link = re.fullmatch(r"\[(.*)\]\((.*)\)", place).groups()  # type: ignore[union-attr]
    assert (PAGE.parent / link).resolve() == (ROOT / shown).resolve()
    assert (ROOT / shown).is_file()
    file, _, test = proof.strip("`").partition("::")
    assert test in functions_in(ROOT / file)


@pytest.mark.parametrize("row", [row for row in ROWS if re.fullmatch(r"M\d\d", row[0])], ids=lambda row: row[0])
def test_a_metric_that_a_row_names_is_declared(row: tuple[str, ...]) -> None:
    declared = [*OWN_METRICS, *(each for _, some in asked(build_manager(), "register_metrics") for each in some)]
    named = set(re.findall(r"`(\w+)`", row[1]))
    assert named <= {metric.name for metric in declared} | {"business_metric_total"}, "the latter is an outsider's"


def test_seven_pages_to_read_on_are_named() -> None:
    last = PAGE.read_text().partition("Z5: ")[2]
    assert len(set(re.findall(r"\]\((https://[^)]+)\)", last))) == 7


def functions_in(file: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, functions)}
