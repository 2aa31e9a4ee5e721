"""Sources run for as long as the service does, whatever they raise, and finish what they have taken when it stops."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from inquiry_svc.catalogue import SOURCE_FAILURES
from inquiry_svc.contracts import Submit
from inquiry_svc.errors import InquiryInvalid
from inquiry_svc.inquiries import Inquiry
from inquiry_svc.metrics import Metrics
from inquiry_svc.pipeline import Submission
from inquiry_svc.sources import Sources
from inquiry_svc.testing.providers import FunctionSource
from inquiry_svc.testing.samples import NOON, sample_outcome

BODY = b'{"body": "My card was charged twice.", "sender_email": "ana@example.org"}'

RunSource = Callable[[Submit, asyncio.Event], Awaitable[None]]


class Taken:
    """What was submitted; each is answered at once."""

    def __init__(self) -> None:
        self.inquiries: list[Inquiry] = []

    async def submit(self, inquiry: Inquiry) -> Submission:
        self.inquiries.append(inquiry)
        return Submission(sample_outcome(inquiry), replayed=False)


class Kept:
    """Sources under test, with what they brought and how often each failed."""

    def __init__(self, *, finish_s: float = 20.0, first_pause_s: float = 0.001, **sources: RunSource) -> None:
        self.taken = Taken()
        self.metrics = Metrics([SOURCE_FAILURES])
        chosen = {name: FunctionSource(run) for name, run in sources.items()}
        self.sources = Sources(chosen, self.taken.submit, self.metrics, finish_s=finish_s, first_pause_s=first_pause_s)

    def failures(self, name: str) -> float:
        return self.metrics.series(SOURCE_FAILURES, source=name).value


async def bring_one(submit: Submit, stopping: asyncio.Event) -> None:
    await submit(BODY, key="1")
    await stopping.wait()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)


async def test_a_source_that_fails_is_started_again_and_counted_while_the_others_go_on() -> None:
    runs = 0

    async def fails_thrice(submit: Submit, stopping: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        if runs <= 3:
            raise ConnectionError("gone")
        await bring_one(submit, stopping)

    kept = Kept(failing=fails_thrice, well=bring_one)
    async with kept.sources.running():
        await until(lambda: len(kept.taken.inquiries) == 2)
    assert (kept.failures("failing"), kept.failures("well")) == (3, 0)


async def test_the_pause_before_a_new_start_grows_with_each_failure_in_a_row() -> None:
    starts: list[float] = []

    async def fails(submit: Submit, stopping: asyncio.Event) -> None:
        starts.append(time.monotonic())
        raise ConnectionError("gone")

    kept = Kept(failing=fails)
    async with kept.sources.running():
        await until(lambda: len(starts) == 9)
    assert starts[8] - starts[7] >= 0.127, "it doubles from 1 ms on"


@pytest.mark.parametrize("ended", ["returns", "is cancelled from within"])
async def test_a_source_that_ends_by_itself_is_started_again(ended: str) -> None:
    runs = 0

    async def ends(submit: Submit, stopping: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        if ended != "returns":
            raise asyncio.CancelledError

    kept = Kept(ending=ends)
    async with kept.sources.running():
        await until(lambda: runs == 3)
    assert kept.failures("ending") in (2, 3)


async def test_stopping_is_told_before_the_end_and_waits_until_what_was_taken_is_finished() -> None:
    told, finished = asyncio.Event(), False

    async def finishes_later(submit: Submit, stopping: asyncio.Event) -> None:
        nonlocal finished
        await stopping.wait()
        told.set()
        for _ in range(10):
            await asyncio.sleep(0)
        await submit(BODY, key="1")
        finished = True

    kept = Kept(late=finishes_later)
    async with kept.sources.running():
        await asyncio.sleep(0)
        kept.sources.stop()
        await told.wait()
    assert finished
    assert len(kept.taken.inquiries) == 1
    assert kept.failures("late") == 0


async def test_a_source_that_does_not_finish_is_cut_off_in_time() -> None:
    cut_off = False

    async def never_finishes(submit: Submit, stopping: asyncio.Event) -> None:
        nonlocal cut_off
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut_off = True
            raise

    kept = Kept(finish_s=0.05, stuck=never_finishes)
    async with kept.sources.running():
        await asyncio.sleep(0)
    assert cut_off


async def test_of_a_source_that_fails_at_the_stop_nobody_says_that_it_is_to_run_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails_at_the_stop(submit: Submit, stopping: asyncio.Event) -> None:
        await stopping.wait()
        raise ConnectionError("gone")

    kept = Kept(failing=fails_at_the_stop)
    async with kept.sources.running():
        await asyncio.sleep(0)
    assert kept.failures("failing") == 0
    assert [record.getMessage() for record in caplog.records] == ["source failing failed while it was to finish"]


async def test_a_source_that_waits_for_its_next_start_does_not_hold_up_the_stop() -> None:
    async def fails(submit: Submit, stopping: asyncio.Event) -> None:
        raise ConnectionError("gone")

    kept = Kept(finish_s=3600, first_pause_s=3600, failing=fails)
    async with asyncio.timeout(60), kept.sources.running():
        await until(lambda: kept.failures("failing") == 1)


# What a source submits


async def submitted(body: bytes, **named: object) -> Inquiry:
    """The inquiry that a body becomes. Raises what the source is told."""
    told: BaseException | None = None

    async def bring(submit: Submit, stopping: asyncio.Event) -> None:
        nonlocal told
        try:
            await submit(body, **{"key": "k-1", **named})  # type: ignore[arg-type]
        except InquiryInvalid as error:
            told = error
        await stopping.wait()

    kept = Kept(post=bring)
    async with kept.sources.running():
        await until(lambda: bool(kept.taken.inquiries or told))
    if told is not None:
        raise told
    return kept.taken.inquiries[0]


async def test_a_message_has_a_key_that_no_client_can_use_and_no_other_source_has() -> None:
    inquiry = await submitted(BODY)
    assert inquiry.idempotency_key is not None
    assert inquiry.idempotency_key.value == "post\tk-1"
    assert not inquiry.idempotency_key.value.isprintable(), "a header could hold it"


async def test_the_same_message_brought_again_has_the_same_key_and_fingerprint() -> None:
    first, again = [await submitted(BODY, received_at=NOON + timedelta(hours=hours)) for hours in (0, 1)]
    assert first.idempotency_key == again.idempotency_key
    assert first.inquiry_id != again.inquiry_id


async def test_the_moment_that_the_body_gives_counts_then_that_of_the_source_then_the_present() -> None:
    dated = json.dumps({**json.loads(BODY), "received_at": "2026-01-02T03:04:05+01:00"}).encode()
    assert (await submitted(dated, received_at=NOON)).received_at == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert (await submitted(BODY, received_at=NOON)).received_at == NOON
    assert abs(datetime.now(UTC) - (await submitted(BODY)).received_at) < timedelta(seconds=10)


async def test_what_is_not_valid_is_told_with_every_reason() -> None:
    with pytest.raises(InquiryInvalid) as refused:
        await submitted(b'{"sender_email": "nobody", "x": 1}')
    assert list(refused.value.reasons) == [
        "/body is required",
        "/sender_email is not a valid e-mail address",
        "/x is not a field here; known: body, metadata, received_at, sender_email, sender_name, source, subject",
    ]
    assert "nobody" not in str(refused.value)


async def test_what_is_no_json_or_too_large_is_not_valid() -> None:
    for body, reason in (
        (b"", "the body is not JSON: Expecting value at character 0"),
        (b"\xff", "the body is not JSON: byte 0 is not UTF-8"),
        (b"[]", "the body must be an object"),
        (b" " * 65_537, "the body is larger than 65536 bytes"),
    ):
        with pytest.raises(InquiryInvalid) as refused:
            await submitted(body)
        assert list(refused.value.reasons) == [reason]
