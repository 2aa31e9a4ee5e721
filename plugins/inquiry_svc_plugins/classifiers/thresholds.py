"""Below which confidence a model says that a person should look, read out of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inquiry_svc.inquiries import AXES


def thresholds_of(manifest: Mapping[str, Any]) -> dict[str, float]:
    """By category. Raises `KeyError`, `TypeError` or `ValueError` where one is missing or no share."""
    below = manifest["review"]["below_confidence"]
    found = {category: float(below[category]) for category in AXES["category"]}
    if not all(0 <= each <= 1 for each in found.values()):
        raise ValueError(f"review thresholds {found}")
    return found
