"""A real nginx for a test: the one that the environment names, else the one on PATH.

There is no wheel of it. Where it is missing a test is skipped with the command that mends it; in CI it fails.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

NGINX_VARIABLE: Final = "INQUIRY_SVC_TEST_NGINX"
CURE: Final = f"apt-get install nginx-light, or name it in {NGINX_VARIABLE}"
START_LIMIT_S: Final = 10.0

_AROUND: Final = """
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_processes 1;
{user}
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    scgi_temp_path scgi;
    uwsgi_temp_path uwsgi;
    include site.conf;
}}
"""


def nginx_executable() -> str:
    # Debian keeps it where only root looks.
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    found = os.environ.get(NGINX_VARIABLE) or shutil.which("nginx", path=path)
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"no nginx: {CURE}")
    pytest.skip(f"no nginx: {CURE}")


@asynccontextmanager
async def running_nginx(site: str, port: int, folder: Path) -> AsyncIterator[str]:
    """Serve `site`, what stands in a block `http` and listens on `port`, while open; its URL. Killed at the end."""
    user = "user root;" if os.geteuid() == 0 else ""  # the folder is ours alone
    (folder / "nginx.conf").write_text(_AROUND.format(user=user))
    (folder / "site.conf").write_text(site)
    with (folder / "log").open("wb") as log:
        command = [nginx_executable(), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)  # noqa: ASYNC220 (quick)
        try:
            async with asyncio.timeout(START_LIMIT_S):
                while not await _accepts(port):
                    assert process.poll() is None, (folder / "log").read_text()
                    await asyncio.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
