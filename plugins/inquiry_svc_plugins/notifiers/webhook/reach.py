"""Which addresses may be connected to: those that are reached from everywhere, or who answers is inside this network.

A name is no ground to judge by: it may lead to another address the next time. So it is the address of each connection
that is looked at, when its socket is made. Source of what is reached from everywhere: IANA's registries of special
addresses, as `ipaddress` has them; beside them what would lead an IPv4 address through in an IPv6 one.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_PROTOCOLS: Final = IPv4Network("192.0.0.0/24")
"""Only a part of it is private to Python 3.11, and a cloud has its metadata there."""


def is_public(address: str) -> bool:
    """Raises `ValueError` for what is no address."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return _is_public(found)
    if found.ipv4_mapped is not None:
        return _is_public(found.ipv4_mapped)
    if found in _NAT64:
        return _is_public(IPv4Address(int(found) & 0xFFFFFFFF))
    return found in _GLOBAL_UNICAST and found.is_global and not _is_a_tunnel(found)


def _is_public(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and address not in _PROTOCOLS


def _is_a_tunnel(address: IPv6Address) -> bool:
    return address.sixtofour is not None or address.teredo is not None


def public_socket(found: tuple[Any, ...]) -> socket.socket:
    """A socket for what `getaddrinfo` found. Raises `OSError` where that is not public."""
    family, kind, protocol, _, (address, *_) = found
    if not is_public(address):
        raise OSError(f"{address} is not a public address; notifiers.webhook.allow_private would allow it")
    return socket.socket(family, kind, protocol)
