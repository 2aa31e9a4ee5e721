"""`inquiry-svc metrics`: the reference of every metric, the plugins' too, as Markdown."""

from __future__ import annotations

import click

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.metric_reference import reference
from inquiry_svc.plugins import asked, build_manager


@click.command()
def metrics() -> None:
    """Describe every metric: what it counts, its labels, bounds and unit."""
    of_plugins = dict(asked(build_manager(), "register_metrics"))
    under = {f"Plugin `{name}`": of_plugins[name] for name in sorted(of_plugins)}
    click.echo(reference({"The service": OWN_METRICS, **under}), nl=False)
