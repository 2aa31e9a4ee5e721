"""An archive is read in chunks and scored a line for each line, whatever stands in it."""

from __future__ import annotations

import asyncio
import gzip
import json
import pickle
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from inquiry_svc.cli.score import _what_a_classifier_needs
from inquiry_svc.config import load_settings
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.inquiries import Model, Text, Verdict
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.scoring import archives
from inquiry_svc.scoring.archives import Chunk, chunks
from inquiry_svc.scoring.cluster import _OpenScorer
from inquiry_svc.scoring.lines import Scorer
from inquiry_svc.settings import ReviewSettings

MODEL = Model("echo", "1", "digest")


class Echo:
    """As sure of the first category as the body says; raises over words. One call at a time, or it fails."""

    model = MODEL

    def __init__(self) -> None:
        self._busy = False

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        assert not self._busy
        self._busy = True
        try:
            await asyncio.sleep(0)
            found = [float(text.body) for text in texts]
        finally:
            self._busy = False
        return [Verdict.from_scores([sure, 1 - sure, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0]) for sure in found]


def scorer() -> Scorer:
    return Scorer(Echo(), ReviewPolicy(ReviewSettings()))


def line(body: Any, **more: Any) -> bytes:
    return json.dumps({"body": body, **more}).encode()


async def answers(*lines: bytes | None) -> list[dict[str, Any]]:
    scored = await scorer().score(Chunk("a.jsonl", 1, lines, 0))
    found = [json.loads(each) for each in scored.lines.splitlines()]
    assert len(found) == len(lines)
    assert scored.not_scored == sum("error" in each for each in found)
    assert [each["line"] for each in found] == list(range(1, len(lines) + 1))
    return found


async def test_each_line_is_answered_by_what_the_classifier_says_of_its_text_alone() -> None:
    found = await answers(*(line(str(number / 200 + 0.5)) for number in range(100)))
    assert [each["category"]["confidence"] for each in found] == [number / 200 + 0.5 for number in range(100)]
    assert found[0]["model"] == {"name": "echo", "version": "1", "digest": "digest"}
    assert [each["needs_review"] for each in (found[0], found[99])] == [True, False]
    assert found[0]["review_reasons"] == ["low_confidence"]


async def test_a_line_is_read_as_it_was_sent_and_as_the_service_gave_it_back() -> None:
    """Whatever else stands there is passed over, and an id is handed on."""
    given = {"inquiry_id": "0199", "routing": {"department": "sales"}, "metadata": {"a": 1}, "sender_email": "x"}
    one, other = await answers(line(" 0.9\n", subject="Hello"), line("0.9", **given))
    assert (one["inquiry_id"], other["inquiry_id"]) == (None, "0199")
    assert one["category"] == other["category"]


async def test_a_line_that_cannot_be_scored_says_why_and_its_neighbours_are_scored() -> None:
    bad = [b"", b"[1]", b"{", b"\xff", line(""), line("x" * 10_001), line(7), b'{"subject": "no body"}', None]
    bad += [b'{"body": "0.9", "body": "0.8"}', b'{"body": "\\ud800"}', line("words", inquiry_id="7")]
    found = await answers(*(each for wrong in bad for each in (wrong, line("0.9"))))
    assert all("error" not in each for each in found[1::2])
    told = [(each["error"], [fault["field"] for fault in each.get("errors", [])]) for each in found[::2]]
    assert told == [
        ("not JSON: Expecting value at character 0", []),
        ("not valid: the body", [""]),
        ("not JSON: Expecting property name enclosed in double quotes at character 1", []),
        ("not JSON: byte 0 is not UTF-8", []),
        *[("not valid: /body", ["/body"])] * 4,
        (f"longer than {archives.MAX_LINE_BYTES} bytes", []),
        *[("not valid: /body", ["/body"])] * 2,
        ("the classifier raised ValueError", []),
    ]
    assert found[-2]["inquiry_id"] == "7"


async def test_chunks_that_come_at_once_ask_the_classifier_one_after_the_other() -> None:
    shared = scorer()
    chunk = Chunk("a.jsonl", 1, (line("0.9"),) * 100, 0)
    first, second = await asyncio.gather(shared.score(chunk), shared.score(chunk))
    assert first == second


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_chunks_hold_every_line_in_order_and_add_up_to_the_file(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"archive{suffix}"
    lines = [b"%d" % number for number in range(2 * archives.CHUNK_LINES + 3)]
    lines[5] = b""
    lines[7] = b"x" * archives.MAX_LINE_BYTES
    lines[9] = b"x" * (archives.MAX_LINE_BYTES + 1)
    lines[11] = b"x" * (10 * archives.MAX_LINE_BYTES)
    content = b"\n".join(lines)  # the last without its end
    file.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    found = list(chunks([file, file]))
    expected: list[bytes | None] = list(lines)
    expected[9] = expected[11] = None
    assert [each for chunk in found for each in chunk.lines] == 2 * expected
    firsts = [1, 1 + archives.CHUNK_LINES, 1 + 2 * archives.CHUNK_LINES]
    assert [chunk.first for chunk in found] == 2 * firsts
    assert sum(chunk.read_bytes for chunk in found) == 2 * file.stat().st_size


def test_a_chunk_of_long_lines_ends_early(tmp_path: Path) -> None:
    file = tmp_path / "archive.jsonl"
    file.write_bytes(b"\n".join([b"x" * archives.MAX_LINE_BYTES] * 9))
    assert [len(chunk.lines) for chunk in chunks([file])] == [4, 4, 1]


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-9], lambda whole: b"no gzip", lambda whole: whole[:40] + b"x"]
)
def test_an_archive_that_ends_early_is_refused_by_name(damage: Any, tmp_path: Path) -> None:
    file = tmp_path / "archive.jsonl.gz"
    file.write_bytes(damage(gzip.compress(b"\n".join(b"%d" % number for number in range(1000)))))
    with pytest.raises(ConfigurationError, match=r"archive\.jsonl\.gz can't be read: .*; name a whole file"):
        list(chunks([file]))


def test_a_worker_is_sent_no_secret_of_anything_but_the_classifier() -> None:
    environ = {
        "INQUIRY_STORE__POSTGRES__URL": "postgresql://a-secret",
        "INQUIRY_CLIENT__KEY": "a-secret",
        "INQUIRY_REVIEW__BELOW_EVIDENCE": "0.25",
        "INQUIRY_CLASSIFIER__XGBOOST__MODEL": "a-model",
    }
    settings, _ = load_settings(Offers(build_manager()), environ=environ)
    assert b"a-secret" in pickle.dumps(settings)
    sent = pickle.dumps(_what_a_classifier_needs(settings))
    assert b"a-secret" not in sent
    assert b"a-model" in sent
    assert pickle.loads(sent).review.below_evidence == 0.25


async def test_a_worker_with_another_model_is_refused() -> None:
    """Else a line would be scored by the one or the other, by chance."""
    closed = []

    @asynccontextmanager
    async def opening() -> AsyncIterator[Scorer]:
        yield scorer()
        closed.append(True)

    worker: Any = SimpleNamespace(address="tls://there:1")
    with pytest.raises(
        ConfigurationError, match="worker tls://there:1 has model digest, not another: install the same"
    ):
        await _OpenScorer("name", opening, replace(MODEL, digest="another")).setup(worker)
    assert closed == [True]
    right = _OpenScorer("name", opening, MODEL)
    await right.setup(worker)
    await right.teardown(worker)
    assert closed == [True, True]
