"""Verdicts as keys and values of a cache that is trusted with nothing.

The key holds the model's digest and the release, whose code decides with it, so neither a new model nor a new release
ever gives an old answer; and a keyed 128-bit hash of the text. The value is bound to its key by a checksum: foreign,
truncated, corrupted or misplaced bytes read as "not there".
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final

from inquiry_svc.inquiries import AXES, Model, Text, Verdict
from inquiry_svc.release import VERSION

_NUMBERS: Final = struct.Struct(f">{sum(map(len, AXES.values())) + 1}d")
"""The scores, then the evidence."""
_CHECKSUM_BYTES: Final = 8


class VerdictCodec:
    """Keys and values for the verdicts of one model."""

    def __init__(self, model: Model, release: str = VERSION) -> None:
        self._prefix = f"inquiry-svc:v2:{release}:{model.name}@{model.digest}:".encode()
        self._key = model.digest.encode()[: blake2b.MAX_KEY_SIZE]

    def key(self, text: Text) -> bytes:
        subject, body = (part.encode(errors="surrogatepass") for part in (text.subject, text.body))
        framed = b"%d:%b%b" % (len(subject), subject, body)
        return self._prefix + blake2b(framed, digest_size=16, key=self._key).digest()

    def value(self, key: bytes, verdict: Verdict) -> bytes:
        numbers = _NUMBERS.pack(*verdict.scores, verdict.evidence)
        return numbers + self._checksum(key, numbers)

    def verdict(self, key: bytes, value: bytes) -> Verdict | None:
        """None when these bytes are not what `value` made for this key."""
        numbers, checksum = value[: _NUMBERS.size], value[_NUMBERS.size :]
        if len(numbers) != _NUMBERS.size or checksum != self._checksum(key, numbers):
            return None
        *scores, evidence = _NUMBERS.unpack(numbers)
        return Verdict.from_scores(scores, evidence)

    def _checksum(self, key: bytes, numbers: bytes) -> bytes:
        return blake2b(key + numbers, digest_size=_CHECKSUM_BYTES, key=self._key).digest()
