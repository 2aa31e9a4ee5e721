"""The benchmark's inquiries fit the tables as they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from benchmarks.growth.points import fill_sqlite
from inquiry_svc.contracts import Filters, Host
from inquiry_svc.metrics import Metrics
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite


async def test_a_store_is_filled_with_as_many_inquiries_as_are_wanted(tmp_path: Path) -> None:
    fill_sqlite(tmp_path, 100, datetime.now(UTC))
    async with open_sqlite(SqliteSettings(), Host(tmp_path, Metrics())) as store:
        assert len(await store.list(Filters(), limit=200, after=None)) == 100
        assert sum((await store.open_inquiries()).values()) == 10, "the others are closed"
