"""Notices as rows, and back. Both stores of SQL keep the same columns; they differ in how they write times and ids."""

from __future__ import annotations

from dataclasses import dataclass

from inquiry_svc.notices import Delivery, Notice, Outbox, Undelivered
from inquiry_svc_plugins.stores.outcome_rows import OutcomeRows, Row


@dataclass(frozen=True, slots=True)
class NoticeRows:
    """Rows of one store."""

    outcomes: OutcomeRows

    def notice(self, notice: Notice) -> Row:
        return (
            notice.notice_id,
            notice.notifier,
            notice.kind,
            notice.inquiry_id,
            self.outcomes.from_time(notice.created_at),
        )

    def delivery(self, row: Row) -> Delivery:
        """From a notice, its attempts, since when it waits, until when it is claimed; then the outcome."""
        attempts, waiting_since, claimed_until, *outcome = row[5:]
        to_time = self.outcomes.to_time
        return Delivery(
            self._notice(row[:5]),
            self.outcomes.outcome([str(outcome[0]), *outcome[1:]]),
            attempts,
            to_time(waiting_since),
            to_time(claimed_until),
        )

    def undelivered(self, row: Row) -> Undelivered:
        """From a notice, its attempts, since when it waits, when it is due, claimed until, set aside; the reason."""
        attempts, waiting_since, due_at, claimed_until, set_aside_at, reason = row[5:]
        to_time = self.outcomes.to_time
        return Undelivered(
            self._notice(row[:5]),
            attempts,
            to_time(waiting_since),
            to_time(due_at),
            None if claimed_until is None else to_time(claimed_until),
            None if set_aside_at is None else to_time(set_aside_at),
            reason,
        )

    def outbox(self, row: Row) -> Outbox:
        """From how many wait, the oldest time since when, and how many are set aside."""
        waiting, oldest, set_aside = row
        return Outbox(waiting, None if oldest is None else self.outcomes.to_time(oldest), set_aside)

    def _notice(self, columns: Row) -> Notice:
        notice_id, notifier, kind, inquiry_id, created_at = columns
        return Notice(str(notice_id), notifier, kind, str(inquiry_id), self.outcomes.to_time(created_at))
