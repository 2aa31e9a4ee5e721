"""The command group `rules`: check a rules file before the service starts with it, print the default one."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.inquiries import Category, Sentiment, Urgency
from inquiry_svc_plugins.routers.rules.check import find_warnings, look_ahead
from inquiry_svc_plugins.routers.rules.loading import default_rules_yaml, load_rules
from inquiry_svc_plugins.routers.rules.priority import Labels, every_combination
from inquiry_svc_plugins.routers.rules.schema import Rules


class _Invalid(click.ClickException):
    exit_code = 2


@click.group()
def rules() -> None:
    """The routing rules: who answers, how soon and why."""


@rules.command()
@click.argument("file", default="")
@click.option("--data", metavar="FILE", help="Labelled inquiries (JSON lines, .gz too) to try the rules on.")
def check(file: str, data: str | None) -> None:
    """Check FILE (or the packaged default): schema, unreachable rules, conflicts, share that would escalate.

    Exits with 0 when the file can be used (there may be warnings) and 2 when it can't.
    """
    try:
        checked = load_rules(file)
        rows = list(_labelled_rows(data)) if data else None
    except ConfigurationError as error:
        raise _Invalid(str(error)) from None
    members = sum(len(desk.members) for desk in checked.consultants.by_department().values())
    click.echo(f"{file or 'packaged default'}: valid, {len(checked.rules)} rules, {members} consultants")
    warnings = find_warnings(checked)
    for warning in warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"warnings: {len(warnings)}")
    _show_outlook("all label combinations", checked, list(every_combination()))
    if data and rows is not None:
        labelled = [row for row in rows if row]
        _show_outlook(f"{data} ({len(rows) - len(labelled)} rows lack a label)", checked, labelled)


@rules.command()
def default() -> None:
    """Print the packaged default rules, to start a file of your own from."""
    click.echo(default_rules_yaml(), nl=False)


class _Row(msgspec.Struct):
    """The labels of a row; its other fields don't matter here."""

    category: Category | None = None
    sentiment: Sentiment | None = None
    urgency: Urgency | None = None


def _labelled_rows(file: str) -> Iterator[Labels | None]:
    """The labels of each row; None for a row without all three."""
    decoder = msgspec.json.Decoder(_Row)
    line_number = 0
    try:
        with gzip.open(file) if Path(file).suffix == ".gz" else Path(file).open("rb") as stream:
            for line in stream:
                line_number += 1
                if line.strip():
                    row = decoder.decode(line)
                    if row.category and row.sentiment and row.urgency:
                        yield Labels(row.category, row.sentiment, row.urgency)
                    else:
                        yield None
    except (OSError, EOFError, ValueError) as error:
        place = f"data file {file!r}" + (f", line {line_number}" if line_number else "")
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigurationError(f"{place}: {reason}: give JSON lines with category, sentiment, urgency") from None


def _show_outlook(title: str, checked: Rules, inquiries: list[Labels]) -> None:
    if not inquiries:
        click.echo(f"{title}: nothing to try the rules on")
        return
    outlook = look_ahead(checked, inquiries)
    by_priority, share = outlook.escalated - outlook.escalated_by_rule, outlook.escalated / outlook.total
    click.echo(
        f"{title}: {outlook.escalated} of {outlook.total} would escalate ({share:.1%}), "
        f"{outlook.escalated_by_rule} by a rule, "
        f"{by_priority} only by priority >= {checked.escalation_threshold:g}; "
        f"average priority {outlook.average_priority:.0f}"
    )
    for department, count in outlook.departments.items():
        click.echo(f"  {department:<20}{count:>7}  {count / outlook.total:6.1%}")
