"""How many unresolved inquiries each consultant holds, so that a router can spread them.

Read from the store at start, then counted along; a row that another process stored is seen at the next reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from inquiry_svc.contracts import Store
from inquiry_svc.inquiries import Outcome


class Workload:
    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @property
    def open_inquiries(self) -> Mapping[str, int]:
        return MappingProxyType(self._open)

    async def read(self, store: Store) -> None:
        self._open = Counter(await store.open_inquiries())

    def take(self, outcome: Outcome) -> None:
        """The outcome was stored: its consultant has one more."""
        if outcome.route.consultant is not None:
            self._open[outcome.route.consultant] += 1

    def give_back(self, outcome: Outcome) -> None:
        """The outcome was resolved."""
        if outcome.route.consultant is not None:
            self._open[outcome.route.consultant] -= 1
