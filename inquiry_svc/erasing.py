"""What a store does where stored mail is to be gone: because a person asks, or because it may be kept no longer.

Which inquiries those are is found through the store's lists (`inquiry-svc erase`); a store is given their ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class ErasingStore(Protocol):
    """What a `Store` does to forget."""

    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        """Erase these inquiries and all that belongs to them, in one transaction; the ids of those that were there.

        Nothing finds or counts them any more: no list, no totals, no consultant's load, no review queue. Their
        idempotency keys are free. Of several who erase one at once, one is given its id. The caller gives few at a
        time, a hundred or so, so that nobody waits for long.

        What is left of their bytes, a store overwrites as far as that is in its hands: see docs/erasing.md.
        """
