"""The cache `none` remembers nothing."""

from __future__ import annotations

from inquiry_svc.catalogue import CACHE_LOOKUPS
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import running_service


async def test_every_text_is_classified_anew_and_no_lookup_is_counted() -> None:
    classifier = FunctionClassifier()
    chosen = {"classifier.provider": "given", "cache.provider": "none"}
    async with running_service(chosen, plugins=[Offering(classifier=classifier)]) as running:
        for _ in range(3):
            async with running.client.post("/api/v1/inquiries/classify", json={"body": "the same"}) as response:
                assert response.status == 200
        async with running.client.get("/api/v1/health") as response:
            assert (await response.json())["components"]["cache"]["status"] == "healthy"
        looked_up = {
            result: running.service.metrics.series(CACHE_LOOKUPS, result=result).value for result in ("hit", "miss")
        }
    assert [[text.body for text in batch] for batch in classifier.batches if batch[0].body == "the same"] == [
        ["the same"]
    ] * 3
    assert looked_up == {"hit": 0, "miss": 0}
