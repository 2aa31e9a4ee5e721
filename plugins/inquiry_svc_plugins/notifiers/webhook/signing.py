"""Signs a request as version 1 of the Standard Webhooks specification says: HMAC-SHA256 over its id, time and body.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = range(24, 65)


def keys_of(secrets: str) -> Sequence[bytes]:
    """The keys behind secrets as they are written, in their order. Raises `ValueError`, which quotes none of them."""
    keys: list[bytes] = []
    for secret in secrets.split():
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not secret.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
            raise ValueError("a secret is whsec_ and 24 to 64 bytes in base64")
        keys.append(key)
    if not keys:
        raise ValueError("there is no secret")
    return keys


def signed(keys: Sequence[bytes], *, webhook_id: str, at_s: int, body: bytes) -> Mapping[str, str]:
    """The three headers. `at_s` counts from 1970; each key adds a signature, and one that is known is enough."""
    content = f"{webhook_id}.{at_s}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
