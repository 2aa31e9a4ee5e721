"""Writes the dashboards for Grafana and for `inquiry-svc dashboard`; a test fails where a file is another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from monitoring.dashboards import DASHBOARDS
from monitoring.dashboards.grafana import as_json
from monitoring.dashboards.live import as_live_json

FOLDER: Final = Path(__file__).parents[1] / "grafana/dashboards"
LIVE: Final = Path(__file__).parents[2] / "inquiry_svc/live/panels.json"


@click.command()
def main() -> None:
    """Write the dashboards."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, content in wanted_files().items():
        if not file.exists() or file.read_text() != content:
            file.write_text(content)
            click.echo(f"{file.name}: written")


def wanted_files() -> Mapping[Path, str]:
    """Each file with its content."""
    of_grafana = {FOLDER / f"{dashboard.name}.json": as_json(dashboard) for dashboard in DASHBOARDS}
    return {**of_grafana, LIVE: as_live_json(DASHBOARDS)}


if __name__ == "__main__":
    main()
