"""Bodies and heads made to fill the memory fill no more of it than a few of aiohttp's pieces, of 256 KiB each."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from inquiry_svc.testing.running import Running, running_service

MOST_BYTES: Final = 4 * 2**20
"""Here, of client and service together; what is sent or meant is 3 to 50 MB but for heads, of which 16 KB would do."""
SUBMIT: Final = b"POST /api/v1/inquiries/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BULK: Final = b"POST /api/v1/inquiries/bulk HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
MEANT_BYTES: Final = 50_000_000
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"


def coded(coding: bytes, body: bytes) -> bytes:
    return b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s" % (coding, len(body), body)


def without_a_head(body: bytes) -> bytes:
    """Deflate as some send it."""
    packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


def brotli() -> bytes:
    """224 bytes that mean 50 MB to whoever reads them."""
    library = pytest.importorskip("brotli")
    packed: bytes = library.compress(b" " * MEANT_BYTES)
    return packed


FLOODS: Final[Mapping[str, Callable[[], bytes]]] = {
    "gzip": lambda: coded(b"gzip", gzip.compress(b" " * MEANT_BYTES)),
    "deflate": lambda: coded(b"deflate", zlib.compress(b" " * MEANT_BYTES, 9)),
    "deflate without a head": lambda: coded(b"deflate", without_a_head(b" " * MEANT_BYTES)),
    "gzip in gzip": lambda: coded(b"gzip", gzip.compress(gzip.compress(b" " * MEANT_BYTES))),
    "brotli": lambda: coded(b"br", brotli()),
    "ten megabytes": lambda: b"Content-Length: 10000000\r\n\r\n" + b"x" * 10_000_000,
    "chunks of a byte": lambda: CHUNKED + b"1\r\n{\r\n" * 500_000 + b"0\r\n\r\n",
    "chunk extensions": lambda: CHUNKED + (b"1;x=" + b"y" * 4_000 + b"\r\n{\r\n") * 5_000 + b"0\r\n\r\n",
    "a long chunk extension": lambda: CHUNKED + b"1;x=" + b"y" * 20_000_000 + b"\r\n{\r\n0\r\n\r\n",
    "trailers": lambda: CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X-A: y\r\n" * 500_000 + b"\r\n",
    "ten thousand headers": lambda: b"".join(b"X-%d: y\r\n" % number for number in range(10_000)) + b"\r\n",
    "one header ten thousand times": lambda: b"X-A: y\r\n" * 10_000 + b"\r\n",
    "a long header": lambda: b"X-A: " + b"y" * 10_000_000 + b"\r\n\r\n",
}
REFUSED: Final = (b"400", b"413", b"415")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Running]:
    async with running_service({"logging.requests": "none"}) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("start", [SUBMIT, BULK], ids=["submit", "bulk"])
async def test_nothing_that_is_sent_costs_more_memory_than_a_few_pieces(
    running: Running, start: bytes, flood: str
) -> None:
    sent = memoryview(start + FLOODS[flood]())
    assert (await told(running, memoryview(SUBMIT + b"Content-Length: 2\r\n\r\n{}")))[:1] == [b"422"]
    tracemalloc.start()
    try:
        answer = await told(running, sent)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"{len(sent):,} bytes of {flood}: {peak_bytes:,} at most, {answer}")
    assert answer[0] in REFUSED or (start == BULK and answer[0] == b"200" and b'"status":4' in b"".join(answer[1:]))
    assert peak_bytes < MOST_BYTES
    async with running.client.get("/api/v1/health/live") as alive:
        assert alive.status == 200


async def told(running: Running, sent: memoryview) -> list[bytes]:
    """The status, and the beginning of what follows. It may come before all is sent, and end the connection."""
    address = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)

    async def send() -> None:
        with suppress(ConnectionError):
            for start in range(0, len(sent), 16_384):
                writer.write(sent[start : start + 16_384])
                await writer.drain()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(30):
            status = (await reader.readuntil(b"\r\n")).split()[1]
            found = [status]
            if status == b"200":
                await reader.readuntil(b"\r\n\r\n")
                found.append(await reader.readuntil(b"\n{") + await reader.read(1_000))
            return found
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()
