"""A check of the API keys: can their file be read, and does one expire soon?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from inquiry_svc.api_keys import read_keys
from inquiry_svc.doctor.findings import Finding, look, ok, wrong
from inquiry_svc.doctor.surroundings import Surroundings

MIN_VALIDITY = timedelta(days=14)


async def api_keys(around: Surroundings) -> Iterable[Finding]:
    """Says nothing where no file of keys is set."""
    if not around.settings.auth.keys_file:
        return []
    file = Path(around.settings.auth.keys_file)
    found = (await asyncio.to_thread(read_keys, file)).by_id.values()
    if not found:
        return [wrong(f"{file} holds no API key, so that nobody may call", "make one: inquiry-svc keys create")]
    soon = (datetime.now(UTC) + MIN_VALIDITY).timestamp()
    old = [key for key in found if key.expires_at <= soon]
    told = [
        look(
            f"the API key {key.key_id} of {key.name} is valid until {key.last_day}",
            f"give out another, inquiry-svc keys create {key.name}, then inquiry-svc keys revoke {key.key_id}",
        )
        for key in old
    ]
    return told or [ok(f"API keys: {len(found)}, none expires within {MIN_VALIDITY.days} days")]
