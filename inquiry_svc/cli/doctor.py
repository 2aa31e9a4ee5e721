"""`inquiry-svc doctor`: is the service well, and would somebody be told if it were not? One line for each finding."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.cli.configured import config_option, configured, data_dir_option
from inquiry_svc.plugins import asked

if TYPE_CHECKING:
    from inquiry_svc.doctor import Finding, Report

_COLOURS: Final = {"ok": "green", "look": "yellow", "wrong": "red", "left out": "bright_black"}


@click.command()
@click.option("--url", help="The service; where [server] says that it listens, unless set.")
@click.option("--prometheus", help="Prometheus; http://127.0.0.1:9090 if it is there, unless set.")
@click.option("--alertmanager", help="Alertmanager; http://127.0.0.1:9093 if it is there, unless set.")
@click.option("--folder", help="Holds the folders monitoring and alerting; this one, unless set.")
@click.option("--daily", is_flag=True, help="Look at the last day too: errors, budgets, alerts, key figures, backup.")
@click.option("--weekly", is_flag=True, help="At the last week too: noise of alerts, trends, capacity.")
@click.option("--monthly", is_flag=True, help="At the last month too: what nobody uses, growth, restorable backup.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@data_dir_option
@config_option
def doctor(
    *,
    as_json: bool,
    daily: bool,
    weekly: bool,
    monthly: bool,
    data_dir: str | None,
    file: Path | None,
    **addresses: str | None,
) -> int:
    """Say in one line each what is wrong with the service and with what watches it, and the cure.

    Looks at the service, its store and its disk, at Prometheus, Alertmanager, and the files of the repository; what is
    not there is left out. Changes nothing. Exit code 1 when something is wrong.
    """
    from inquiry_svc.doctor import Wanted, examine

    options: dict[tuple[str, ...], str | None] = {("doctor", name): address for name, address in addresses.items()}
    found = configured(file, {**options, ("server", "data_dir"): data_dir})
    metrics = [*OWN_METRICS, *(each for _, some in asked(found.manager, "register_metrics") for each in some)]
    named = frozenset(each.key for each in found.effective if each.origin != "default")
    wanted = Wanted(found.settings, found.offers, metrics, named)
    routines = [name for name, chosen in (("daily", daily), ("weekly", weekly), ("monthly", monthly)) if chosen]
    report = asyncio.run(examine(wanted, routines))
    if as_json:
        click.echo(_as_json(report))
    else:
        _show(report)
    return 1 if report.count("wrong") else 0


def _as_json(report: Report) -> str:
    findings = [
        {"check": name, "state": each.state, "says": each.says, "cure": each.cure} for name, each in report.findings
    ]
    return json.dumps({"wrong": report.count("wrong"), "findings": findings, "by_hand": report.by_hand})


def _show(report: Report) -> None:
    width = max(len(name) for name, _ in report.findings)
    reasons: dict[Finding, list[str]] = {}
    for name, finding in report.findings:
        if finding.state == "left out":
            reasons.setdefault(finding, []).append(name)
        else:
            click.echo(_line(finding, name.ljust(width)))
    for finding, names in reasons.items():
        click.echo(_line(finding, f"{', '.join(names)}:"))
    for step in report.by_hand:
        click.echo(f"by hand   {step}")
    click.echo(", ".join(f"{report.count(state)} {state}" for state in _COLOURS))


def _line(finding: Finding, name: str) -> str:
    state = click.style(finding.state.ljust(8), fg=_COLOURS[finding.state])
    cure = f" -> {' '.join(finding.cure.split())}" if finding.cure else ""
    return f"{state}  {name}  {' '.join(finding.says.split())}{cure}"
