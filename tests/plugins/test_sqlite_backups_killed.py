"""Killed at a random moment, a backup or a restore of the store `sqlite` leaves the old or the new, never a half."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Final

import pytest

from tests.plugins.sqlite_backups import (
    another_process_that_repeats,
    database,
    names,
    sample_outcomes,
    save,
    stored,
    verify,
)

KILLS: Final = [3, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
"""That hit it half-way: it is killed until as many did."""


@pytest.fixture
def dice() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_backup_leaves_the_file_before_or_the_new_one(tmp_path: Path, dice: random.Random, kills: int) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    stored(data, *sample_outcomes(1500))
    save(data, backup)
    killed = cut_short = 0
    while cut_short < kills:
        killed += 1
        known = {verify(backup).digest}
        stored(data, *sample_outcomes(1))
        known.add(save(data, tmp_path / "as it is now").digest)
        with another_process_that_repeats("save_backup", data, tmp_path / "other", backup):
            time.sleep(dice.uniform(0, 0.1))
        parts = [name for name in names(tmp_path) if name.endswith(".part")]
        cut_short += bool(parts)
        for part in parts:
            (tmp_path / part).unlink()
        assert verify(backup).digest in known
    print(f"{cut_short} of {killed} kills cut a backup short")


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_restore_leaves_the_database_before_or_the_new_one(
    tmp_path: Path, dice: random.Random, kills: int
) -> None:
    data, backups = tmp_path / "data", [tmp_path / "few", tmp_path / "many"]
    for backup, count in zip(backups, (400, 1500), strict=True):
        stored(tmp_path / f"{count} outcomes", *sample_outcomes(count))
        save(tmp_path / f"{count} outcomes", backup)
    known = {verify(backup).digest: verify(backup).rows["inquiries"] for backup in backups}
    killed = cut_short = 0
    while cut_short < kills:
        killed += 1
        with another_process_that_repeats("restore_backup", data, *backups):
            time.sleep(dice.uniform(0, 0.1))
        cut_short += database(data).with_name("inquiries.sqlite3-journal").exists()
        left = save(data, tmp_path / "left")
        assert known[left.digest] == len(stored(data))
        for kept in data.glob("inquiries.sqlite3.before-*"):
            assert verify(kept).digest in known
            kept.unlink()
    print(f"{cut_short} of {killed} kills cut a restore short")
