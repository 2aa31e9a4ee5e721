"""Offers the exporter `cloudwatch`: metrics for Amazon CloudWatch, through the log or through its API.

Through the log, each line is a document in the embedded metric format, for whatever carries the log to CloudWatch Logs:
it needs no credentials and no library, but a log of JSON lines. Through the API they are put there directly.

CloudWatch charges for each metric and combination of dimensions: name those that you want in `only`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from inquiry_svc.contracts import Exporter, Host, Provider, PushingExporter
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.settings import Seconds


@dataclass(frozen=True, slots=True)
class CloudwatchSettings:
    through: Literal["log", "api"] = "log"
    """api: finds region and credentials as every AWS program does, and needs the right `cloudwatch:PutMetricData`."""
    namespace: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!AWS/)[A-Za-z0-9_.\-/#:]+$")] = (
        "InquirySvc"
    )
    only: tuple[str, ...] = ()
    """Names of metrics; empty sends all."""
    period_s: Seconds = 60.0
    region: str = ""
    """Empty: what the environment says."""
    endpoint_url: str = ""
    """Empty: Amazon's own."""
    timeout_s: Seconds = 5.0


@asynccontextmanager
async def open_cloudwatch(settings: CloudwatchSettings, host: Host) -> AsyncIterator[PushingExporter]:
    if settings.through == "log":
        from inquiry_svc_plugins.exporters.cloudwatch.log import LogExporter

        yield LogExporter(settings)
    else:
        from inquiry_svc_plugins.exporters.cloudwatch.api import opened

        async with opened(settings) as exporter:
            yield exporter


@hookimpl
def register_exporters() -> Iterable[Provider[Exporter]]:
    return [Provider("cloudwatch", open_cloudwatch, CloudwatchSettings, extra="cloudwatch")]
