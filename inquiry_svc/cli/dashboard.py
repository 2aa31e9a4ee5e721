"""`inquiry-svc dashboard`: the panels of the Grafana dashboards on a page of its own, live, until Ctrl-C."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from inquiry_svc.cli.configured import config_option, configured
from inquiry_svc.errors import ConfigurationError


@click.command()
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The service to look at.")
@click.option("--port", default=8001, show_default=True, help="Where the page is, on 127.0.0.1; 0 for any free port.")
@config_option
def dashboard(url: str, port: int, file: Path | None) -> None:
    """Show a running service on a page in the browser, without Grafana or Prometheus. It remembers ten minutes.

    Where the service wants an API key for its metrics: [client] key, INQUIRY_CLIENT__KEY or INQUIRY_CLIENT__KEY_FILE.
    """
    try:
        import promql_parser  # noqa: F401 (the page's queries are read with it)
    except ImportError as error:
        raise ConfigurationError(
            f"the dashboard needs {error.name}; install it with pip install 'inquiry-svc[alerts]'"
        ) from error
    asyncio.run(_serve(url.rstrip("/"), port, configured(file).settings.client.key))


async def _serve(url: str, port: int, key: str) -> None:
    from aiohttp import web

    from inquiry_svc.live.panels import load_dashboards
    from inquiry_svc.live.site import open_site
    from inquiry_svc.web.port import bound_socket
    from inquiry_svc.web.server import stop_signals

    with stop_signals() as stop, bound_socket("127.0.0.1", port) as bound:
        async with open_site(url, load_dashboards(), key=key) as application:
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            try:
                await web.SockSite(runner, bound).start()
                click.echo(f"http://127.0.0.1:{bound.getsockname()[1]} shows {url}")
                await stop.wait()
            finally:
                await runner.cleanup()
