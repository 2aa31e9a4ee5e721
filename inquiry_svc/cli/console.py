"""`inquiry-svc console`: the support team's page, which asks a running service, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from inquiry_svc.cli.configured import config_option, configured
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.settings import ConsoleSettings


@click.command()
@click.option("--url", help="The service to ask; http://127.0.0.1:8000 unless set.")
@click.option("--host", help="The address of the page; 127.0.0.1 unless set.")
@click.option("--port", type=int, help="Its port; 8501 unless set.")
@config_option
def console(url: str | None, host: str | None, port: int | None, file: Path | None) -> None:
    """Show the support team what comes in, and let them review and submit, on a page in the browser.

    Whoever reaches the page acts with its API key (INQUIRY_CLIENT__KEY): it asks nobody who they are.
    """
    try:
        import streamlit  # noqa: F401 (what the page is made with)
    except ImportError as error:
        raise ConfigurationError(
            f"the console needs {error.name}; install it with pip install 'inquiry-svc[streamlit]'"
        ) from error
    options: dict[tuple[str, ...], object] = {
        ("console", "url"): url,
        ("console", "host"): host,
        ("console", "port"): port,
    }
    settings = configured(file, options).settings
    _serve(settings.console, settings.client.key)


def _serve(settings: ConsoleSettings, key: str) -> None:
    import altair  # noqa: F401 (it takes a second: loaded now, and not when the first visitor waits)
    from streamlit.web import bootstrap

    from inquiry_svc.addresses import url_here
    from inquiry_svc.console import app
    from inquiry_svc.web.port import bound_socket

    asked = settings.url.rstrip("/")
    if not asked.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"console.url {settings.url!r} is no address of a service; give one like http://127.0.0.1:8000"
        )
    with bound_socket(settings.host, settings.port):
        pass  # Streamlit would take the next one
    click.echo(f"{url_here(settings.host, settings.port)} shows {asked}")
    bootstrap.load_config_options(
        {
            "server_address": settings.host,
            "server_port": settings.port,
            "server_headless": True,
            "server_fileWatcherType": "none",
            "browser_gatherUsageStats": False,
            "runner_magicEnabled": False,
            "client_showErrorDetails": "none",
            "client_toolbarMode": "viewer",
            "theme_primaryColor": "#0068c9",  # the charts' first
            "logger_hideWelcomeMessage": True,
        }
    )
    # The arguments of the script, not of the process, which others on the machine can read.
    arguments = [asked, key, f"{settings.timeout_s}"]
    bootstrap.run(app.__file__, False, arguments, {})
