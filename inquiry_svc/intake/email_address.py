"""Is this an e-mail address? By its form alone: whether mail arrives there is not asked."""

from __future__ import annotations

import re
from typing import Final

_MAX_LOCAL_CHARACTERS: Final = 64
_ATOM: Final = re.compile(r"""[^\s"(),.:;<>@\[\\\]]+""")
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9\x80-\U0010ffff-]{1,63}(?<!-)")
"""Said by range, because scripts need combining marks that no class of letters holds."""


def is_email_address(text: str) -> bool:
    """A dot-string at a domain of two labels or more (RFC 5321), in any script (RFC 6531).

    Quoted local parts and addresses in brackets are refused, though the standard has them: nobody writes from there.
    """
    local, _, domain = text.rpartition("@")
    labels = domain.split(".")
    return (
        text.isprintable()
        and len(local) <= _MAX_LOCAL_CHARACTERS
        and all(_ATOM.fullmatch(atom) for atom in local.split("."))
        and len(labels) > 1
        and len(labels[-1]) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
    )
