"""`inquiry-svc drift` says what has changed in a store that services write, and changes nothing in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from inquiry_svc.contracts import Host
from inquiry_svc.inquiries import Feedback, Outcome
from inquiry_svc.measures import MEASURES
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.samples import sample_inquiry, sample_outcome, sample_prediction, sample_verdict
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite
from tests.acceptance.serving import run_command

ENGLISH: Final = "Please could you tell me when the refund for my broken keyboard will be paid to me?"
GERMAN: Final = "Bitte sagen Sie mir, wann die Erstattung meiner kaputten Tastatur bezahlt wird."


def outcomes(count: int, body: str, hours_ago: int, category: str = "billing") -> list[Outcome]:
    received_at = datetime.now(UTC) - timedelta(hours=hours_ago)
    prediction = replace(sample_prediction(), verdict=sample_verdict(category))
    return [
        sample_outcome(sample_inquiry(subject="", body=body, received_at=received_at), prediction=prediction)
        for _ in range(count)
    ]


async def stored(folder: Path, *batches: Iterable[Outcome]) -> None:
    async with open_sqlite(SqliteSettings(), Host(folder, Metrics())) as store:
        for batch in batches:
            await store.save(list(batch))


def drift(folder: Path, *options: str) -> str:
    code, out, err = run_command("drift", "--data-dir", str(folder), *options)
    assert (code, err) == (0, "")
    return out


def as_json(folder: Path, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(drift(folder, "--json", *options))
    return found


async def test_it_names_what_has_changed_and_what_has_not(tmp_path: Path) -> None:
    await stored(tmp_path, outcomes(400, ENGLISH, 50), outcomes(150, ENGLISH, 2), outcomes(150, GERMAN, 1))
    before = (tmp_path / "inquiries.sqlite3").read_bytes()
    lines = drift(tmp_path).splitlines()
    assert lines[0] == "300 inquiries of 1d against 400 of 7d before them, and the training"
    told = {line.split()[0]: line for line in lines[2:9]}
    assert list(told) == [*MEASURES]
    assert told["language"].endswith("CHANGED: english 100% -> 50%")
    assert "CHANGED: <=0.05 " in told["unknown_words"] or "CHANGED: >0.4 " in told["unknown_words"]
    for measure in ("category", "sentiment", "urgency", "confidence"):
        assert "  steady: " in told[measure], told[measure]
    assert (tmp_path / "inquiries.sqlite3").read_bytes() == before


async def test_windows_are_those_asked_for(tmp_path: Path) -> None:
    await stored(tmp_path, outcomes(300, ENGLISH, 100, "sales"), outcomes(250, ENGLISH, 30), outcomes(220, ENGLISH, 1))
    found = as_json(tmp_path, "--since", "2d", "--before", "12h")
    assert (found["inquiries"], found["inquiries_before"]) == (470, 0)
    assert found["measures"]["category"]["against_before"] is None
    found = as_json(tmp_path, "--since", "2d", "--before", "1w")
    assert (found["inquiries"], found["inquiries_before"]) == (470, 300)
    assert found["measures"]["category"]["against_before"] > 1
    assert found["measures"]["category"]["now"]["billing"] > 0.99
    assert found["measures"]["category"]["before"]["sales"] > 0.99


async def test_of_few_it_says_nothing_but_how_right_they_should_be(tmp_path: Path) -> None:
    some = outcomes(10, ENGLISH, 1)
    said = [
        Feedback("billing", None, "low", "Ana", datetime.now(UTC)),
        Feedback("sales", None, None, "Bo", datetime.now(UTC)),
    ]
    await stored(tmp_path, [replace(some[0], feedback=said[0]), replace(some[1], feedback=said[1]), *some[2:]])
    out = drift(tmp_path)
    assert "\nlanguage                -         -\n" in out
    assert "category: by its confidence 90% should be right; people found 1 of 2\n" in out
    assert "urgency: by its confidence 90% should be right; people found 0 of 1\n" in out
    assert out.endswith("urgency: by its confidence 90% should be right; people found 0 of 1\n")


async def test_without_a_profile_there_is_no_training_to_compare_with(tmp_path: Path) -> None:
    await stored(tmp_path, outcomes(300, ENGLISH, 30), outcomes(300, ENGLISH, 1))
    environ = {"INQUIRY_CLASSIFIER__PROVIDER": "keyword"}
    code, out, err = run_command("drift", "--data-dir", str(tmp_path), environ=environ)
    assert (code, err) == (0, "")
    assert "no profile of the training" in out
    assert "\nunknown_words           -         -\n" in out
    assert "\nlanguage             0.00         -  steady" in out


@pytest.mark.parametrize(
    ("options", "environ", "told"),
    [
        (["--since", "7"], {}, "write it like 30m, 12h, 7d or 4w"),
        (["--since", "0d"], {}, "write it like 30m, 12h, 7d or 4w"),
        (["--before", "999999w"], {}, "write it like 30m, 12h, 7d or 4w"),
        ([], {}, "name the folder of the service with --data-dir"),
        ([], {"INQUIRY_STORE__PROVIDER": "memory"}, "store 'memory' can't be read from outside the service"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_with_the_cure(
    tmp_path: Path, options: list[str], environ: dict[str, str], told: str
) -> None:
    code, out, err = run_command("drift", "--data-dir", str(tmp_path / "none"), *options, environ=environ)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert not (tmp_path / "none").exists()
