"""`inquiry-svc model list`: every model of the registry, what each is for, and what was changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from inquiry_svc.cli.configured import Configured, gets_configured
from inquiry_svc.models.named import BUILT_IN
from inquiry_svc.models.registry import Aliases, Change, Reference

_SHOWN = 10


@click.command("list")
@click.option("--history", is_flag=True, help=f"Every change with its figures, not just the last {_SHOWN}.")
@gets_configured
def listing(history: bool, found: Configured) -> None:
    """List the models, and who changed what, when and why."""
    aliases = found.registry.aliases()
    for line in _table(aliases, found.registry.models()):
        click.echo(line)
    for change in aliases.history if history else aliases.history[-_SHOWN:]:
        click.echo(told(change))
        if history and change.figures:
            click.echo("    " + ", ".join(f"{name} {value:g}" for name, value in change.figures.items()))


def _table(aliases: Aliases, models: Sequence[Reference]) -> Iterator[str]:
    rows = [(BUILT_IN, "champion" if aliases.champion is None else "")]
    rows += [(f"{model.provider}/{model.digest}", ", ".join(aliases.held_by(model))) for model in models]
    width = max(len(name) for name, _ in rows)
    for name, held in rows:
        yield f"{name:{width}}  {held or '-'}"


def told(change: Change) -> str:
    """One change as one line."""
    nobody = BUILT_IN if change.alias == "champion" else "none"
    return (
        f"{change.at:%Y-%m-%d %H:%M:%SZ}  {change.who}: {change.what} {change.alias}, "
        f"{change.before or nobody} -> {change.after or nobody}" + (f" ({change.why})" if change.why else "")
    )
