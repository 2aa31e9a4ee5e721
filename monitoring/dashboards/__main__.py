"""Writes each dashboard to monitoring/grafana/dashboards. A test fails where a file is not what would be written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from monitoring.dashboards import DASHBOARDS
from monitoring.dashboards.grafana import as_json

FOLDER: Final = Path(__file__).parents[1] / "grafana/dashboards"


@click.command()
def main() -> None:
    """Write the dashboards for Grafana."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, content in wanted_files().items():
        if not file.exists() or file.read_text() != content:
            file.write_text(content)
            click.echo(f"{file.name}: written")


def wanted_files() -> Mapping[Path, str]:
    """Each file with its content."""
    return {FOLDER / f"{dashboard.name}.json": as_json(dashboard) for dashboard in DASHBOARDS}


if __name__ == "__main__":
    main()
