"""Refuses at once what would find no place, from the head of a request and before aiohttp has read it.

Through the application a refusal takes two thirds of the instructions of an answer, so that ten times what can be
served would be seven times the work. Here it takes a sixth, and nothing that waits. It concerns the two calls that need
a place, and only a request whose head says plainly where it ends; all others take the way of every request, and are
refused there. Where there are keys nobody asks for them: who is refused here learns no more than that the service is
full. No middleware sees it, and no tracer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from aiohttp import helpers

from inquiry_svc.admission import Admission
from inquiry_svc.errors import Overloaded
from inquiry_svc.intake.checking import MAX_BODY_BYTES
from inquiry_svc.web.edge import fit_request_id, mark, new_request_id
from inquiry_svc.web.framing import HEAD_END, value_at
from inquiry_svc.web.problems import problem_response

logger = logging.getLogger(__name__)

_TURN_S: Final = 0.001
_TOLD_EACH_TURN: Final = 8
"""Some 15 microseconds each, most of it the kernel's: a tenth of a core."""
TELL_S: Final = 1.0
_ID_HERE: Final = "id-here"
_CONNECTION: Final = b"\r\nconnection:"
_ASKS_FOR_MORE: Final = (b"\r\norigin:", b"\r\ntransfer-encoding", b"\r\nupgrade", b"\r\nexpect")
_REQUEST_ID: Final = b"\r\nx-request-id:"


class Gate:
    """Of one service. Its answers are made once, but for the id of the request and the date."""

    def __init__(
        self,
        admission: Admission,
        endpoints: Mapping[bytes, str],
        measure: Callable[[str], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        """`endpoints`: the paths that need a place. `measure` is told which was refused."""
        self.concerns = tuple(b"POST " + path for path in endpoints)
        """How requests begin that may be refused here."""
        self.inside = 0
        """Requests that were let through and are not answered. Places are taken later, when their turn has come."""
        self._admission = admission
        self._endpoints = endpoints
        self._measure = measure
        self._is_stopping = is_stopping
        self._to_be_told: deque[Callable[[], None]] = deque()
        self._turn: asyncio.Handle | None = None
        self._untold = 0
        self._told_at = 0.0
        response = problem_response(Overloaded(""), _ID_HERE)
        mark(response.headers, _ID_HERE)
        assert isinstance(response.body, bytes)
        self._body_before, self._body_after = response.body.split(_ID_HERE.encode())
        # Without the id: what it adds to the length is known when it is.
        self._length = len(self._body_before) + len(self._body_after)
        lines = [f"{name}: {value}" for name, value in response.headers.items() if value != _ID_HERE]
        lines = [line for line in lines if not line.startswith("Content-Length")]
        self._head = "\r\n".join([f"HTTP/1.1 {response.status} {response.reason}", *lines]).encode()

    @property
    def is_shut(self) -> bool:
        return self.inside >= self._admission.given or self._admission.is_full

    def refusal(self, data: bytes, size: int) -> bytes | None:
        """The answer to a request of `size` that `data` begins with; None where it must go through the application."""
        line_end = data.find(b"\r\n")
        target, _, version = data[:line_end].removeprefix(b"POST ").partition(b" ")
        endpoint = self._endpoints.get(target.partition(b"?")[0])
        head_end = data.find(HEAD_END)
        if endpoint is None or version != b"HTTP/1.1" or size - head_end > MAX_BODY_BYTES or self._is_stopping():
            return None
        head = data[: head_end + 2]
        lower = head.lower()
        if not _is_plain(lower):
            return None
        at = lower.find(_REQUEST_ID)
        given = None if at < 0 else value_at(head, at + len(_REQUEST_ID)).decode("latin-1")
        request_id = fit_request_id(given) or new_request_id()
        self._admission.refuse()
        self._measure(endpoint)
        self._tell()
        return self._answer(request_id)

    def have_told(self, tell: Callable[[], None]) -> None:
        """Call `tell` when it is its turn: at once, unless so many are refused that it would keep us from all else."""
        self._to_be_told.append(tell)
        if self._turn is None:
            self._tell_some()

    def _tell_some(self) -> None:
        some = min(_TOLD_EACH_TURN, len(self._to_be_told))
        for _ in range(some):
            self._to_be_told.popleft()()
        self._turn = asyncio.get_running_loop().call_later(_TURN_S, self._tell_some) if some else None

    def _answer(self, request_id: str) -> bytes:
        shown = msgspec.json.encode(request_id)[1:-1]
        return b"%b\r\nX-Request-ID: %b\r\nDate: %b\r\nContent-Length: %d\r\n\r\n%b%b%b" % (
            self._head,
            request_id.encode(),
            helpers.rfc822_formatted_time().encode(),
            self._length + len(shown),
            self._body_before,
            shown,
            self._body_after,
        )

    def _tell(self) -> None:
        """One line a second: one for each would cost more than the refusal."""
        self._untold += 1
        now = time.monotonic()
        if now - self._told_at >= TELL_S:
            logger.warning("refused %d requests: all places are taken", self._untold, extra={"status": 503})
            self._untold, self._told_at = 0, now


def _is_plain(lower: bytes) -> bool:
    """Whether it asks for nothing but to be answered, and ends where it seems to."""
    for name in _ASKS_FOR_MORE:
        if name in lower:
            return False
    at = lower.find(_CONNECTION)
    if at >= 0 and value_at(lower, at + len(_CONNECTION)) != b"keep-alive":
        return False
    return lower.count(b"\n") == lower.count(b"\r\n") and lower.count(b"\r\ncontent-length") == 1
