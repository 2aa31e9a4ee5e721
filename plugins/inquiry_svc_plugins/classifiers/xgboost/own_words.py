"""Did the writer of a mail write anything, or is all of it quoted, signed with or appended by a machine?

A reply without a line of its own, a forgotten body with a signature under it, a legal notice that a mail server adds:
the model would find a category in each of them, and what it finds is not what the writer wants. Read by lines, in
English, from a few marks that programs and people use; no answer is changed by it but "is there anything to go by?".
"""

from __future__ import annotations

from typing import Final

from inquiry_svc.inquiries import Text

FEWEST_WORDS: Final = 2
"""Of the writer's own; with fewer there is nothing to go by."""

_REPLIES: Final = ("re:", "fw:", "fwd:", "aw:", "wg:", "sv:", "tr:", "rv:")
"""Their subject is somebody else's."""
_GREETINGS: Final = (
    *("hi", "hello", "hey", "dear", "good morning", "good afternoon", "good evening", "greetings"),
    *("thanks", "thank you", "many thanks", "cheers"),
)
_GREETING_WORDS: Final = 4
"""At most, with the name."""
_SENTENCE_SPACES: Final = 5
"""A line with so many is neither a greeting nor a farewell."""
_SKIPPED: Final = (">", "|", "sent from my", "get outlook")
_ENDS: Final = ("-- ", "---", "__", "begin forwarded message")
"""What stands below is a signature, or somebody else's mail. `--verbose` is neither."""
_FAREWELLS: Final = (
    *("regards", "best regards", "kind regards", "warm regards", "with kind regards", "best wishes", "all the best"),
    *("sincerely", "yours sincerely", "yours faithfully", "yours truly"),
)
_NOT_OWN: Final = (*_SKIPPED, *_ENDS)
_MARKED: Final = (*_NOT_OWN, *_FAREWELLS, *_GREETINGS)
_MARK_CHARACTERS: Final = max(map(len, _MARKED))
_NOTICE: Final = (
    *("confidential", "privileged", "in error", "notify", "delete", "liability", "virus", "disclos", "unauthori"),
    *("addressed", "attachments", "dissemination", "copying"),
)
_NOTICE_CHARACTERS: Final = 400
"""Within so many it says for whom it is."""
_NOTICE_MARKS: Final = 3
"""A paragraph that says for whom it is "intended" and has so many of these is a legal notice."""


def has_own_words(text: Text) -> bool:
    """Whether the writer wrote at least `FEWEST_WORDS`. Reads no further than it must: mostly the subject."""
    subject = text.subject
    found = 0 if not subject or subject[:4].lower().startswith(_REPLIES) else _words(subject)
    if found >= FEWEST_WORDS or _begins_with_a_sentence(text.body):
        return True
    for paragraph in text.body.lower().split("\n\n"):
        for line in () if _is_notice(paragraph) else paragraph.splitlines():
            line = line.strip()
            if f"{line} ".startswith(_MARKED):
                bare = line.rstrip(" ,.!-")
                if bare in _FAREWELLS or f"{line} ".startswith(_ENDS):
                    return False
                if line.startswith(_SKIPPED) or _is_greeting(bare):
                    continue
            if not line.endswith("wrote:"):
                found += _words(line)
                if found >= FEWEST_WORDS:
                    return True
    return False


def _begins_with_a_sentence(body: str) -> bool:
    """Most mails do, and then all else need not be looked at."""
    line = body.split("\n", 1)[0]
    return (
        line.count(" ") >= _SENTENCE_SPACES
        and not line[:_MARK_CHARACTERS].lower().startswith(_NOT_OWN)
        and not line.endswith("wrote:")
        and "ntended" not in body[:_NOTICE_CHARACTERS]
    )


def _words(line: str) -> int:
    """Up to `FEWEST_WORDS` of them."""
    return len(line.split(None, FEWEST_WORDS - 1))


def _is_notice(paragraph: str) -> bool:
    return "intended" in paragraph and sum(mark in paragraph for mark in _NOTICE) >= _NOTICE_MARKS


def _is_greeting(line: str) -> bool:
    return line.startswith(_GREETINGS) and len(line.split()) <= _GREETING_WORDS
