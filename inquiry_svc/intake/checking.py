"""Bytes to one of the `bodies`, or every fault of every field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
import orjson

from inquiry_svc.inquiries import AXES
from inquiry_svc.intake.bodies import FeedbackIn, Incoming, SubmitIn, TextIn
from inquiry_svc.intake.email_address import is_email_address
from inquiry_svc.intake.strict_json import Fault, faults, parse, pointer_to
from inquiry_svc.intake.wording import what_is_wrong
from inquiry_svc.plugins import did_you_mean

MAX_BODY_BYTES: Final = 64 * 1024
MAX_METADATA_BYTES: Final = 4 * 1024
MAX_NAME_CHARACTERS: Final = 100
"""So much of a name that nobody knows is told."""
YEARS: Final = range(1971, 9000)
"""Moments outside would leave the calendar when a time zone or a response target is added."""
WHITESPACE: Final = "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""What is trimmed: \\s as a pattern in the OpenAPI document means it (ECMA-262), which Python's own is not."""
_MAX_FAULTS: Final = 50
"""So that a body full of wrong fields gets neither a larger answer than a readable one nor the event loop for long."""
_MAX_SUMMARISED: Final = 5

IncomingT = TypeVar("IncomingT", bound=Incoming)


class NotValid(Exception):
    """It was read and can't be taken in: `faults` says where and why, for a sender to read."""

    def __init__(self, found: Iterable[Fault]) -> None:
        self.faults: Sequence[Fault] = list(islice(found, _MAX_FAULTS))
        where = dict.fromkeys(fault.pointer or "the body" for fault in self.faults[:_MAX_SUMMARISED])
        super().__init__(f"not valid: {', '.join(where)}")


def checked(raw: bytes, kind: type[IncomingT]) -> IncomingT:
    """Raises `NotJson` when the bytes are not JSON, `NotValid` with every fault of every field."""
    plain = _read_in_one_go(raw, kind)
    if plain is not None:
        return plain
    document = parse(raw)
    if isinstance(document, dict):
        for name in _trimmed_of(kind):
            text = document.get(name)
            if text and isinstance(text, str) and (text[0] in _SPACES or text[-1] in _SPACES):
                document[name] = text.strip(WHITESPACE)
    is_escaped = _BACKSLASH in raw and b"\\u" in raw
    may_be_unfit = is_escaped or (isinstance(document, dict) and "metadata" in document)
    if may_be_unfit and any(faults(document)):  # before msgspec, which raises other errors over lone surrogates
        raise NotValid(_every_fault(document, kind))
    try:
        value = msgspec.convert(document, kind)
    except msgspec.ValidationError:
        raise NotValid(_every_fault(document, kind)) from None
    if found := [*_faults_beyond_types(msgspec.structs.asdict(value)), *_faults_of_feedback(document, kind)]:
        raise NotValid(found)
    return value


_SPACES: Final = frozenset(WHITESPACE)
_BACKSLASH: Final = ord("\\")
_COLONS: Final = frozenset((b":", b": "))
_IN_ONE_GO: Final[Mapping[type[Incoming], msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (TextIn, SubmitIn)
}


def _read_in_one_go(raw: bytes, kind: type[IncomingT]) -> IncomingT | None:
    """What comes with nearly every submit and classify, an object of texts; None where anything asks for a closer look.

    That is what msgspec refuses, and all that it lets through and we don't: an escape by number, which may hide a name
    or stand for what is unfit; a name that stands there twice; space around a text; an address or a year that is none.
    """
    decoder, bare = _IN_ONE_GO.get(kind), raw
    if decoder is None:
        return None
    if _BACKSLASH in raw:
        bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
        if bare.find(b"\\u") >= 0:  # `in` would look for a number first, which takes ten times as long
            return None
    # Of an object of texts every fourth piece is a name, and the next what stands between it and its text.
    pieces = bare.split(b'"')
    names = pieces[1::4]
    if len(names) != len(set(names)) or not _COLONS.issuperset(pieces[2::4]):
        return None
    try:
        value = decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    body, subject = value.body, value.subject
    if body[0] in _SPACES or body[-1] in _SPACES or (subject and (subject[0] in _SPACES or subject[-1] in _SPACES)):
        return None
    if kind is SubmitIn and not _is_sound(value):
        return None
    return value  # type: ignore[no-any-return]


def _is_sound(sent: SubmitIn) -> bool:
    """Beyond its types, with what the text is asked of already."""
    name = sent.sender_name
    return (
        is_email_address(sent.sender_email)  # with space around it is none
        and _is_of_our_years(sent.received_at)
        and not (name and (name[0] in _SPACES or name[-1] in _SPACES))
    )


_TRIMMED: Final = ("subject", "body", "sender_email", "sender_name", "reviewer")


@cache
def _trimmed_of(kind: type[Incoming]) -> Sequence[str]:
    return [name for name in _TRIMMED if name in fields_of(kind)]


def _every_fault(document: Any, kind: type[Incoming]) -> Iterator[Fault]:
    """Look at each field by itself, so that all faults are told at once."""
    unfit = list(islice(faults(document), _MAX_FAULTS))
    if not isinstance(document, dict):
        yield from unfit or [Fault("", "must be an object")]
        return
    told = {fault.pointer.split("/")[1] for fault in unfit}
    fields = fields_of(kind)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in told:
            continue
        if name in document:
            try:
                values[name] = msgspec.convert(document[name], field.type)
            except msgspec.ValidationError:
                yield Fault(f"/{name}", what_is_wrong(document[name], field.type))
        elif field.required:
            yield Fault(f"/{name}", "is required")
    yield from _faults_beyond_types(values)
    yield from _faults_of_feedback(document, kind)
    yield from unfit
    if not kind.__struct_config__.forbid_unknown_fields:
        return
    for name in document:
        pointer = pointer_to("", name)
        if name not in fields and pointer[1:] not in told:
            yield Fault(pointer, f"is not a field here; {did_you_mean(name[:MAX_NAME_CHARACTERS], fields)}")


def _faults_beyond_types(values: Mapping[str, Any]) -> Iterator[Fault]:
    for name in ("received_at", "resolved_at"):
        if name in values:
            yield from faults_of_moment(f"/{name}", values[name])
    if "sender_email" in values and not is_email_address(values["sender_email"]):
        yield Fault("/sender_email", "is not a valid e-mail address")
    if values.get("metadata") and len(orjson.dumps(values["metadata"])) > MAX_METADATA_BYTES:
        yield Fault("/metadata", f"must be at most {MAX_METADATA_BYTES:,} bytes as JSON")


def _faults_of_feedback(document: Mapping[str, Any], kind: type[Incoming]) -> Iterator[Fault]:
    if kind is FeedbackIn and all(document.get(axis) is None for axis in AXES):
        yield Fault("", f"give at least one of {', '.join(AXES)}")


def faults_of_moment(field: str, moment: datetime | None) -> Iterator[Fault]:
    if not _is_of_our_years(moment):
        yield Fault(field, f"must be within the years {YEARS.start} to {YEARS.stop - 1}")


def _is_of_our_years(moment: datetime | None) -> bool:
    return moment is None or moment.year in YEARS


@cache
def fields_of(kind: type[Incoming]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """By name. Kept, because reading them costs 0.1 ms."""
    return {field.name: field for field in msgspec.structs.fields(kind)}
