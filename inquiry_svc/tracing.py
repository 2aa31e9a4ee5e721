"""Traces: what a tracer must do, and in which span a task works just now. What becomes a span is said in `traced.py`.

A tracer is a plugin, for `[tracing] provider`; unless one is chosen nothing of this runs. A span says how long a piece
of work took and how it ended, never what an inquiry says or who sent it: attributes are names, numbers and ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final, Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["server", "consumer", "client", "internal"]
Attribute: TypeAlias = str | int | float | Sequence[str]


class Span(Protocol):
    """A piece of work from its beginning to its end."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, not all 0."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits, not all 0."""

    @property
    def is_recorded(self) -> bool:
        """False where the trace is not kept: its ids are handed on, and nothing else is worth doing for it."""

    def set(self, name: str, value: Attribute) -> None:
        """Add an attribute, by its name in OpenTelemetry's semantic conventions where these have one."""

    def link(self, other: Span) -> None:
        """Point to a span of another trace that has to do with this one."""

    def fail(self, error_type: str) -> None:
        """The work failed. An exception's message may quote an inquiry, so only its type is told."""


class Tracer(Protocol):
    """Makes spans and sends them somewhere, without ever being in the way of what they tell of."""

    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Attribute],
        *,
        caller: Mapping[str, str] | None = None,
        links: Sequence[Span] = (),
    ) -> AbstractContextManager[Span]:
        """A span that lasts as long as the context is open, in the task that opens it.

        With `links` it begins a trace of its own, which is recorded: what it is linked to is. With `caller`, which may
        hold a W3C `traceparent` and `tracestate` or any nonsense, it goes on with the caller's trace or begins one.
        With neither it is a part of the span in which the task works.
        """


CURRENT: Final[ContextVar[Span | None]] = ContextVar("span", default=None)
"""The span in which this task works: for log lines, problems and exemplars."""
_NO_PART: Final = nullcontext()


@contextmanager
def begin_trace(
    tracer: Tracer,
    name: str,
    kind: Kind,
    attributes: Mapping[str, Attribute],
    *,
    caller: Mapping[str, str] | None = None,
    links: Sequence[Span] = (),
) -> Iterator[Span]:
    """See `Tracer.span`. What is raised within is a failure of the span and goes on."""
    with tracer.span(name, kind, attributes, caller=caller, links=links) as span:
        before = CURRENT.set(span)
        try:
            yield span
        except BaseException as error:
            span.fail(type(error).__qualname__)
            raise
        finally:
            CURRENT.reset(before)


def part_of_trace(
    tracer: Tracer, name: str, kind: Kind, attributes: Mapping[str, Attribute]
) -> AbstractContextManager[Span | None]:
    """A span within the one in which the task works; None where there is none, or none that is recorded."""
    current = CURRENT.get()
    if current is None or not current.is_recorded:
        return _NO_PART
    return begin_trace(tracer, name, kind, attributes)


def traceresponse(span: Span) -> str:
    """The span as the W3C's `traceresponse` header tells a caller of it."""
    return f"00-{span.trace_id}-{span.span_id}-{'01' if span.is_recorded else '00'}"
