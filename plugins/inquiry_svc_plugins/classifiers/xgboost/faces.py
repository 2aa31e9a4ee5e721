"""Emoticons of signs, each read as one word: what `:(` says is in neither of its signs.

A character that no text has stands for each kind of face, before an unseen one for each other sign, so that every place
in the text stays the same. A face stands by itself (`thanks :D`); round mouths may follow a word or the end of a
sentence at once (`thanks:)`), where its first sign becomes the space between. What is of programs and times (`a[1:]`,
`http://`, `at 5:30`) is none.
"""

from __future__ import annotations

import re
from typing import Final

_GLAD, _SAD, _LAUGHING, _CHEEKY, _DOUBTFUL, _KISSING, _WINKING, _CRYING, _HEART = map(chr, range(0xE010, 0xE019))
FACES: Final = f"{_GLAD}-{_HEART}"
"""All of them, as a regular expression has a range."""

_OF_MOUTHS: Final = {
    **dict.fromkeys(")]", _GLAD),
    **dict.fromkeys("([", _SAD),
    **dict.fromkeys("Dd", _LAUGHING),
    **dict.fromkeys("Pp", _CHEEKY),
    **dict.fromkeys("/\\|", _DOUBTFUL),
    "*": _KISSING,
}
_READ: Final = {":": _OF_MOUTHS, ";": _OF_MOUTHS | dict.fromkeys(")]", _WINKING), "<": {"3": _HEART}}
"""By the first sign and the last."""
_SIGNS: Final = re.compile(r"[:;<](?:(?<=<)3+|[-o^']?(?:[)(\]\[|*/\\]+|[DdPp]))(?![\w'])")
_FOLLOWED_AT_ONCE: Final = ".,!?"
_UNSEEN: Final = "\u200b"


def with_faces(text: str) -> str:
    """Of the same length."""
    return _SIGNS.sub(_face, text) if ":" in text or ";" in text or "<3" in text else text


def _face(found: re.Match[str]) -> str:
    signs, start = found[0], found.start()
    face = _READ[signs[0]].get(signs[-1])
    before = found.string[start - 1] if start else " "
    follows = signs[-1] in "()" and (before.isalnum() or before in _FOLLOWED_AT_ONCE)
    if face is None or not (before.isspace() or follows):
        return signs
    if face == _SAD and signs[1] == "'":
        face = _CRYING
    read = f" {face}" if follows else face
    return read + _UNSEEN * (len(signs) - len(read))
