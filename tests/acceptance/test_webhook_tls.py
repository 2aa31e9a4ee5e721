"""A receiver behind TLS is told by a real service, where that was told to trust who signed the certificate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from tests.acceptance.serving import serving
from tests.acceptance.test_kill import SUBMIT
from tests.servers.webhook import certificate_of_localhost, told_of, webhook_receiver


async def test_a_receiver_is_told_over_tls(tmp_path: Path) -> None:
    tls, certificate = await asyncio.to_thread(certificate_of_localhost, tmp_path)
    async with webhook_receiver(tls) as receiver:
        environ = {**told_of(receiver, "triaged"), "SSL_CERT_FILE": str(certificate)}
        async with serving(tmp_path, environ=environ) as service, aiohttp.ClientSession(service.url) as session:
            body = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
            async with session.post(SUBMIT, json=body) as answer:
                inquiry_id = (await answer.json())["inquiry_id"]
            async with asyncio.timeout(20):
                while not receiver.accepted:  # noqa: ASYNC110 (a server tells nobody)
                    await asyncio.sleep(0.01)
    assert [each.inquiry_id for each in receiver.accepted] == [inquiry_id]
