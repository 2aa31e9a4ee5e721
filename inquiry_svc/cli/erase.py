"""`inquiry-svc erase`: inquiries that are to be kept no longer, since a person asks for it or they are old enough."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import click

from inquiry_svc.cli.configured import Configured, gets_configured
from inquiry_svc.cli.durations import DURATION, in_words
from inquiry_svc.cli.stored import open_store, open_store_to_read
from inquiry_svc.contracts import Filters, Position, Store
from inquiry_svc.inquiries import Inquiry
from inquiry_svc.intake.email_address import is_email_address, spelled_alike

_READ_TOGETHER: Final = 512
_ERASED_TOGETHER: Final = 100

Chosen: TypeAlias = Callable[[Inquiry], bool]


@click.command()
@click.option(
    "--inquiry", "ids", multiple=True, type=click.UUID, metavar="ID", help="This one; may be said several times."
)
@click.option("--sender", metavar="ADDRESS", help="All that this e-mail address sent, however it is spelled.")
@click.option("--older-than", type=DURATION, help="All that were received longer ago than that, such as 365d.")
@click.option("--yes", is_flag=True, help="Do not ask: for cron.")
@gets_configured
def erase(
    ids: tuple[UUID, ...], sender: str | None, older_than: timedelta | None, yes: bool, found: Configured
) -> None:
    """Erase inquiries from the chosen store, for ever, with all that belongs to them, while the service serves.

    Says how many there are, and asks. Ended half-way, it has erased at least what it says: run it again for the rest.

    inquiry-svc erase --older-than 365d --yes
    """
    if [bool(ids), sender is not None, older_than is not None].count(True) != 1:
        raise click.UsageError("say which inquiries: by --inquiry, or --sender, or --older-than, one of the three")
    if sender is not None and not is_email_address(sender.strip()):
        raise click.UsageError("--sender is no e-mail address; write it like ana@example.org")
    which = f"older than {in_words(older_than)}" if older_than else "from that sender" if sender else "by these ids"
    chosen = asyncio.run(_chosen(found, ids, sender, older_than))
    click.echo(f"{len(chosen):,} inquiries {which} are stored")
    if not chosen:
        return
    if not yes:
        click.confirm("Erase them for ever?", abort=True)
    asyncio.run(_erased(found, chosen))


async def _chosen(
    found: Configured, ids: Sequence[UUID], sender: str | None, older_than: timedelta | None
) -> Sequence[str]:
    """Their ids. What is stored while this looks may be missed."""
    async with open_store_to_read(found) as store:
        if older_than is not None:
            return await _walked(store, Filters(until=datetime.now(UTC) - older_than), lambda inquiry: True)
        if sender is not None:
            alike = spelled_alike(sender)
            return await _walked(store, Filters(), lambda inquiry: spelled_alike(inquiry.sender_email) == alike)
        stored = [await store.get(str(each)) for each in dict.fromkeys(ids)]
        return [outcome.inquiry.inquiry_id for outcome in stored if outcome is not None]


async def _walked(store: Store, window: Filters, is_chosen: Chosen) -> Sequence[str]:
    chosen: list[str] = []
    after: Position | None = None
    while page := await store.list(window, limit=_READ_TOGETHER, after=after):
        chosen += [outcome.inquiry.inquiry_id for outcome in page if is_chosen(outcome.inquiry)]
        after = Position(page[-1].inquiry.received_at, page[-1].inquiry.inquiry_id)
    return chosen


async def _erased(found: Configured, inquiry_ids: Sequence[str]) -> None:
    """A few at a time, then a pause as long as they took: a service that writes has at least every other turn."""
    count = 0
    hidden = not sys.stderr.isatty()
    try:
        async with open_store(found) as store:
            with click.progressbar(length=len(inquiry_ids), label="Erasing", hidden=hidden, file=sys.stderr) as bar:
                for start in range(0, len(inquiry_ids), _ERASED_TOGETHER):
                    batch = inquiry_ids[start : start + _ERASED_TOGETHER]
                    started = time.perf_counter()
                    count += len(await store.erase(batch))
                    bar.update(len(batch))
                    await asyncio.sleep(time.perf_counter() - started)
    finally:
        click.echo(f"{count:,} inquiries erased")
