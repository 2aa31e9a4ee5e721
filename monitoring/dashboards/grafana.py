"""Draws dashboards for Grafana: the bare model that file provisioning wants, as text that is the same each time."""

from __future__ import annotations

import json
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    piechart,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.piechart import PieChartLegendValues
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.dashboards.panels import Above, Below, Dashboard, Form, Panel, Unit

TAG: Final = "inquiry-svc"
DATASOURCE: Final = "prometheus"
"""The uid of the data source that is provisioned; another can be chosen on each dashboard."""
RUNBOOKS: Final = "https://runbooks.example.org"
"""Where alerting/alertmanager.yml says that the runbooks can be read; can be set on each dashboard."""

_UNITS: Final[dict[Unit, str]] = {
    "requests/s": units.RequestsPerSecond,
    "inquiries/s": "suffix: inquiries/s",
    "inquiries": "suffix: inquiries",
    "events/s": units.CountsPerSecond,
    "count": units.Short,
    "share": units.PercentUnit,
    "seconds": units.Seconds,
    "bytes": units.BytesIEC,
    "bytes/s": units.BytesPerSecondIEC,
    "score": units.NoUnit,
    "cores": "suffix: cores",
    "per minute": "suffix: /min",
    "state": units.NoUnit,
}
_HEIGHT: Final = 8
_SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_LAST: Final = ["lastNotNull"]

_Builder: TypeAlias = (
    timeseries.Panel | stat.Panel | piechart.Panel | bargauge.Panel | heatmap.Panel | statetimeline.Panel
)


def as_json(dashboard: Dashboard) -> str:
    """The file's content."""
    return json.dumps(_built(dashboard), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def _built(dashboard: Dashboard) -> model.Dashboard:
    found = (
        build.Dashboard(dashboard.title)
        .uid(f"inquiry-svc-{dashboard.name}")
        .description(dashboard.about)
        .tags([TAG])
        .refresh(dashboard.refresh)
        .time(f"now-{dashboard.over}", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_to_the_others())
        .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus").current(
            model.VariableOption(text="Prometheus", value=DATASOURCE)))
        .with_variable(build.TextBoxVariable("runbooks").label("Runbooks at").default_value(RUNBOOKS).current(
            model.VariableOption(text=RUNBOOKS, value=RUNBOOKS)))
    )  # fmt: skip
    for number, panel in enumerate(dashboard.panels, 1):
        found.with_panel(_panel(panel).id(number))
    return found.build()


def _to_the_others() -> build.DashboardLink:
    return (
        build.DashboardLink("inquiry-svc")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
    )


def _panel(panel: Panel) -> _Builder:
    found = _drawn(panel.form, panel)
    found.title(panel.question).description(_description(panel)).unit(_UNITS[panel.unit])
    found.span(panel.width).height(_HEIGHT).datasource(_SOURCE)
    found.thresholds(_thresholds(panel.limits))
    found.links([
        build.DashboardLink(f"What to do: {name}").type(model.DashboardLinkType.LINK).target_blank(True)
        .url(f"${{runbooks}}/alerting/runbooks/{name}.md")
        for name in panel.runbooks
    ])  # fmt: skip
    if panel.unit == "share" and panel.form != "spread":
        found.min(0)
    for letter, (legend, expr) in zip("ABCDEFGH", panel.queries.items(), strict=False):
        query = prometheus.Dataquery().ref_id(letter).expr(expr).legend_format(legend)
        (query.instant() if panel.of_this_moment else query.range())
        found.with_target(query.format(PromQueryFormat.HEATMAP) if panel.form == "spread" else query)
    return found


def _description(panel: Panel) -> str:
    return panel.about + (f"\n\nNeeds {panel.needs}." if panel.needs else "")


def _drawn(form: Form, panel: Panel) -> _Builder:
    """The empty panel of a form."""
    last = common.ReduceDataOptions().calcs(_LAST)
    if form == "number":
        return stat.Panel().reduce_options(last).color_mode(shared.BigValueColorMode.VALUE).no_value("no data")
    if form == "pie":
        legend = piechart.PieChartLegendOptions().show_legend(True).placement(shared.LegendPlacement.RIGHT)
        legend.display_mode(shared.LegendDisplayMode.TABLE).values([PieChartLegendValues.VALUE])
        return piechart.Panel().reduce_options(last).legend(legend)
    if form == "bars":
        bars = bargauge.Panel().reduce_options(last).orientation(shared.VizOrientation.HORIZONTAL).no_value("no data")
        return bars.display_mode(shared.BarGaugeDisplayMode.BASIC)
    if form == "spread":
        colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(32)
        axis = heatmap.YAxisConfig().unit(_UNITS[panel.unit])
        return heatmap.Panel().calculate(False).color(colours).y_axis(axis)
    if form == "states":
        return statetimeline.Panel().mappings([_STATES]).color_scheme(_from_thresholds()).row_height(0.8)
    lines = timeseries.Panel().show_points(shared.VisibilityMode.NEVER).line_width(2)
    lines.fill_opacity(25 if form == "stacked" else 0)
    if form == "stacked":
        lines.stacking(common.StackingConfig().mode(shared.StackingMode.NORMAL))
    if panel.limits is not None:
        lines.thresholds_style(common.GraphThresholdsStyleConfig().mode(shared.GraphThresholdsStyleMode.DASHED))
    return lines


_STATES: Final = model.ValueMap(
    {
        "1": model.ValueMappingResult(text="well", color="green", index=0),
        "0": model.ValueMappingResult(text="not well", color="red", index=1),
    }
)


def _from_thresholds() -> build.FieldColor:
    return build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)


def _thresholds(limits: Above | Below | None) -> build.ThresholdsConfig:
    steps: list[tuple[float | None, str]] = [(None, "green")]
    if isinstance(limits, Above):
        steps += [(limits.warning, "yellow"), (limits.critical, "red")]
    elif isinstance(limits, Below):
        steps = [(None, "red"), (limits.critical, "yellow"), (limits.warning, "green")]
    found = [model.Threshold(value=value, color=colour) for value, colour in steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)
