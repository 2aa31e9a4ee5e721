"""The address that is listened to: bound by one process, or held by a parent and shared by its workers.

Linux shares out connections among all sockets that listen on one address with SO_REUSEPORT. So that a second service
can't slip in among ours, whoever starts must first have the address for itself.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from inquiry_svc.errors import ConfigurationError

_SO_ATTACH_FILTER: Final = 26
_SYNS_DROPPED: Final = (  # classic BPF over the TCP header: (code, jump if true, jump if false, operand)
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # a SYN alone?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # let it pass
)


def bound_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to the address, `shared` with other workers. Raises `ConfigurationError` when it can't be had."""
    try:
        with ExitStack() as closing_what_fails:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            bound = closing_what_fails.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(address)
            bound.setblocking(False)
            closing_what_fails.pop_all()
            return bound
    except OSError as error:
        raise refused(host, port, error) from error


@contextmanager
def held_port(host: str, port: int) -> Iterator[tuple[str, int]]:
    """Keep the address for workers of one's own while open, without listening: its numeric host and its port.

    Raises `ConfigurationError` when it can't be had.
    """
    with ExitStack() as stack:
        with bound_socket(host, port) as alone:
            found: tuple[str, int] = alone.getsockname()[:2]
            holder = stack.enter_context(bound_socket(*found, shared=True))
            try:
                alone.listen(0)  # refused where anybody listens or holds
            except OSError as error:
                raise refused(host, port, error) from error
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # from here on, nobody else may listen
        yield found


def refused(host: str, port: int, error: OSError) -> ConfigurationError:
    cure = "choose another with --port" if error.errno == errno.EADDRINUSE else "see --host and --port"
    return ConfigurationError(f"can't listen on {host} port {port}: {error.strerror or error}; {cure}")


def last_accepted(listening: socket.socket) -> list[socket.socket]:
    """Clients the system has connected but nobody has met yet: closing the port, which is to follow, would reset them.

    From here on the system drops what would begin a connection. The client tries again a second later, by itself, and
    meets another worker or a closed port; else it could be connected between the last accept and the close.
    """
    connections: list[socket.socket] = []
    with suppress(OSError):  # another system: the moment between the two stays
        _drop_newcomers(listening)
    with suppress(OSError):  # nobody is left, or the port never opened
        while True:
            connections.append(listening.accept()[0])
    return connections


def _drop_newcomers(listening: socket.socket) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _SYNS_DROPPED)
    program = ctypes.create_string_buffer(code)
    listening.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_SYNS_DROPPED), ctypes.addressof(program))
    )
