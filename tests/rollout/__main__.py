"""`python -m tests.rollout [STORY...]` tells every story, or those named, and what happened in each second."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pytest

from tests.rollout.account import Account
from tests.rollout.stories import STORIES


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*STORIES]))
@click.option("--rounds", type=click.IntRange(min=1), default=1, help="How often each repeats what it is about.")
def main(names: Sequence[str], rounds: int) -> None:
    """Renew, migrate, restore and cut off a service under load, and show what its customers met with."""
    failed = False
    for name in names or STORIES:
        click.echo(f"\n{name}")
        account = Account(click.echo)
        try:
            with TemporaryDirectory(prefix="inquiry-svc-rollout-") as folder:
                asyncio.run(STORIES[name].tell(Path(folder), account, rounds))
        except pytest.skip.Exception as error:
            click.echo(str(error))
            continue
        except Exception as error:
            click.echo(f"it did not end well: {error!r}")
            failed = True
        click.echo(f"\n{account.table()}\n\n{account.summary()}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
