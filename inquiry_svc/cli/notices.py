"""`inquiry-svc notices`: what notifiers have not told yet and why; have them tell it again, or forget it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import click

from inquiry_svc.cli.configured import Configured, gets_configured
from inquiry_svc.cli.stored import open_store, open_store_to_read
from inquiry_svc.contracts import Store
from inquiry_svc.notices import NoticeFilters, Outbox, Undelivered

_AT_ONCE: Final = 1000
"""So that no service that writes beside this waits for it."""


@click.group()
def notices() -> None:
    """Look at what notifiers have not told yet, have it told again, or drop it. Services may go on meanwhile.

    What can't be delivered is tried again for days, then set aside. A notice is known by its id, which a receiver is
    told as well.
    """


@notices.command("list")
@click.option("--notifier", metavar="NAME", help="Of this one alone.")
@click.option("--set-aside", is_flag=True, help="Only what is not tried any more.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many, oldest first.")
@gets_configured
def list_notices(notifier: str | None, set_aside: bool, limit: int, found: Configured) -> None:
    """Show what waits and what is set aside, with the reason of the last failure."""
    filters = NoticeFilters(notifier, set_aside=True if set_aside else None)
    chosen = [notifier] if notifier else found.settings.notifiers.providers
    undelivered, outboxes = asyncio.run(_read(found, filters, limit, chosen))
    now = datetime.now(UTC)
    for name, outbox in outboxes.items():
        click.echo(f"{name}: {_in_numbers(outbox, now)}")
    for each in undelivered:
        click.echo(_line(each, now))
    if not outboxes and not undelivered:
        click.echo("no notifier is chosen, and nothing waits")


@notices.command()
@click.argument("notice_ids", nargs=-1, metavar="[NOTICE_ID]...")
@click.option("--all", "everything", is_flag=True, help="All that is set aside or waits for another attempt.")
@click.option("--notifier", metavar="NAME", help="Of this one alone.")
@gets_configured
def retry(notice_ids: tuple[str, ...], everything: bool, notifier: str | None, found: Configured) -> None:
    """Have these told now, or --all. What was set aside is tried for days again."""
    filters = NoticeFilters(notifier, notice_ids=_named(notice_ids, everything))
    now = datetime.now(UTC)
    count = asyncio.run(_changed(found, lambda store: store.retry_notices(filters, now=now, limit=_AT_ONCE)))
    click.echo(f"{_counted(count)} due now")


@notices.command()
@click.argument("notice_ids", nargs=-1, metavar="[NOTICE_ID]...")
@click.option("--all", "everything", is_flag=True, help="All that is set aside.")
@click.option("--waiting", is_flag=True, help="With --all: what waits too, such as of a notifier that is gone.")
@click.option("--notifier", metavar="NAME", help="Of this one alone.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@gets_configured
def drop(
    notice_ids: tuple[str, ...], everything: bool, waiting: bool, notifier: str | None, yes: bool, found: Configured
) -> None:
    """Forget these, or --all that is set aside: nobody is told of them."""
    filters = NoticeFilters(
        notifier, notice_ids=_named(notice_ids, everything), set_aside=True if everything and not waiting else None
    )
    if not yes:
        click.confirm("Nobody will be told of these. Drop them?", abort=True)
    count = asyncio.run(_changed(found, lambda store: store.drop_notices(filters, limit=_AT_ONCE)))
    click.echo(f"{_counted(count)} dropped")


def _named(notice_ids: tuple[str, ...], everything: bool) -> Sequence[str] | None:
    """None for all."""
    if bool(notice_ids) == everything:
        raise click.UsageError("name notices by their ids, as inquiry-svc notices list shows them, or say --all")
    return None if everything else notice_ids


async def _read(
    found: Configured, filters: NoticeFilters, limit: int, notifiers: Sequence[str]
) -> tuple[Sequence[Undelivered], dict[str, Outbox]]:
    async with open_store_to_read(found) as store:
        return await store.notices(filters, limit=limit), {name: await store.outbox(name) for name in notifiers}


async def _changed(found: Configured, change: Callable[[Store], Awaitable[int]]) -> int:
    """How many `change` changed, called until it changes none."""
    count = 0
    async with open_store(found) as store:
        while some := await change(store):
            count += some
    return count


def _counted(count: int) -> str:
    return f"{count:,} {'notice is' if count == 1 else 'notices are'}"


def _in_numbers(outbox: Outbox, now: datetime) -> str:
    since = outbox.oldest_waiting_since
    oldest = "" if since is None else f", the oldest for {_length(now, since)}"
    return f"{outbox.waiting:,} wait{oldest}; {outbox.set_aside:,} set aside"


def _line(undelivered: Undelivered, now: datetime) -> str:
    notice = undelivered.notice
    if undelivered.set_aside_at is not None:
        state = "set aside"
    elif undelivered.claimed_until is not None and undelivered.claimed_until > now:
        state = "being told"
    else:
        state = "waiting" if undelivered.due_at <= now else f"due in {_length(undelivered.due_at, now)}"
    attempts = f"{undelivered.attempts} failed" if undelivered.attempts else ""
    columns = (
        notice.notice_id,
        notice.notifier,
        f"{notice.kind:12}",
        f"inquiry {notice.inquiry_id}",
        f"{notice.created_at:%Y-%m-%d %H:%M:%SZ}",
        f"{state:10}",
        ": ".join(each for each in (attempts, undelivered.reason) if each),
    )
    return "  ".join(columns).rstrip()


def _length(later: datetime, earlier: datetime) -> str:
    minutes, seconds = divmod(max(0, int((later - earlier).total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"
