"""What was scraped lately, and the lines that the panels drew from it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from inquiry_svc.live.exposition import Scrape
from inquiry_svc.live.panels import Dashboard, Panel, named
from inquiry_svc.live.promql import evaluate, parse

KEPT_S: Final = 600.0
RATE_S: Final = 10
"""What `$__rate_interval` is here."""


class History:
    """The last ten minutes. `add` a scrape, then read `shown`."""

    def __init__(self, dashboards: Sequence[Dashboard]) -> None:
        self._dashboards = dashboards
        self._scrapes: deque[Scrape] = deque()
        self._points: dict[tuple[str, str], deque[tuple[float, dict[str, float]]]] = {}
        self._parsed = {
            query: parse(query.replace("$__rate_interval", f"{RATE_S}s"))
            for dashboard in dashboards
            for panel in dashboard.panels
            for query in panel.queries.values()
        }

    def add(self, scrape: Scrape) -> None:
        self._scrapes.append(scrape)
        while self._scrapes[0].at_s < scrape.at_s - KEPT_S:
            self._scrapes.popleft()
        for dashboard in self._dashboards:
            for panel in dashboard.panels:
                points = self._points.setdefault((dashboard.name, panel.question), deque())
                points.append((scrape.at_s, dict(self._answers(panel))))
                while points[0][0] < scrape.at_s - KEPT_S:
                    points.popleft()

    def shown(self, name: str) -> Mapping[str, Any]:
        """A dashboard's panels: the moments in `at_s`, and for each line its values, null where there was none."""
        [dashboard] = [each for each in self._dashboards if each.name == name]
        answered = bool(self._scrapes) and self._scrapes[-1].samples["up"][0][1] == 1.0
        return {
            "answers": answered,
            "panels": [self._lines(self._points.get((name, panel.question), ())) for panel in dashboard.panels],
        }

    def _answers(self, panel: Panel) -> Iterator[tuple[str, float]]:
        for legend, query in panel.queries.items():
            for labels, value in evaluate(self._parsed[query], self._scrapes).items():
                if math.isfinite(value):
                    yield named(legend, labels), value

    def _lines(self, points: Sequence[tuple[float, dict[str, float]]] | deque[Any]) -> dict[str, Any]:
        names = sorted({name for _, values in points for name in values})
        return {
            "at_s": [at_s for at_s, _ in points],
            "lines": {name: [values.get(name) for _, values in points] for name in names},
        }
