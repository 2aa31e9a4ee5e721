"""The panels that the page shows, as `make dashboards` wrote them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from inquiry_svc.live.exposition import Labels

FILE: Final = Path(__file__).with_name("panels.json")
_SHOWN: Final = re.compile(r"{{(\w+)}}")


class Limits(Struct, frozen=True):
    """Past `warning` it is worth a look, past `critical` an alert is due; `above` says which side is past."""

    above: bool
    warning: float
    critical: float


class Panel(Struct, frozen=True):
    question: str
    unit: str
    about: str
    form: str
    queries: Mapping[str, str]
    """PromQL by legend."""
    limits: Limits | None
    runbooks: tuple[str, ...]


class Dashboard(Struct, frozen=True):
    name: str
    title: str
    panels: tuple[Panel, ...]


def load_dashboards() -> tuple[Dashboard, ...]:
    return msgspec.json.decode(FILE.read_bytes(), type=tuple[Dashboard, ...])


def named(legend: str, labels: Labels) -> str:
    """The legend with the values of the labels that it shows."""
    return _SHOWN.sub(lambda found: dict(labels).get(found[1], ""), legend)
