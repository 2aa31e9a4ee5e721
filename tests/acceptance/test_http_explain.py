"""The service says why, of a text and of a stored inquiry, and says so when it can't or when another model speaks."""

from __future__ import annotations

import io
import json
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Final

import pytest
import pytest_asyncio

from inquiry_svc.explanations import Explanation
from inquiry_svc.inquiries import AXES, Text, Verdict
from inquiry_svc.logs import logging_to
from inquiry_svc.settings import LoggingSettings
from inquiry_svc.testing.exporters import samples_of
from inquiry_svc.testing.problems import messages, problem_of
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import Running, running_service

INQUIRIES: Final = "/api/v1/inquiries"
CHARGED: Final = {
    "subject": " Charged twice ",
    "body": "\n My card was charged twice, caf\u00e9 \U0001f525 refund please!",
}
SENT: Final = {**CHARGED, "sender_email": "ana@example.org"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(params=["keyword", "xgboost", "cascade"], scope="module", loop_scope="module")
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """One for all tests here: none of them changes what another sees. The cascade joins all that it says."""
    settings = {
        "classifier.provider": request.param,
        "classifier.cascade.second": "keyword",
        "classifier.cascade.below": 1.0,
        "classifier.cascade.axes": list(AXES),
    }
    async with running_service(settings) as running:
        yield running


async def _submitted(running: Running) -> dict[str, Any]:
    async with running.client.post(f"{INQUIRIES}/submit", json=SENT) as answer:
        assert answer.status == 201
        found: dict[str, Any] = await answer.json()
    return found


async def _explained(running: Running, inquiry_id: str) -> dict[str, Any]:
    async with running.client.get(f"{INQUIRIES}/{inquiry_id}/explain") as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
    return found


async def test_a_classified_text_is_explained_when_that_is_asked_for(running: Running) -> None:
    async with running.client.post(f"{INQUIRIES}/classify?explain=true", json=CHARGED) as answer:
        assert answer.status == 200
        found = await answer.json()
    async with running.client.post(f"{INQUIRIES}/classify", json=CHARGED) as answer:
        assert await answer.json() == {key: value for key, value in found.items() if key != "explanation"}
    explanation = found["explanation"]
    assert list(explanation) == ["model", "subject", "body", *AXES]
    assert explanation["model"] == found["model"]
    assert explanation["body"] == CHARGED["body"].strip()
    for axis in AXES:
        _check_axis(explanation, axis)
        assert (explanation[axis]["label"], explanation[axis]["confidence"]) == tuple(found[axis].values())


def _check_axis(explanation: dict[str, Any], axis: str) -> None:
    """The sum, the places and the words agree with each other."""
    explained = explanation[axis]
    assert list(explained) == [
        *("label", "confidence", "runner_up", "runner_up_confidence", "margin", "base", "words", "surface", "rest"),
        *("flip", "opinions"),
    ]
    if explanation["model"]["name"] == "cascade":
        assert [opinion["model"]["name"] for opinion in explained["opinions"]] == ["xgboost", "keyword"]
        assert math.fsum(opinion["weight"] for opinion in explained["opinions"]) == pytest.approx(explained["margin"])
    else:
        assert explained["opinions"] == []
    assert explained["margin"] == pytest.approx(math.log(explained["confidence"] / explained["runner_up_confidence"]))
    parts = [part["weight"] for part in (*explained["words"], *explained["surface"])]
    assert math.fsum([explained["base"], *parts, explained["rest"]]) == pytest.approx(explained["margin"], abs=1e-3)
    for words in explained["words"]:
        first = words["spans"][0]
        assert words["text"] == explanation[first["field"]][first["start"] : first["end"]]


async def test_a_stored_inquiry_is_explained_with_its_labels_its_route_and_its_model(running: Running) -> None:
    inquiry = await _submitted(running)
    found = await _explained(running, inquiry["inquiry_id"])
    assert list(found) == [
        *("inquiry_id", *AXES, "needs_review", "review_reasons", "degraded", "model", "routing"),
        *("explained_by_same_model", "explanation"),
    ]
    for key in ("inquiry_id", *AXES, "needs_review", "review_reasons", "degraded", "model", "routing"):
        assert found[key] == inquiry[key]
    assert any(reason.startswith("priority ") and " = urgency " in reason for reason in found["routing"]["reasons"])
    assert found["explained_by_same_model"] is True
    assert found["explanation"]["model"] == inquiry["model"]
    for axis in AXES:
        _check_axis(found["explanation"], axis)
        assert found["explanation"][axis]["label"] == inquiry[axis]["label"]
    named = [words["text"].lower() for words in found["explanation"]["category"]["words"] if words["weight"] > 0]
    assert {"refund", "card"} <= set(" ".join(named).split()), "alone or in a phrase"


async def test_explain_is_true_or_false(running: Running) -> None:
    async with running.client.post(f"{INQUIRIES}/classify?explain=perhaps", json=CHARGED) as answer:
        assert messages(await problem_of(answer, 422)) == {"explain": "must be true or false"}


async def test_explanations_are_measured(running: Running) -> None:
    async def count() -> float:
        async with running.client.get("/metrics") as answer:
            return samples_of(await answer.read())["explanation_duration_seconds_count", ()]

    before = await count()
    await _explained(running, (await _submitted(running))["inquiry_id"])
    assert await count() == before + 1


async def test_a_long_text_gets_at_most_fifty_words_an_axis_and_the_sum_still_holds() -> None:
    body = " ".join(f"{word}{letter}" for letter in ascii_lowercase for word in ("refund", "crash", "lawyer", "thanks"))
    async with (
        running_service({"classifier.provider": "xgboost"}) as running,
        running.client.post(f"{INQUIRIES}/classify?explain=true", json={"body": body}) as answer,
    ):
        explanation = (await answer.json())["explanation"]
    for axis in AXES:
        _check_axis(explanation, axis)
        assert len(explanation[axis]["words"]) <= 50
        assert explanation[axis]["rest"] != 0


# Another model, or none that can say why


@pytest.mark.parametrize("path", ["classify?explain=true", "{inquiry_id}/explain"])
async def test_a_classifier_that_cannot_say_why_is_told_of(path: str) -> None:
    offering = Offering(classifier=FunctionClassifier())
    async with running_service({"classifier.provider": "given"}, plugins=[offering]) as running:
        inquiry = await _submitted(running)
        method, sent = ("POST", CHARGED) if "classify" in path else ("GET", None)
        url = f"{INQUIRIES}/{path.format(inquiry_id=inquiry['inquiry_id'])}"
        async with running.client.request(method, url, json=sent) as answer:
            document = await problem_of(answer, 404)
    assert document["type"] == "/problems/no-explanation"
    assert "choose one that can" in document["detail"]


async def test_what_another_model_decided_is_explained_by_the_present_one_and_marked(tmp_path: Path) -> None:
    stored = {"store.provider": "sqlite"}
    offering = Offering(classifier=FunctionClassifier())
    async with running_service(
        {**stored, "classifier.provider": "given"}, plugins=[offering], data_dir=tmp_path
    ) as running:
        inquiry = await _submitted(running)
    async with running_service({**stored, "classifier.provider": "xgboost"}, data_dir=tmp_path) as running:
        found = await _explained(running, inquiry["inquiry_id"])
    assert found["explained_by_same_model"] is False
    assert (found["model"]["name"], found["explanation"]["model"]["name"]) == ("function", "xgboost")
    assert found["category"] == inquiry["category"], "what was decided stays on record"


async def test_what_the_fallback_decided_is_explained_by_the_fallback() -> None:
    async def fail(texts: Sequence[Text]) -> Sequence[Verdict]:
        raise ValueError("no verdict")

    offering = Offering(classifier=FunctionClassifier(fail))
    async with running_service({"classifier.provider": "given"}, plugins=[offering]) as running:
        inquiry = await _submitted(running)
        assert inquiry["degraded"] == ["classifier"]
        found = await _explained(running, inquiry["inquiry_id"])
    assert found["explained_by_same_model"] is True
    assert found["explanation"]["model"]["name"] == "keyword"


class QuotingExplainer(FunctionClassifier):
    async def explain(self, text: Text) -> Explanation:
        raise ValueError(f"can't explain {text}") from LookupError(text.body)


async def test_no_log_line_holds_a_text_that_was_explained_or_could_not_be() -> None:
    stream = io.StringIO()
    with logging_to(stream, LoggingSettings(level="debug", format="json")):
        for provider, status in (("xgboost", 200), ("keyword", 200), ("given", 500)):
            settings = {"classifier.provider": provider, "logging.requests": "all"}
            async with running_service(settings, plugins=[Offering(classifier=QuotingExplainer())]) as running:
                inquiry_id = (await _submitted(running))["inquiry_id"]
                async with running.client.get(f"{INQUIRIES}/{inquiry_id}/explain") as answer:
                    assert answer.status == status
                async with running.client.post(f"{INQUIRIES}/classify?explain=true", json=CHARGED) as answer:
                    assert answer.status == status
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert sum(line.get("endpoint", "").endswith("/explain") for line in lines) == 3
    assert any("exception" in line for line in lines)
    assert not [line for line in lines if "charged" in json.dumps(line).lower()]
