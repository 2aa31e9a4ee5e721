"""What a check says: one line, and the cure where something is to be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from inquiry_svc.doctor.surroundings import Surroundings

State: TypeAlias = Literal["ok", "look", "wrong", "left out"]
"""`look`: not wrong, but a person should know."""


@dataclass(frozen=True, slots=True)
class Finding:
    state: State
    says: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    look: Callable[[Surroundings], Awaitable[Iterable[Finding]]]
    """Raises `NotThere` where what it would look at is not there, and whatever asking raises: it is run guarded."""
    timeout_s: float | None = None
    """For one that has to take longer than `doctor.timeout_s`."""


class NotThere(Exception):
    """What a check would look at is not there, so that it is left out."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def ok(says: str) -> Finding:
    return Finding("ok", says)


def look(says: str, cure: str = "") -> Finding:
    return Finding("look", says, cure)


def wrong(says: str, cure: str) -> Finding:
    return Finding("wrong", says, cure)


def left_out(says: str, cure: str = "") -> Finding:
    return Finding("left out", says, cure)
