"""Refuses at once what would find no place, before its body is checked and with nothing that waits.

Through the application a refusal takes two thirds of the instructions of an answer, so that ten times what can be
served would be seven times the work. What the lane takes is refused here for a small part of that; the rest is refused
by the handlers. Where there are keys nobody asks for them: who is refused here learns no more than that the service is
full.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from inquiry_svc.admission import Admission
from inquiry_svc.errors import Overloaded
from inquiry_svc.web.problems import ProblemAnswer, problem_answer

logger = logging.getLogger(__name__)

_TURN_S: Final = 0.001
_LONGEST_TURN_S: Final = 0.02
"""Of longer ones as many are told as of this: they would hold up the loop."""
_TOLD_PER_S: Final = 2_000
"""To tell one and to read what it sends next takes up to 50 microseconds, most of it the kernel's: a tenth
of a core for all."""
TELL_S: Final = 1.0
_ID_HERE: Final = "id-here"


class Gate:
    """Of one service. Its answer is made once, but for the id of the request."""

    def __init__(self, admission: Admission) -> None:
        self._inside = 0
        self._admission = admission
        self._to_be_told: deque[Callable[[], None]] = deque()
        self._turn: asyncio.Handle | None = None
        self._turn_began = 0.0
        self._untold = 0
        self._told_at = 0.0
        self._problem = problem_answer(Overloaded(""), _ID_HERE)
        self._before, self._after = self._problem.body.split(_ID_HERE.encode())

    @property
    def is_shut(self) -> bool:
        return self._inside >= self._admission.given or self._admission.is_full

    def let_in(self) -> None:
        """Count one until it is let out. It takes its place later, when its turn has come."""
        self._inside += 1

    def let_out(self) -> None:
        """It was answered, or never will be."""
        self._inside -= 1

    def refusal(self, request_id: str) -> ProblemAnswer:
        """Counted, and told of with a line of the log a second for all."""
        self._admission.refuse()
        self._untold += 1
        now = time.monotonic()
        if now - self._told_at >= TELL_S:
            logger.warning("refused %d requests: all places are taken", self._untold, extra={"status": 503})
            self._untold, self._told_at = 0, now
        body = b"%b%b%b" % (self._before, msgspec.json.encode(request_id)[1:-1], self._after)
        return msgspec.structs.replace(self._problem, body=body)

    def have_told(self, tell: Callable[[], None]) -> None:
        """Call `tell` when it is its turn: at once, unless so many are refused that it would keep us from all else."""
        self._to_be_told.append(tell)
        if self._turn is None:
            self._tell_some()

    def _tell_some(self) -> None:
        waiting, loop, now = self._to_be_told, asyncio.get_running_loop(), time.monotonic()
        passed_s = min(now - self._turn_began, _LONGEST_TURN_S)
        self._turn_began = now
        self._turn = loop.call_later(_TURN_S, self._tell_some) if waiting else None
        for _ in range(min(max(1, int(_TOLD_PER_S * passed_s)), len(waiting))):
            waiting.popleft()()
