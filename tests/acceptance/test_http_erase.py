"""An inquiry is erased over HTTP by whoever has the scope admin, and a line says by whom, not what it was."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from inquiry_svc.logs import AUDIT
from inquiry_svc.testing.exporters import samples_of
from inquiry_svc.testing.problems import assert_marked, problem_of
from inquiry_svc.testing.running import Running, running_service
from tests.api_keys import bearing, with_keys, written_keys

INQUIRIES: Final = "/api/v1/inquiries"
SENT: Final = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}


@pytest.fixture(params=["memory", "sqlite"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running_service({"store.provider": request.param}) as running:
        yield running


async def submitted(running: Running, **headers: str) -> str:
    async with running.client.post(f"{INQUIRIES}/submit", json=SENT, headers=headers) as answer:
        assert answer.status == 201
        return str((await answer.json())["inquiry_id"])


async def erased(running: Running) -> float:
    async with running.client.get("/metrics") as answer:
        return samples_of(await answer.read())["inquiries_erased_total", ()]


async def test_what_is_erased_is_found_no_more_and_is_counted(running: Running) -> None:
    first, second = await submitted(running), await submitted(running)
    assert await erased(running) == 0
    async with running.client.delete(f"{INQUIRIES}/{first}") as answer:
        assert (answer.status, await answer.read()) == (204, b"")
        assert "Content-Type" not in answer.headers
        assert_marked(answer)
    async with running.client.get(f"{INQUIRIES}/{first}") as answer:
        await problem_of(answer, 404)
    async with running.client.get(INQUIRIES) as answer:
        assert [each["inquiry_id"] for each in (await answer.json())["items"]] == [second]
    async with running.client.get("/api/v1/stats") as answer:
        assert (await answer.json())["total_inquiries"] == 1
    assert await erased(running) == 1


async def test_what_is_not_there_is_404_and_is_not_counted(running: Running) -> None:
    inquiry_id = await submitted(running)
    async with running.client.delete(f"{INQUIRIES}/{inquiry_id.upper()}") as answer:
        assert answer.status == 204
    for each in (inquiry_id, "01a21482-a654-72cd-b233-a80edd837d83", "x", "%00"):
        async with running.client.delete(f"{INQUIRIES}/{each}") as answer:
            assert (await problem_of(answer, 404))["type"] == "/problems/inquiry-not-found"
    assert await erased(running) == 1


async def test_the_same_submit_makes_another_inquiry_afterwards(running: Running) -> None:
    key = {"Idempotency-Key": "order 7"}
    first = await submitted(running, **key)
    assert await submitted(running, **key) == first
    async with running.client.delete(f"{INQUIRIES}/{first}") as answer:
        assert answer.status == 204
    assert await submitted(running, **key) != first


async def test_it_takes_the_scope_admin_and_leaves_a_line_that_says_who_and_what(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = written_keys(tmp_path / "keys")
    caplog.set_level(logging.INFO, AUDIT)
    async with running_service(with_keys(tmp_path / "keys")) as running:
        inquiry_id = await submitted(running, **bearing(keys["submit"]))
        for scope, status in (("submit", 403), ("read", 403), ("review", 403), ("metrics", 403), ("admin", 204)):
            headers = bearing(keys[scope])
            async with running.client.delete(f"{INQUIRIES}/{inquiry_id}", headers=headers) as answer:
                assert answer.status == status
    lines: list[dict[str, Any]] = [vars(record) for record in caplog.records if record.name == AUDIT]
    assert [(each["action"], each["caller"], each["status"]) for each in lines][-2:] == [
        ("erase", "metrics", 403),
        ("erase", "admin", 204),
    ]
    assert {each["inquiry_id"] for each in lines} == {inquiry_id}
    assert lines[-1]["message"] == "erase by admin: done"
    told = json.dumps(lines, default=str)
    assert not [word for word in (SENT["body"], SENT["sender_email"]) if word in told]


async def test_with_an_admin_port_it_is_on_that_one_alone(tmp_path: Path) -> None:
    keys = written_keys(tmp_path / "keys")
    async with running_service(with_keys(tmp_path / "keys", server__admin_port=0)) as running:
        path = f"{INQUIRIES}/{await submitted(running, **bearing(keys['submit']))}"
        async with running.client.delete(path, headers=bearing(keys["admin"])) as answer:
            await problem_of(answer, 405)
        assert running.admin_url
        async with aiohttp.ClientSession(running.admin_url, headers=bearing(keys["admin"])) as admin:
            async with admin.delete(path) as answer:
                assert answer.status == 204
            async with admin.delete(path) as answer:
                await problem_of(answer, 404)
