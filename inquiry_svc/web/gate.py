"""Who comes in, who waits a moment for a place, and who is told that there is none.

Through the application a refusal takes two thirds of the instructions of an answer, so that ten times what can be
served would be seven times the work. What the lane takes is refused here for a small part of that, before its body is
checked; the rest is refused by the handlers. Where there are keys nobody asks for them: who is refused here learns no
more than that the service is full.

    enter -> a place -> begin
          -> the line, newest first -> a place -> begin
                                    -> in vain -> refuse, in turn

The line keeps every stage busy where places come free many at a time. The newest goes first: so those who are served
have hardly waited, where first come first served would have everybody wait as long as anybody can.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Final, Protocol

import msgspec

from inquiry_svc.admission import Admission
from inquiry_svc.errors import Overloaded
from inquiry_svc.web.problems import problem_answer

logger = logging.getLogger(__name__)

PATIENCE_S: Final = 0.02
"""So long a place is waited for: one comes free with each batch."""
_TURN_S: Final = 0.001
_LONGEST_TURN_S: Final = 0.02
"""Of longer ones as many are told as of this: they would hold up the loop."""
TOLD_PER_S: Final = 2_000
"""To tell one and to read what it sends next takes up to 50 microseconds, most of it the kernel's: a tenth
of a core for all."""
TELL_S: Final = 1.0
_STAGES: Final = 2
_ID_HERE: Final = "id-here"


class Caller(Protocol):
    started: float
    """When it came, on the clock of `time.perf_counter`."""
    waits: bool
    """For a place, or to be told that there is none. Not any more when it has left."""

    @property
    def stages(self) -> int:
        """So many are on its way, 1 or 2: it is classified, and it may be stored."""

    def begin(self) -> None:
        """It has a place, until `let_out`."""

    def give_up(self) -> None:
        """It will be refused."""

    def refuse(self) -> None:
        """Tell it so."""


class Gate:
    """Of one service. Its answer is made once, but for the id of the request."""

    def __init__(self, admission: Admission) -> None:
        self._inside = 0
        """Who is let in takes its place later, when its turn has come."""
        self._inside_of_a_crowd = 0
        """There who keeps one stage busy alone counts as two: more than a batch of such would only wait, and be told
        later."""
        self._admission = admission
        self._line: deque[Caller] = deque()
        self._in_vain: deque[Caller] = deque()
        self._turn: asyncio.Handle | None = None
        self._turn_began = 0.0
        self._letting_in: asyncio.Handle | None = None
        self._untold = 0
        self._telling: asyncio.Handle | None = None
        self.refusal = problem_answer(Overloaded(""), _ID_HERE)
        """What is said to all, but for the body."""
        self._before, self._after = self.refusal.body.split(_ID_HERE.encode())

    def enter(self, caller: Caller) -> None:
        """Have it begin, now or when there is a place, or have it refused."""
        if not self._is_shut():
            self.let_in(caller)
            return
        self._line.append(caller)
        if self._turn is None:
            self._turn_began = time.perf_counter()
            self._turn = asyncio.get_running_loop().call_later(_TURN_S, self._take_turn)

    def let_in(self, caller: Caller) -> None:
        """Whether there is a place or not."""
        self._inside += 1
        self._inside_of_a_crowd += _STAGES // caller.stages
        caller.begin()

    def let_out(self, caller: Caller) -> None:
        """It had begun, and was answered or never will be."""
        self._inside -= 1
        self._inside_of_a_crowd -= _STAGES // caller.stages
        if self._line and self._letting_in is None:
            self._letting_in = asyncio.get_running_loop().call_soon(self._let_in_more)

    def refused(self, request_id: str) -> bytes:
        """The body of one more refusal: counted, and told of with a line of the log a second for all."""
        self._admission.refuse()
        self._untold += 1
        if self._telling is None:
            self._leave_line()
        return b"%b%b%b" % (self._before, msgspec.json.encode(request_id)[1:-1], self._after)

    def _leave_line(self) -> None:
        """Now, and of those who are refused within the next second when it is over."""
        self._telling = asyncio.get_running_loop().call_later(TELL_S, self._leave_line) if self._untold else None
        if self._untold:
            logger.warning("refused %d requests: all places are taken", self._untold, extra={"status": 503})
            self._untold = 0

    def _is_shut(self) -> bool:
        inside = self._inside_of_a_crowd if self._admission.gives_fewer else self._inside
        return inside >= self._admission.given or self._admission.is_full

    def _let_in_more(self) -> None:
        self._letting_in = None
        while self._line and not self._is_shut():
            caller = self._line.pop()
            if caller.waits:
                self.let_in(caller)

    def _take_turn(self) -> None:
        now = time.perf_counter()
        passed_s, self._turn_began = min(now - self._turn_began, _LONGEST_TURN_S), now
        self._turn = asyncio.get_running_loop().call_later(_TURN_S, self._take_turn)  # whatever comes of this one
        self._let_in_more()
        self._give_up(come_before=now - PATIENCE_S)
        left = max(1, int(TOLD_PER_S * passed_s))
        while left and self._in_vain:
            caller = self._in_vain.popleft()
            if caller.waits:
                left -= 1
                caller.refuse()
        if not self._line and not self._in_vain:
            self._turn.cancel()
            self._turn = None

    def _give_up(self, *, come_before: float) -> None:
        """On those who have waited too long."""
        while self._line and self._line[0].started < come_before:
            caller = self._line.popleft()
            if caller.waits:
                caller.give_up()
                self._in_vain.append(caller)
