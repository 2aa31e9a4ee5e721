"""The shipped rules and configuration of Prometheus and Alertmanager, with every duration divided by one factor.

So what is tested is what ships: conditions, thresholds, labels, texts, routes, inhibitions and templates stay as they
are, and so do the proportions between scrapes, windows, `for` and grouping. Counts and latencies are no durations of
the rules: an alert that wants 20 events in 5 minutes wants 20 in 15 seconds here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

FACTOR: Final = 20
"""A minute is three seconds: a scrape every 0.75 s, and 90 s for the longest `for` of the tested faults, 30 m. In more
of a hurry a scrape, which may take no longer than the time to the next, fails on a loaded machine."""

MONITORING: Final = Path(__file__).parents[2] / "monitoring"

_KEYS: Final = frozenset(
    (
        *("for", "keep_firing_for", "interval", "scrape_interval", "evaluation_interval"),
        *("group_wait", "group_interval", "repeat_interval"),
    )
)
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION: Final = r"(?:\d+(?:ms|[smhdw]))+"
_IN_QUERY: Final = re.compile(rf"(?<=\[){_DURATION}(?=\])|(?<=\boffset ){_DURATION}")
_SECONDS: Final = re.compile(r"(?<=\) \* )\d+$|(?<=\], )24 \* 60 \* 60(?=\))", re.MULTILINE)
"""A rate times a window is a count; and how far `predict_linear` looks ahead."""


def shipped(file: str) -> Any:
    """The content of a file below `monitoring`, its durations shortened."""
    return shortened(yaml.safe_load((MONITORING / file).read_text()))


def shortened(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _shortened_value(key, value) for key, value in content.items()}
    if isinstance(content, list):
        return [shortened(each) for each in content]
    return content


def seconds(duration: str) -> float:
    """Of a duration as Prometheus writes it: 90 for 1m30s."""
    assert re.fullmatch(_DURATION, duration), duration
    return sum(int(number) * _UNITS_MS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", duration)) / 1000


def _shortened_value(key: str, value: Any) -> Any:
    if key in _KEYS:
        return _shortened_duration(value)
    if key == "expr":
        query = _IN_QUERY.sub(lambda found: _shortened_duration(found[0]), value)
        return _SECONDS.sub(lambda found: f"({found[0]} / {FACTOR})", query)
    return shortened(value)


def _shortened_duration(duration: str) -> str:
    milliseconds, left = divmod(round(seconds(duration) * 1000), FACTOR)
    assert not left, f"{duration} can't be divided by {FACTOR}"
    return f"{milliseconds}ms"
