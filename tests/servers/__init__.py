"""Real servers for tests: each on a port and in a folder of its own, killed at the end. For tests alone."""

from __future__ import annotations

import socket


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
