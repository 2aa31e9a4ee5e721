"""What a service stores is counted for drift, without anybody waiting for it; what it only classifies is not."""

from __future__ import annotations

import asyncio
import re

import pytest

from inquiry_svc.catalogue import EXPECTED_CORRECT, OBSERVATIONS, PROFILE_SHARE
from inquiry_svc.testing.running import Running, running_service

INQUIRIES = "/api/v1/inquiries"
LIMIT_S = 30.0


async def send(running: Running, call: str, **sent: str) -> None:
    async with running.client.post(f"{INQUIRIES}/{call}", json=sent) as answer:
        assert answer.ok, await answer.text()


async def test_what_is_stored_is_counted_within_a_moment_beside_its_models_profile() -> None:
    async with running_service({"classifier.provider": "xgboost"}) as running:
        await send(running, "classify", body="My card was charged twice for March.")
        for body in ("My card was charged twice for March.", "Meine Karte wurde im April zweimal belastet."):
            await send(running, "submit", body=body, sender_email="ana@example.org")
        async with asyncio.timeout(LIMIT_S):
            while sum((found := await languages(running)).values()) < 2:
                pass
        assert {each: count for each, count in found.items() if count} == {"english": 1, "other_latin": 1}
        metrics = running.service.metrics
        assert 1 < metrics.series(EXPECTED_CORRECT, model_name="xgboost", axis="category").value < 2
        share = metrics.series(PROFILE_SHARE, model_name="xgboost", measure="language", bin="english").value
        assert share == pytest.approx(0.96, abs=0.03)


async def languages(running: Running) -> dict[str, float]:
    """What the page of metrics says of the languages of what the trained model read."""
    async with running.client.get("/metrics") as answer:
        page = await answer.text()
    pattern = rf'^{OBSERVATIONS.name}{{model_name="xgboost",measure="language",bin="(\w+)"}} (\S+)$'
    return {each: float(count) for each, count in re.findall(pattern, page, re.MULTILINE)}


async def test_a_manager_serves_again_after_a_service_has_closed() -> None:
    async with running_service() as running:
        manager = running.service.manager
        assert manager.has_plugin("drift")
    assert not manager.has_plugin("drift")
