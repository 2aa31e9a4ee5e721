"""Checks of the backups: is there a new one, and could it be restored?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from inquiry_svc.contracts import Host
from inquiry_svc.doctor.findings import Finding, left_out, ok, wrong
from inquiry_svc.doctor.surroundings import Surroundings
from inquiry_svc.metrics import Metrics

_HOUR_S = 3600.0
_WHERE = left_out("nobody said where the backups are", 'set [doctor] backups, such as "/backup/inquiries-*.sqlite3"')


async def newest_backup(around: Surroundings) -> Iterable[Finding]:
    pattern, limit_s = around.settings.doctor.backups, around.settings.doctor.max_backup_age_s
    newest = _newest(pattern)
    if newest is None:
        return [_none(pattern)]
    file, written_at = newest
    age_s = time.time() - written_at
    said = f"the newest backup, {file}, is {age_s / _HOUR_S:.1f} h old"
    return [wrong(said, "look why none was made since: docs/backups.md")] if age_s > limit_s else [ok(said)]


async def restorable_backup(around: Surroundings) -> Iterable[Finding]:
    """Reads all of the newest one; restoring it elsewhere proves more."""
    pattern, name = around.settings.doctor.backups, around.settings.store.provider
    backups = around.offers.provider("store", name).upkeep.backups
    if backups is None:
        return [left_out(f"a backup of store {name!r} can't be read here", "do the drill of docs/backups.md")]
    newest = _newest(pattern)
    if newest is None:
        return [_none(pattern)]
    settings, host = around.settings.of_providers["store", name], Host(around.data_dir, Metrics())
    contents = await asyncio.to_thread(backups.verify, settings, host, newest[0])
    rows = ", ".join(f"{count} {table}" for table, count in contents.rows.items())
    return [ok(f"{newest[0]} is whole: {rows}")]


def _none(pattern: str) -> Finding:
    return wrong(f"there is no backup {pattern}", "make one: see docs/backups.md") if pattern else _WHERE


def _newest(pattern: str) -> tuple[Path, float] | None:
    """It, and when it was written."""
    found = [Path(name) for name in glob(pattern)]  # noqa: PTH207 (Path.glob takes no absolute pattern)
    written = [(file, file.stat().st_mtime) for file in found]
    return max(written, key=lambda each: each[1], default=None)
