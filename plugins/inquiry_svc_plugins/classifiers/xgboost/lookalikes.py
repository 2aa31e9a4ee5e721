"""Letters that only look like those of the Latin alphabet, read as what they look like.

Mail that wants to slip past a reader of texts is written in Cyrillic or Greek letters that look Latin, in full-width or
mathematical ones, or with characters that can't be seen between its letters. A reader of flesh and blood sees the plain
word; so shall the model. A word is read as Latin where each of its letters is, or looks like, a Latin one: Russian and
Greek stay what they are. Every character stays one character, so that places in the text stay the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Final

from inquiry_svc_plugins.classifiers.xgboost.faces import with_faces

_LOOK_LATIN: Final = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d\u0475\u04cf\u043a"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0408\u0405\u0417\u042c"
    "\u03b1\u03bf\u03bd\u03c1\u03b9\u03ba\u03c5\u03c4\u03b7\u03c7\u03b3\u03c9\u03f2\u03f3"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    "\u0585\u057d\u0578\u0570\u0261\u0251"
    "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d\u0274\u1d0f\u1d18\u0280\ua731\u1d1b"
    "\u1d1c\u1d20\u1d21\u028f\u1d22",
    "aeopcyxijshdqwvlkABEKMHOPCTYXIJS3baovpikutnxywcjABEZHIKMNOPTYXounhgaabcdefghijklmnoprstuvwyz",
)
"""Cyrillic, small and capital; Greek, alike; Armenian and phonetic letters; small capitals. Chosen by hand among those
that Unicode calls confusable (UTS 39)."""

_COMPATIBLE: Final = ((0xFF01, 0xFF5E), (0x1D400, 0x1D7FF), (0x24B6, 0x24E9), (0x1F130, 0x1F149))
"""Full-width, mathematical, circled and squared characters: Unicode itself names the plain one of each."""
_UNSEEN: Final = (0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x2800, 0x3164, 0xFFA0, 0x61C, *range(0xE0000, 0xE0080))
"""Beside those that `units.py` drops: fillers and tags."""
_ZERO_WIDTH: Final = "\u200b"

_ODD: Final = re.compile(
    "[\u0251\u0261-\u02af\u0370-\u058f\u061c\u115f\u1160\u17b4\u17b5\u180e\u1d00-\u1d7f\u24b6-\u24e9\u2800\u3164"
    "\ua730\ua731\uff01-\uffa0\U0001d400-\U0001d7ff\U0001f130-\U0001f149\U000e0000-\U000e007f]"
)
_WORD: Final = re.compile(r"[^\W\d_]+")
_OTHER_SCRIPT: Final = re.compile("[\u0370-\u058f]")


def as_seen(text: str) -> str:
    """With plain letters, and each face as one character, of the same length."""
    return with_faces(plain_letters(text))


def plain_letters(text: str) -> str:
    """As it looks, of the same length."""
    if text.isascii() or not _ODD.search(text):
        return text
    return _WORD.sub(_as_latin, text.translate(_plain()))


def _as_latin(word: re.Match[str]) -> str:
    latin = word[0].translate(_LOOK_LATIN)
    return word[0] if _OTHER_SCRIPT.search(latin) else latin


@cache
def _plain() -> Mapping[int, str]:
    codes = (code for low, high in _COMPATIBLE for code in range(low, high + 1))
    found = {code: unicodedata.normalize("NFKC", chr(code)) for code in codes}
    plain = {code: character for code, character in found.items() if len(character) == 1}
    return plain | dict.fromkeys(_UNSEEN, _ZERO_WIDTH)
