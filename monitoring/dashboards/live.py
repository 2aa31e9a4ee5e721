"""Writes the panels for `inquiry-svc dashboard`: those that need nothing beside the service."""

from __future__ import annotations

import json
from typing import Any

from monitoring.dashboards.panels import Above, Dashboard, Panel


def as_live_json(dashboards: tuple[Dashboard, ...]) -> str:
    """The file's content. Left out is what reads recorded series, and dashboards of which nothing is left."""
    found = [
        {"name": dashboard.name, "title": dashboard.title, "panels": panels}
        for dashboard in dashboards
        if (panels := [_panel(each) for each in dashboard.panels if _needs_nothing(each)])
    ]
    return json.dumps(found, indent=1) + "\n"


def _needs_nothing(panel: Panel) -> bool:
    recorded = any(":" in query.split("{")[0] for query in panel.queries.values())
    return not (panel.needs or recorded or panel.form == "spread")


def _panel(panel: Panel) -> dict[str, Any]:
    limits = panel.limits
    return {
        "question": panel.question,
        "unit": panel.unit,
        "about": panel.about,
        "form": panel.form,
        "queries": dict(panel.queries),
        "limits": limits
        and {"above": isinstance(limits, Above), "warning": limits.warning, "critical": limits.critical},
        "runbooks": panel.runbooks,
    }
