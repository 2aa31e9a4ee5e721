"""What every tracer must do, as tests to inherit: who receives from it can put the traces together.

    class TestMyTracer(TracerContract):
        @pytest.fixture
        def open_tracer(self) -> OpenTracer:
            return my_tracer  # each call opens one that records what no caller has decided on, and where it sends to

Needs pytest, pytest-asyncio and Hypothesis.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inquiry_svc.tracing import CURRENT, Span, Tracer, begin_trace, part_of_trace, traceresponse


class Told(Protocol):
    """A span as it arrived. Ids are hexadecimal digits."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def trace_id(self) -> str: ...
    @property
    def span_id(self) -> str: ...
    @property
    def parent_id(self) -> str:
        """Empty where it begins its trace."""

    @property
    def attributes(self) -> Mapping[str, Any]: ...
    @property
    def links(self) -> set[tuple[str, str]]:
        """Trace and span."""

    @property
    def failed(self) -> bool: ...


Arrived: TypeAlias = Callable[[int], Awaitable[Sequence[Told]]]
"""So many spans, in the order in which they ended, once they have arrived. Raises `TimeoutError`."""
OpenTracer: TypeAlias = Callable[[], AbstractAsyncContextManager[tuple[Tracer, Arrived]]]

CALLER: Final = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "tracestate": "vendor=value"}
_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]))


class TracerContract:
    """Inherit it, and override `open_tracer`."""

    @pytest.fixture
    def open_tracer(self) -> OpenTracer:
        raise NotImplementedError("override the fixture `open_tracer`")

    async def test_a_span_that_nobody_called_for_begins_a_trace(self, open_tracer: OpenTracer) -> None:
        async with open_tracer() as (tracer, arrived):
            for _ in range(2):
                with begin_trace(tracer, "one", "server", {}, caller={}) as span:
                    assert re.fullmatch("[0-9a-f]{32}", span.trace_id)
                    assert re.fullmatch("[0-9a-f]{16}", span.span_id)
                    assert traceresponse(span) == f"00-{span.trace_id}-{span.span_id}-01"
            first, second = await arrived(2)
        assert (second.trace_id, second.span_id) == (span.trace_id, span.span_id)
        assert first.parent_id == second.parent_id == ""
        assert first.trace_id != second.trace_id

    async def test_the_callers_trace_is_gone_on_with(self, open_tracer: OpenTracer) -> None:
        async with open_tracer() as (tracer, arrived):
            with begin_trace(tracer, "called", "server", {}, caller=CALLER):
                pass
            [called] = await arrived(1)
        assert (called.trace_id, called.parent_id) == ("ab" * 16, "cd" * 8)

    async def test_what_the_caller_does_not_record_is_not_sent_and_its_ids_are_handed_on(
        self, open_tracer: OpenTracer
    ) -> None:
        unrecorded = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"}
        async with open_tracer() as (tracer, arrived):
            with begin_trace(tracer, "called", "server", {}, caller=unrecorded) as span:
                assert not span.is_recorded
                assert traceresponse(span) == f"00-{'ab' * 16}-{span.span_id}-00"
                span.set("any", 1)
                span.fail("any")
                with part_of_trace(tracer, "part", "internal", {}) as part:
                    assert part is None
            with begin_trace(tracer, "other", "server", {}, caller={}):
                pass
            assert [each.name for each in await arrived(1)] == ["other"]

    @given(caller=st.dictionaries(st.sampled_from(["traceparent", "tracestate"]), _TEXT))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @pytest.mark.filterwarnings("default")
    async def test_nonsense_from_a_caller_begins_a_trace(
        self, open_tracer: OpenTracer, caller: Mapping[str, str]
    ) -> None:
        async with open_tracer() as (tracer, _):
            with begin_trace(tracer, "called", "server", {}, caller=caller) as span:
                assert int(span.trace_id, 16)

    @pytest.mark.parametrize(
        "traceparent",
        [
            "",
            "00",
            f"00-{'0' * 32}-{'cd' * 8}-01",
            f"00-{'ab' * 16}-{'0' * 16}-01",
            f"ff-{'ab' * 16}-{'cd' * 8}-01",
            f"00-{'AB' * 16}-{'cd' * 8}-01",
            f"00-{'ab' * 16}-{'cd' * 8}-01-more",
            f"00-{'ab' * 16}-{'cd' * 8}-01,00-{'ab' * 16}-{'cd' * 8}-01",
        ],
    )
    async def test_a_traceparent_that_is_none_begins_a_trace(self, open_tracer: OpenTracer, traceparent: str) -> None:
        async with open_tracer() as (tracer, _):
            with begin_trace(tracer, "called", "server", {}, caller={"traceparent": traceparent}) as span:
                assert span.trace_id != "ab" * 16

    async def test_parts_belong_to_the_span_in_which_their_task_works(self, open_tracer: OpenTracer) -> None:
        async with open_tracer() as (tracer, arrived):

            async def work(name: str) -> None:
                await asyncio.sleep(0)
                with part_of_trace(tracer, name, "internal", {}):
                    await asyncio.sleep(0)

            async def serve(name: str) -> None:
                with begin_trace(tracer, name, "server", {}, caller={}):
                    await asyncio.gather(work(f"{name} 1"), work(f"{name} 2"))

            await asyncio.gather(serve("a"), serve("b"), work("nobody's"))
            found = {span.name: span for span in await arrived(6)}
        assert found.keys() == {"a", "a 1", "a 2", "b", "b 1", "b 2"}
        for name, span in found.items():
            assert span.trace_id == found[name[0]].trace_id
            assert span.parent_id == ("" if len(name) == 1 else found[name[0]].span_id)

    async def test_what_is_linked_is_a_recorded_trace_of_its_own(self, open_tracer: OpenTracer) -> None:
        async with open_tracer() as (tracer, arrived):
            requests: list[Span] = []
            for _ in range(200):
                with begin_trace(tracer, "request", "server", {}, caller={}) as span:
                    requests.append(span)
            with begin_trace(tracer, "waiting", "server", {}, caller=CALLER) as waiting:
                with begin_trace(tracer, "batch", "internal", {}, links=requests) as batch:
                    waiting.link(batch)
                assert CURRENT.get() is waiting
            found = {span.name: span for span in await arrived(202)}
        assert found["batch"].links == {(span.trace_id, span.span_id) for span in requests}
        assert found["batch"].parent_id == ""
        assert found["batch"].trace_id not in {*(span.trace_id for span in requests), "ab" * 16}
        assert found["waiting"].links == {(batch.trace_id, batch.span_id)}

    async def test_kind_attributes_and_end_are_told(self, open_tracer: OpenTracer) -> None:
        async with open_tracer() as (tracer, arrived):
            with begin_trace(tracer, "works", "client", {"a": "b", "n": 1}, caller={}) as span:
                span.set("share", 0.5)
                span.set("many", ["x", "y"])
            with pytest.raises(ValueError, match="charged twice"), begin_trace(tracer, "fails", "consumer", {}):
                raise ValueError("my card was charged twice")
            works, fails = await arrived(2)
        assert (works.kind, works.failed) == ("client", False)
        assert works.attributes == {"a": "b", "n": 1, "share": 0.5, "many": ["x", "y"]}
        assert (fails.kind, fails.failed, fails.attributes) == ("consumer", True, {"error.type": "ValueError"})
        assert "charged twice" not in repr(fails), "an exception's message may quote an inquiry"
        assert CURRENT.get() is None
