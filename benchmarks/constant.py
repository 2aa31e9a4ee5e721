"""The ceiling: an aiohttp handler that reads the body and gives one constant answer of our size. Does nothing else."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web

_ANSWER = b'{"padding":"' + b"x" * 840 + b'"}'


async def answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=_ANSWER, content_type="application/json")


async def serve(port: int) -> None:
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_port=True)  # several may share it
    await site.start()
    print(f"serving on http://127.0.0.1:{runner.addresses[0][1]}", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
