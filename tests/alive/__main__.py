"""`python -m tests.alive [FAULT...]` breaks a service in every way, or in those named, and shows who is told what."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence

import click
import pytest

from tests.alive.episodes import Episode, live_through_all
from tests.alive.faults import FAULTS
from tests.alive.timeline import timeline
from tests.servers.prometheus import program


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([fault.name for fault in FAULTS]))
def main(names: Sequence[str]) -> None:
    """Break a service, watch the alert arrive, mend it, and watch the all-clear; everything twenty times as fast."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd warns of itself
    try:
        program("prometheus")
        program("alertmanager")
    except pytest.skip.Exception as error:
        raise click.ClickException(str(error)) from None
    ended = asyncio.run(live_through_all([fault for fault in FAULTS if not names or fault.name in names], click.echo))
    click.echo(timeline([each for each in ended.values() if isinstance(each, Episode)]))
    failed = {name: each for name, each in ended.items() if not isinstance(each, Episode)}
    for name, failure in failed.items():
        click.echo(f"{name}: {failure!r}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
