"""What a source brings is judged and kept as over HTTP, and sources stop when the service does, before the rest."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest

from inquiry_svc.config import load_settings
from inquiry_svc.contracts import Filters, Submit
from inquiry_svc.errors import InquiryInvalid, InquiryServiceError, TriageFailed
from inquiry_svc.inquiries import Inquiry, Outcome
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.service import Service, open_service
from inquiry_svc.testing.providers import FunctionSource, Offering
from inquiry_svc.testing.running import IN_MEMORY, running_service
from inquiry_svc.web.port import bound_socket
from inquiry_svc.web.server import listening
from inquiry_svc_plugins.stores.memory import MemoryStore

SUBMIT: Final = "/api/v1/inquiries/submit"
GIVEN: Final = {"sources.providers": ("given",)}
VALID: Final[dict[str, Any]] = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
BODIES: Final = {
    "valid": json.dumps(VALID),
    "trimmed": json.dumps({**VALID, "subject": "  Charged twice ", "metadata": {"order": [1, None, "ü"]}}),
    "empty": "",
    "no json": "{",
    "no object": "[]",
    "nothing": "{}",
    "twice": '{"body": "a", "body": "b", "sender_email": "ana@example.org"}',
    "not a number": '{"body": "a", "sender_email": "ana@example.org", "metadata": {"x": NaN}}',
    "lone surrogate": '{"body": "\\ud800", "sender_email": "ana@example.org"}',
    "nul": json.dumps({**VALID, "subject": "\0"}),
    "blank body": json.dumps({**VALID, "body": " \n "}),
    "long body": json.dumps({**VALID, "body": "x" * 10_001}),
    "unknown field": json.dumps({**VALID, "sender_mail": "x"}),
    "wrong types": json.dumps({"body": 1, "sender_email": None, "source": "post", "received_at": "yesterday"}),
    "no address": json.dumps({**VALID, "sender_email": "ana@localhost"}),
    "large metadata": json.dumps({**VALID, "metadata": {"x": "y" * 5000}}),
    "too early": json.dumps({**VALID, "received_at": "1900-01-01T00:00:00Z"}),
    "too large": json.dumps({**VALID, "x": "y" * 65_536}),
}


class Post:
    """A source that brings what it is handed, until it is cut off."""

    def __init__(self) -> None:
        self._handed: asyncio.Queue[tuple[bytes, str, asyncio.Future[Outcome]]] = asyncio.Queue()

    async def hand(self, body: bytes, key: str) -> Outcome:
        """Raises what the source is told."""
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        await self._handed.put((body, key, told))
        return await told

    async def run(self, submit: Submit, stopping: asyncio.Event) -> None:
        while True:
            body, key, told = await self._handed.get()
            try:
                told.set_result(await submit(body, key=key))
            except InquiryServiceError as error:
                told.set_exception(error)


def kept(inquiry: Inquiry) -> tuple[object, ...]:
    """What of an inquiry is what was sent."""
    return (inquiry.subject, inquiry.body, inquiry.sender_email, inquiry.sender_name, inquiry.source, inquiry.metadata)


@pytest.mark.parametrize("name", BODIES)
async def test_a_message_is_judged_as_a_request_is(name: str) -> None:
    body, post, store = BODIES[name].encode(), Post(), MemoryStore()
    settings = {**GIVEN, "store.provider": "given", "server.stop_timeout_s": 0.01}
    async with running_service(settings, plugins=[Offering(source=post, store=store)]) as running:
        async with running.client.post(SUBMIT, data=body, headers={"Content-Type": "application/json"}) as response:
            answer = await response.json()
        try:
            brought = await post.hand(body, "1")
        except InquiryInvalid as refusal:
            assert response.status in (400, 413, 422)
            faults = [f"{fault['field'] or 'the body'} {fault['message']}" for fault in answer.get("errors", [])]
            if response.status == 422:
                assert list(refusal.reasons) == faults
            assert len(refusal.reasons) >= 1
        else:
            assert response.status == 201, answer
            over_http = await store.get(answer["inquiry_id"])
            assert over_http is not None
            assert kept(brought.inquiry) == kept(over_http.inquiry)
            assert brought.prediction == over_http.prediction
        assert len(await store.list(Filters(), limit=9, after=None)) == (2 if response.status == 201 else 0)


async def test_a_message_brought_again_is_answered_with_the_inquiry_that_it_became() -> None:
    post, body = Post(), BODIES["valid"].encode()
    settings = {**GIVEN, "server.stop_timeout_s": 0.01}
    async with running_service(settings, plugins=[Offering(source=post)]) as running:
        first, other, again = [await post.hand(body, key) for key in ("1", "2", "1")]
        assert first.inquiry.inquiry_id == again.inquiry.inquiry_id != other.inquiry.inquiry_id
        async with running.client.get("/api/v1/stats") as response:
            assert (await response.json())["total_inquiries"] == 2


async def test_a_message_that_a_plugin_fails_over_fails_alone() -> None:
    class PoisonedStore(MemoryStore):
        async def save(self, outcomes: Any, notices: Any = ()) -> Any:
            if any("poison" in outcome.inquiry.body for outcome in outcomes):
                raise ValueError("can't be written")
            return await super().save(outcomes, notices)

    post, store = Post(), PoisonedStore()
    settings = {**GIVEN, "store.provider": "given", "server.stop_timeout_s": 0.01}
    async with running_service(settings, plugins=[Offering(source=post, store=store)]):
        with pytest.raises(TriageFailed):
            await post.hand(json.dumps({**VALID, "body": "poison"}).encode(), "1")
        await post.hand(BODIES["valid"].encode(), "2")


async def test_sources_are_told_to_stop_with_the_first_sign_of_it_and_finish_before_the_store_closes(
    tmp_path: Path,
) -> None:
    told, store, ready_at_the_time = asyncio.Event(), MemoryStore(), list[bool]()

    async def bring(submit: Submit, stopping: asyncio.Event) -> None:
        await stopping.wait()
        ready_at_the_time.append(not service.stopping)
        told.set()
        await listening_is_over.wait()
        await submit(BODIES["valid"].encode(), key="the last")

    service: Service
    listening_is_over = asyncio.Event()
    manager = build_manager([Offering(source=FunctionSource(bring), store=store)])
    offers = Offers(manager)
    wanted = {**IN_MEMORY, **GIVEN, "store.provider": "given", "server.data_dir": str(tmp_path)}
    settings, _ = load_settings(offers, options={tuple(key.split(".")): value for key, value in wanted.items()})
    async with open_service(settings, manager, offers) as service:
        with bound_socket("127.0.0.1", 0) as bound:
            async with listening(service, bound):
                await asyncio.sleep(0)
            assert told.is_set(), "they go on while requests are drained"
        listening_is_over.set()
    assert ready_at_the_time == [False]
    assert len(await store.list(Filters(), limit=9, after=None)) == 1
