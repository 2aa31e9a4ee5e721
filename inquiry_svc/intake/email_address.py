"""Is this an e-mail address, and are two the same? By their form alone: whether mail arrives there is not asked."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import normalize

_ATOM: Final = r"""[^\s"(),.:;<>@\[\\\]]++"""
_LABEL: Final = r"(?!-)[A-Za-z0-9\x80-\U0010ffff-]{1,63}(?<!-)"
"""Said by range, because scripts need combining marks that no class of letters holds."""
_ADDRESS: Final = re.compile(rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*+@(?:{_LABEL}\.)+(?=..){_LABEL}")


def is_email_address(text: str) -> bool:
    """A dot-string at a domain of two labels or more (RFC 5321), in any script (RFC 6531).

    Quoted local parts and addresses in brackets are refused, though the standard has them: nobody writes from there.
    """
    return _ADDRESS.fullmatch(text) is not None and text.isprintable()


def spelled_alike(address: str) -> str:
    """What all spellings of one address have in common, so that two can be compared as people do.

    Capitals do not matter, nor how an accent is written, nor whether the domain is in Unicode or in Punycode. Dots and
    what stands after a + do: only the host knows what they mean.
    """
    local, _, domain = address.strip().lower().rpartition("@")
    return normalize("NFC", f"{local}@{'.'.join(map(_in_unicode, domain.split('.')))}").lower()


def _in_unicode(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label.removeprefix("xn--").encode("ascii").decode("punycode")
    except UnicodeError:
        return label
