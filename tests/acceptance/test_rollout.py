"""Rolled out, migrated, restored and cut off under load: nobody notices, or nothing that was acknowledged is lost.

Real services with their workers, PostgreSQL, Redis and nginx: see `tests/rollout`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.rollout.account import Account
from tests.rollout.stories import STORIES

FORMS: Final = [
    *(pytest.param(name, 1, id=name) for name in STORIES),
    *(
        pytest.param(
            name, story.long, id=f"{name}, long", marks=[pytest.mark.soak, pytest.mark.timeout(90 + 60 * story.long)]
        )
        for name, story in STORIES.items()
    ),
]


@pytest.mark.alone
@pytest.mark.parametrize(("name", "rounds"), FORMS)
async def test_the_story_ends_well(name: str, rounds: int, tmp_path: Path) -> None:
    account = Account()
    try:
        await STORIES[name].tell(tmp_path, account, rounds)
    finally:
        print(f"{account.table()}\n\n{account.summary()}")
