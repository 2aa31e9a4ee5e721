"""`inquiry-svc replay` decides what real services stored again, on both stores, and writes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from inquiry_svc.labelled import read_labelled
from inquiry_svc_plugins.classifiers import xgboost
from tests.acceptance.serving import run_command, serving
from tests.servers.postgres import PostgresServer, postgres_server

JUDGING: Final = xgboost.PACKAGED_MODEL.with_name("corpus") / "judging" / "judging-1.jsonl"
PAGE: Final = (Path(__file__).parents[2] / "docs/replay.md").read_text()
COUNT: Final = 150
NO_AUDIT: Final = {"INQUIRY_REVIEW__AUDIT_SHARE": "0"}
"""Chance would send more to review than a replay can know."""
INQUIRIES: Final = "/api/v1/inquiries"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service stores; `contents` changes when a row does."""

    data_dir: Path
    environ: Mapping[str, str]
    server: PostgresServer | None

    def replay(self, *options: str) -> str:
        code, out, err = run_command("replay", "--data-dir", str(self.data_dir), *options, environ=self.environ)
        assert (code, err) == (0, "")
        return out

    def replayed(self, *options: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.replay("--json", *options))
        return found

    def contents(self, folder: Path) -> str:
        if self.server is not None:
            tables = self.server.sql(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'write_checks'",
                "inquiries",
            ).split()
            assert {"inquiries", "predictions", "routing_decisions", "feedback"} <= set(tables)
            rows = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} AS t"
            return " ".join(self.server.sql(rows.format(table), "inquiries") for table in sorted(tables))
        backup = folder / "backup"
        code, out, err = run_command("backup", str(backup), "--force", "--data-dir", str(self.data_dir))
        assert (code, err) == (0, "")
        [digest] = re.findall(r"content ([0-9a-f]{32})", out)
        return str(digest)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(tmp_path / "data", NO_AUDIT, None)
        return
    server: PostgresServer = request.getfixturevalue("server")
    with server.database("inquiries") as url:
        environ = {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": url, **NO_AUDIT}
        yield Place(tmp_path / "data", environ, server)


async def submitted(client: aiohttp.ClientSession) -> Sequence[dict[str, Any]]:
    answers = []
    for row in read_labelled([JUDGING])[:COUNT]:
        sent = {"subject": row.text.subject, "body": row.text.body, "sender_email": "ana@example.org"}
        async with client.post(f"{INQUIRIES}/submit", json=sent) as answer:
            assert answer.status == 201
            answers.append(await answer.json())
    for place, row in enumerate(read_labelled([JUDGING])[:20]):
        said = {"category": row.category, "reviewer": "Bo"}
        async with client.post(f"{INQUIRIES}/{answers[place]['inquiry_id']}/feedback", json=said) as answer:
            assert answer.status == 200
    async with client.post(f"{INQUIRIES}/{answers[0]['inquiry_id']}/resolve", json={}) as answer:
        assert answer.status == 200
    return answers


async def test_the_same_model_and_rules_change_nothing_and_others_do_and_nothing_is_written(
    place: Place, tmp_path: Path
) -> None:
    code, rules, _ = run_command("rules", "default")
    assert code == 0
    everything = tmp_path / "everything.yaml"
    everything.write_text(re.sub(r"escalation_threshold: \d+", "escalation_threshold: 0", rules))
    async with serving(place.data_dir, environ=place.environ) as service, aiohttp.ClientSession(service.url) as client:
        answers = await submitted(client)
        before = place.contents(tmp_path)

        same = place.replayed("--with", f"model={xgboost.PACKAGED_MODEL}")
        assert same["inquiries"] == COUNT
        assert {thing: shift["moves"] for thing, shift in same["shifts"].items()} == {
            thing: [] for thing in same["shifts"]
        }
        given = [answer["routing"]["consultant"] for answer in answers]
        assert same["shifts"]["consultant"]["before"] == {name: given.count(name) for name in sorted(set(given))}
        assert same["shifts"]["category"]["looked_at"] == 20
        asked = sum(answer["needs_review"] for answer in answers)
        assert same["shifts"]["needs_review"]["before"] == {"yes": asked, "no": COUNT - asked}

        escalating = place.replayed("--with", f"rules={everything}")
        assert escalating["shifts"]["category"]["moves"] == []
        assert escalating["shifts"]["escalated"]["after"] == {"yes": COUNT, "no": 0}
        assert escalating["shifts"]["department"]["moves"] == []

        [command] = re.findall(r"^inquiry-svc replay (.*)$", PAGE, re.MULTILINE)
        command = command.replace("new-model", str(xgboost.PACKAGED_MODEL)).replace("new-rules.yaml", str(everything))
        assert "\nescalated: " in place.replay(*command.split())

        both = place.replay("--with", "model=keyword", f"rules={everything}", "--examples", "1")
        assert f"{COUNT} inquiries of 7d, as it is and with model=keyword rules={everything}: " in both
        assert re.search(r"^category: \d+ change \(\d+\.\d%\)$", both, re.MULTILINE)
        assert re.search(r"^  people said of 20: right \d+ -> \d+$", both, re.MULTILINE)
        assert re.search(r"^  [0-9a-f-]{36}  \w+ 0\.\d\d -> \w+ 0\.\d\d  \S", both, re.MULTILINE)
        assert re.search(r"^\d+\.\d s, [\d,]+ inquiries a second$", both, re.MULTILINE)

        assert place.contents(tmp_path) == before
    if place.server is None:  # nobody else writes any more: no byte of the file changes
        file = place.data_dir / "inquiries.sqlite3"
        bytes_before = file.read_bytes()
        place.replay("--with", "model=keyword")
        assert file.read_bytes() == bytes_before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "say what to try"),
        (["--with", "keyword"], "say what to try"),
        (["--with", "model=keyword", "modle=keyword"], "say what to try"),
        (["--with", "model=keyword", "model=xgboost"], "say what to try"),
        (["--with", "model="], "say what to try"),
        (["--with", "model=keywrod"], "names no model and no folder"),
        (["--with", "model=keywrod"], "did you mean 'keyword'?"),
        (["--with", "rules=/nowhere.yaml"], "/nowhere.yaml"),
        (["--with", "model=keyword", "--since", "soon"], "write it like 30m, 12h, 7d or 4w"),
        (["--with", "model=keyword"], "name the folder of the service with --data-dir"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_one_line(tmp_path: Path, options: list[str], told: str) -> None:
    code, out, err = run_command("replay", "--data-dir", str(tmp_path / "none"), *options)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert not (tmp_path / "none").exists()
