"""A stretch of time as an option: `30m`, `12h`, `7d`, `4w`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

import click

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MOST: Final = timedelta(days=36_500)


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,6})([mhdw])", value, re.ASCII)
        length = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
        if not timedelta() < length <= _MOST:
            self.fail(f"{value!r} is no stretch of time; write it like 30m, 12h, 7d or 4w", param, ctx)
        return length


DURATION: Final = _Duration()


def in_words(length: timedelta) -> str:
    """As it may be written, in the largest unit up to a day that takes a whole number."""
    for letter, unit in (("d", "days"), ("h", "hours"), ("m", "minutes")):
        count, rest = divmod(length, timedelta(**{unit: 1}))
        if not rest:
            return f"{count}{letter}"
    return str(length)
