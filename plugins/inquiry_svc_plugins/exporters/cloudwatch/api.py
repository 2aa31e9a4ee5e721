"""Puts the metrics into CloudWatch through its API, in as few calls as its limits allow.

A call that fails is a push that failed: what earlier calls of the push had put is put again with the next one. That,
like a call whose answer was lost, counts twice; CloudWatch knows no way to tell.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc.metrics import Snapshot
from inquiry_svc_plugins.exporters.cloudwatch import CloudwatchSettings
from inquiry_svc_plugins.exporters.cloudwatch.data import calls
from inquiry_svc_plugins.exporters.cloudwatch.limits import chosen


class ApiExporter:
    def __init__(self, settings: CloudwatchSettings, client: Any) -> None:
        self.period_s = settings.period_s
        self._settings = settings
        self._client = client

    async def push(self, snapshot: Snapshot, sent: Snapshot) -> None:
        for data in calls(chosen(snapshot, self._settings.only), sent, datetime.now(UTC)):
            try:
                await self._client.put_metric_data(Namespace=self._settings.namespace, MetricData=data)
            except ClientError as error:
                raise Unavailable(f"CloudWatch refused: {error.response['Error'].get('Code')}") from error
            except BotoCoreError as error:
                raise Unavailable(f"CloudWatch can't be asked: {type(error).__name__}") from error


@asynccontextmanager
async def opened(settings: CloudwatchSettings) -> AsyncIterator[ApiExporter]:
    """Raises `ConfigurationError` where no region is known."""
    for library in ("aiobotocore", "botocore"):
        # At debug they write down each request with its headers, one of which is the session's token.
        logging.getLogger(library).setLevel(logging.INFO)
    config = AioConfig(
        connect_timeout=settings.timeout_s,
        read_timeout=settings.timeout_s,
        retries={"max_attempts": 2, "mode": "standard"},
    )
    creating = get_session().create_client(
        "cloudwatch",
        region_name=settings.region or None,
        endpoint_url=settings.endpoint_url or None,
        config=config,
    )
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(creating)
        except (NoRegionError, ValueError) as error:
            raise ConfigurationError(
                f'exporter "cloudwatch": {error}; set region (and endpoint_url, if any) in [exporters.cloudwatch]'
            ) from error
        yield ApiExporter(settings, client)
