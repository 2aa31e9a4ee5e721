"""The media types of the interface."""

from __future__ import annotations

from typing import Final

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PROBLEM: Final = "application/problem+json"
