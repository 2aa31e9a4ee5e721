"""The stories, each with a name to call it by and how often its long form repeats it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.rollout.account import Account
from tests.rollout.disaster import power_cut, restore_embedded, restore_postgres
from tests.rollout.migrating import migration
from tests.rollout.rolling import instances, workers


@dataclass(frozen=True, slots=True)
class Story:
    tell: Callable[[Path, Account, int], Coroutine[Any, Any, None]]
    """Raises `AssertionError` where it does not end well."""
    long: int
    """Rounds of the long form; the short one has one."""


STORIES: Final[Mapping[str, Story]] = {
    "workers": Story(workers, long=20),
    "instances": Story(instances, long=10),
    "migration": Story(migration, long=10),
    "restore-embedded": Story(restore_embedded, long=20),
    "restore-postgres": Story(restore_postgres, long=20),
    "power-cut": Story(power_cut, long=20),
}
