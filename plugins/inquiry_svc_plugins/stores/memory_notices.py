"""The notices of the store `memory`: those that nobody was told of yet, in the order in which they were kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from msgspec.structs import replace

from inquiry_svc.notices import Notice, NoticeFilters, Outbox, Settled, Undelivered


class MemoryNotices:
    def __init__(self) -> None:
        self._undelivered: dict[str, Undelivered] = {}

    def keep(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            at = notice.created_at
            self._undelivered[notice.notice_id] = Undelivered(notice, 0, at, at, None, None, None)

    def erase(self, inquiry_ids: Collection[str]) -> None:
        """Those of these inquiries."""
        left = {name: each for name, each in self._undelivered.items() if each.notice.inquiry_id not in inquiry_ids}
        self._undelivered = left

    def claim(self, notifier: str, now: datetime, until: datetime, limit: int) -> Sequence[Undelivered]:
        due = sorted((each for each in self._firsts(notifier, now) if each.due_at <= now), key=lambda each: each.due_at)
        for each in due[:limit]:
            self._put(replace(each, claimed_until=until))
        return due[:limit]

    def settle(self, settled: Settled) -> None:
        found = self._undelivered.get(settled.delivery.notice.notice_id)
        if found is None or found.claimed_until != settled.delivery.claimed_until:
            return
        free = replace(found, claimed_until=None)
        failed = replace(free, attempts=found.attempts + 1, reason=settled.reason)
        if settled.result == "delivered":
            del self._undelivered[found.notice.notice_id]
        elif settled.result == "returned":
            self._put(replace(free, due_at=settled.at))
        elif settled.result == "set_aside":
            self._put(replace(failed, set_aside_at=settled.at))
        else:
            self._put(replace(failed, due_at=settled.at))
            for each in self._waiting(found.notice.notifier):
                if each.notice.inquiry_id == found.notice.inquiry_id and each.due_at < settled.at:
                    self._put(replace(each, due_at=settled.at))

    def list(self, filters: NoticeFilters) -> Sequence[Undelivered]:
        return [each for each in self._undelivered.values() if _passes(each, filters)]

    def retry(self, filters: NoticeFilters, now: datetime, limit: int) -> int:
        chosen = [each for each in self.list(filters) if each.set_aside_at is not None or each.due_at > now][:limit]
        for each in chosen:
            anew = each if each.set_aside_at is None else replace(each, attempts=0, waiting_since=now)
            self._put(replace(anew, due_at=now, set_aside_at=None))
        return len(chosen)

    def drop(self, filters: NoticeFilters, limit: int) -> int:
        chosen = self.list(filters)[:limit]
        for each in chosen:
            del self._undelivered[each.notice.notice_id]
        return len(chosen)

    def outbox(self, notifier: str) -> Outbox:
        waiting = self._waiting(notifier)
        set_aside = self.list(NoticeFilters(notifier, set_aside=True))
        return Outbox(len(waiting), min((each.waiting_since for each in waiting), default=None), len(set_aside))

    def _waiting(self, notifier: str) -> Sequence[Undelivered]:
        return self.list(NoticeFilters(notifier, set_aside=False))

    def _firsts(self, notifier: str, now: datetime) -> Iterator[Undelivered]:
        """Of each inquiry of which none is held."""
        firsts: dict[str, Undelivered] = {}
        held: set[str] = set()
        for each in self._waiting(notifier):
            firsts.setdefault(each.notice.inquiry_id, each)
            if each.claimed_until is not None and each.claimed_until > now:
                held.add(each.notice.inquiry_id)
        return (each for inquiry_id, each in firsts.items() if inquiry_id not in held)

    def _put(self, undelivered: Undelivered) -> None:
        self._undelivered[undelivered.notice.notice_id] = undelivered


def _passes(undelivered: Undelivered, filters: NoticeFilters) -> bool:
    return (
        filters.notifier in (None, undelivered.notice.notifier)
        and filters.set_aside in (None, undelivered.set_aside_at is not None)
        and (filters.notice_ids is None or undelivered.notice.notice_id in filters.notice_ids)
    )
