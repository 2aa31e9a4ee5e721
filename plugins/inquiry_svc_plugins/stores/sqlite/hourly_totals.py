"""What `stats` counts: the totals of hours that are over, and the rows of what remains.

An hour is taken in as one that changed, then counted by a connection that reads, and kept by the one that writes unless
it changed meanwhile. So no write waits for as long as counting takes, and what was counted is exact or not used.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from inquiry_svc.contracts import Stats
from inquiry_svc.inquiries import CATEGORIES, DEPARTMENTS, SENTIMENTS, URGENCIES
from inquiry_svc_plugins.stores.outcome_rows import to_json
from inquiry_svc_plugins.stores.sqlite.database import transaction

_HOUR: Final = 3_600_000_000
"""In microseconds, as all times here."""
_LAST: Final = 2**63 - 1
_SOME_ROWS: Final = 2_000
SOME_HOURS: Final = 200
_BEFORE_NOW: Final = _HOUR // 12
"""An hour is taken in so long after it is over, when hardly anything will come to it."""
_COUNTS: Final = 3
"""In a row of totals, the place of the first column that is added up: inquiries. Before are the hour and two times."""

Counted: TypeAlias = tuple[int, int, Sequence[Any]]
"""An hour, the change up to which it is counted, and its row."""


class HourlyTotals:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._queries = queries

    def stats(self, connection: sqlite3.Connection, since: int, now: int) -> Stats:
        with transaction(connection, "BEGIN"):  # one moment for all
            ((unprocessed,),) = connection.execute(self._queries["count_unprocessed"], {"since": since})
            counts = self._counts(connection, since, now)
        total, escalated, priority, resolved, in_time, overdue, *of_labels = counts
        due, each = resolved + overdue, iter(of_labels)
        departments = dict(zip(DEPARTMENTS, each, strict=False))
        needs_review = next(each)
        categories = dict(zip(CATEGORIES, each, strict=False))
        return Stats(
            total_inquiries=total,
            processed_inquiries=total - unprocessed,
            escalated_inquiries=escalated,
            escalation_rate=escalated / total if total else None,
            needs_review_inquiries=needs_review,
            category_distribution=categories,
            department_distribution=departments,
            sentiment_distribution=dict(zip(SENTIMENTS, each, strict=False)),
            urgency_distribution=dict(zip(URGENCIES, each, strict=False)),
            average_priority_score=priority / total if total else None,
            within_sla_rate=in_time / due if due else None,
        )

    def take_in(self, connection: sqlite3.Connection, now: int) -> bool:
        """Have some more hours counted from now on. Whether there were any."""
        ((until, ends),) = connection.execute(self._queries["next_hours"], {"rows": _SOME_ROWS})
        upto = hour_of(now - _BEFORE_NOW)
        if ends is not None:
            upto = min(upto, max(hour_of(ends), until + _HOUR))
        if upto <= until:
            return False
        connection.execute(self._queries["count_next_hours"], {"until": upto})
        connection.execute(self._queries["set_hours_counted"], {"until": upto})
        return True

    def count_changed(self, connection: sqlite3.Connection) -> Sequence[Counted]:
        """Some of the hours that changed."""
        with transaction(connection, "BEGIN"):
            changed = connection.execute(self._queries["changed_hours"], {"limit": SOME_HOURS}).fetchall()
            return [
                (hour, change, self._of_rows(connection, hour, hour + _HOUR - 1, _LAST)) for hour, change in changed
            ]

    def keep(self, connection: sqlite3.Connection, counted: Sequence[Counted]) -> None:
        """Those that have not changed since they were counted."""
        for hour, change, row in counted:
            taken = connection.execute(self._queries["take_changed_hour"], {"hour": hour, "change": change})
            if taken.rowcount:
                connection.execute(self._queries["forget_hour"], {"hour": hour})
                if row[_COUNTS]:
                    connection.execute(self._queries["insert_hour"], row)

    def _counts(self, connection: sqlite3.Connection, since: int, now: int) -> Sequence[Any]:
        ((until,),) = connection.execute(self._queries["hours_counted"])
        first = hour_of(since + _HOUR - 1)
        if first >= until:
            rows = [self._of_rows(connection, since, _LAST, now)]
        else:
            window = {"first": first, "until": until, "now": now}
            again = [hour for (hour,) in connection.execute(self._queries["hours_to_count_now"], window)]
            rest = [(since, first - 1), (until, _LAST), *((hour, hour + _HOUR - 1) for hour in again)]
            rows = [self._of_rows(connection, begins, ends, now) for begins, ends in rest]
            whole = connection.execute(self._queries["totals_of_hours"], {**window, "but": to_json(again)}).fetchone()
            rows.append((None,) * _COUNTS + whole)
        columns = list(zip(*rows, strict=True))[_COUNTS:]
        return [sum(count or 0 for count in column) for column in columns]

    def _of_rows(self, connection: sqlite3.Connection, since: int, through: int, due_before: int) -> Sequence[Any]:
        values = {"since": since, "through": through, "due_before": due_before}
        row: Sequence[Any] = connection.execute(self._queries["totals_of_rows"], values).fetchone()
        return row


def hour_of(moment: int) -> int:
    """The beginning of the hour, in microseconds since 1970 as the moment."""
    return moment // _HOUR * _HOUR
