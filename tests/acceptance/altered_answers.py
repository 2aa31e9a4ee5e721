"""A server in between that hands on what another says, some of it changed, or with another time of day."""

from __future__ import annotations

import ssl
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

Alter: TypeAlias = Callable[[bytes], bytes]


@contextmanager
def altered_answers(
    origin: str, *, ahead_s: float = 0.0, tls: ssl.SSLContext | None = None, password: str = "", **changes: Alter
) -> Iterator[str]:
    """Its URL. A change is named for the last part of its path; without an origin, nothing else is said."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b""
            wanted = f"Basic {b64encode(password.encode()).decode()}"
            if origin and (not password or self.headers["Authorization"] == wanted):
                with urllib.request.urlopen(origin + self.path, timeout=10) as answer:
                    body = answer.read()
            last = self.path.partition("?")[0].rpartition("/")[2]
            body = changes[last](body) if last in changes else body
            self.send_response_only(200)
            self.send_header("Date", formatdate(time.time() + ahead_s, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 (the name that its class looks for)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
