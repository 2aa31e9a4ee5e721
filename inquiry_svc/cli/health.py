"""`inquiry-svc health`: may the service be sent inquiries now, or does it live at all? For containers without curl."""

from __future__ import annotations

import json
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import click

from inquiry_svc.addresses import url_here
from inquiry_svc.cli.configured import config_option, configured

_TIMEOUT_S: Final = 3.0
"""Above the second that each component has for its answer."""


@click.command()
@click.option("--url", help="The service to ask; unless set, the one on this machine that the configuration tells of.")
@click.option(
    "--live", is_flag=True, help="Whether its process answers, whatever it lacks: for what restarts it if not."
)
@config_option
def health(url: str | None, live: bool, file: Path | None) -> None:
    """Ask a running service whether it is ready. Exit code 0 if so; else 1, and a line that says why."""
    if url is None:
        server = configured(file).settings.server
        url = url_here(server.host, server.port)
    asked = f"{url.rstrip('/')}/api/v1/health/{'live' if live else 'ready'}"
    if not asked.startswith(("http://", "https://")):
        raise click.UsageError(f"--url {url!r} is no address of a service; give one like http://127.0.0.1:8000")
    try:
        with build_opener(ProxyHandler({})).open(asked, timeout=_TIMEOUT_S) as answer:  # past any proxy
            click.echo(json.load(answer)["status"])
    except HTTPError as refusal:
        with refusal:
            said = refusal.read(200).decode(errors="replace")
        raise click.ClickException(f"{asked} answered {refusal.code}: {said}") from None
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        raise click.ClickException(f"{asked} gave no such answer: {error}; does the service run there?") from None
