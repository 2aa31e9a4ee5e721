"""`inquiry-svc plugins`: every provider found, and which of them are chosen."""

from __future__ import annotations

from pathlib import Path

import click

from inquiry_svc.cli.configured import config_option, configured


@click.command()
@config_option
def plugins(file: Path | None) -> None:
    """List every provider: kind, name, where it comes from, chosen or not."""
    found = configured(file)
    chosen = set(found.settings.chosen())
    rows = [
        (
            offer.kind,
            offer.provider.name,
            offer.plugin,
            offer.provider.open.__module__,
            "chosen" if (offer.kind, offer.provider.name) in chosen else "-",
        )
        for offer in found.offers.all()
    ]
    header = ("KIND", "NAME", "PLUGIN", "FROM", "CHOSEN")
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
