"""How many unresolved inquiries each consultant holds, so that a router can spread them.

Read from the store at start and counted along. Other processes store and resolve as well, so it is read again now and
then; in between, and while the store can't be asked, the numbers are this process's best knowledge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Final

from inquiry_svc.contracts import Store
from inquiry_svc.inquiries import Outcome
from inquiry_svc.repeating import repeated

_PERIOD_S: Final = 30.0


class Workload:
    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @property
    def open_inquiries(self) -> Mapping[str, int]:
        return MappingProxyType(self._open)

    @asynccontextmanager
    async def kept_current(self, store: Store, *, period_s: float = _PERIOD_S) -> AsyncIterator[None]:
        """Read now, where a failure is raised, and every period while open, where the old numbers stay."""
        await self._read(store)
        async with repeated(
            partial(self._read, store),
            period_s=period_s,
            first_after_s=period_s,
            name="workload",
            failing="open inquiries can't be counted; going on with the last numbers",
        ):
            yield

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """The outcomes were stored: of each, its consultant has one more."""
        consultants = [outcome.route.consultant for outcome in outcomes]
        self._open.update([name for name in consultants if name is not None])

    def give_back(self, outcome: Outcome) -> None:
        """The outcome was resolved."""
        if outcome.route.consultant is not None:
            self._open[outcome.route.consultant] -= 1

    async def _read(self, store: Store) -> None:
        """What is stored while the store counts may be missed until the next reading."""
        self._open = Counter(await store.open_inquiries())
