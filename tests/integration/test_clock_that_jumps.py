"""The machine's clock is put an hour ahead or back while the service runs: what is measured does not notice.

What goes by the calendar does: a lease that is over by the clock is over, and one that is not is not.
"""

from __future__ import annotations

import datetime as calendar
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from inquiry_svc import pipeline, reviews
from inquiry_svc.intake import inquiry
from inquiry_svc.metrics import Distribution
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.web import inquiries
from inquiry_svc.web import reviews as web_reviews
from inquiry_svc_plugins.stores import memory
from tests.api_keys import bearing, with_keys, written_keys

API: Final = "/api/v1"
HOUR_S: Final = 3600.0
REAL: Final = time.time
LONGEST_S: Final = 60.0
"""Of any duration, on a machine however busy; the jumps are of an hour."""


class Clock:
    ahead_s = 0.0

    def __call__(self) -> float:
        return REAL() + self.ahead_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What every part of the service that asks for the time of day is told."""
    clock = Clock()

    class Told(calendar.datetime):
        @classmethod
        def now(cls, tz: calendar.tzinfo | None = None) -> Any:
            return calendar.datetime.fromtimestamp(clock(), tz)

    monkeypatch.setattr(time, "time", clock)
    for module in (pipeline, reviews, inquiry, inquiries, web_reviews, memory):
        if hasattr(module, "datetime"):
            monkeypatch.setattr(module, "datetime", Told)
    return clock


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    return written_keys(tmp_path / "keys")


@pytest.fixture
async def running(tmp_path: Path, keys: Mapping[str, str]) -> AsyncIterator[Running]:
    settings = with_keys(tmp_path / "keys", review__below_confidence=1.0, limits__requests=1_000)
    async with running_service({**settings, "cache.provider": "memory"}) as running:
        yield running


async def ask(running: Running, path: str, key: str, body: Any = None) -> tuple[int, Any]:
    method = "GET" if body is None else "POST"
    async with running.client.request(method, f"{API}/{path}", json=body, headers=bearing(key)) as answer:
        return answer.status, await answer.json()


async def test_an_hour_ahead_and_two_back_disturb_no_request_and_no_duration(
    running: Running, keys: Mapping[str, str], clock: Clock
) -> None:
    sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
    moments = []
    for jump_s in (0.0, HOUR_S, -2 * HOUR_S, HOUR_S):
        clock.ahead_s += jump_s
        for _ in range(20):
            status, answer = await ask(running, "inquiries/submit", keys["submit"], sent)
            assert status == 201
            moments.append((answer["received_at"], answer["processed_at"]))
        told = calendar.datetime.fromisoformat(moments[-1][0])
        assert told.utcoffset() == calendar.timedelta(0)
        assert abs(told.timestamp() - clock()) < LONGEST_S
        for path in ("stats", "inquiries", "reviews"):
            key = keys["review" if path == "reviews" else "read"]
            assert (await ask(running, path, key))[0] == 200
    assert all(received <= processed for received, processed in moments)
    listed = (await ask(running, "inquiries?limit=100", keys["read"]))[1]["items"]
    assert len({each["inquiry_id"] for each in listed}) == 80
    measured = {
        (family.metric.name, labels): value
        for family in running.service.metrics.snapshot()
        for labels, value in family.values.items()
        if isinstance(value, Distribution) and family.metric.name.endswith("_duration_seconds")
    }
    assert max(value.cumulative[-1] for value in measured.values()) == 80
    assert [of for of, value in measured.items() if not 0 <= value.sum < LONGEST_S] == []


async def test_a_lease_is_over_when_the_clock_says_so_and_holds_again_when_it_is_put_back(
    running: Running, keys: Mapping[str, str], clock: Clock
) -> None:
    sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
    _, answer = await ask(running, "inquiries/submit", keys["submit"], sent)
    claim = f"reviews/{answer['inquiry_id']}/claim"
    for ahead_s, reviewer, wanted in (
        (0.0, "ana", 200),
        (0.0, "bob", 409),
        (-HOUR_S, "bob", 409),
        (HOUR_S, "bob", 200),
        (HOUR_S, "ana", 409),
        (0.0, "ana", 409),
        (0.0, "bob", 200),
    ):
        clock.ahead_s = ahead_s
        status, _ = await ask(running, claim, keys["review"], {"reviewer": reviewer})
        assert status == wanted, (ahead_s, reviewer)
