"""deploy/aws passes CloudFormation's linter, says what image and alerts say, and is taken by the AWS of moto."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
import yaml
from botocore.validate import validate_parameters
from moto import mock_aws

from alerting.generating import BURNS
from alerting.objectives import load_objectives
from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.plugins import asked, build_manager
from inquiry_svc.settings import LoggingSettings, ServerSettings
from inquiry_svc.web.routes import ENDPOINTS
from inquiry_svc_plugins.exporters.cloudwatch import CloudwatchSettings
from tests.aws import FOLDER, GIVEN, evaluated, of_type, resources, template
from tests.deployment import ROOT, settings_there
from tests.image import of_kind, stages

SERVICE: Final = resources("service.yaml")
MONITORING: Final = resources("monitoring.yaml")
[TASK] = of_type(SERVICE, "AWS::ECS::TaskDefinition").values()
[CONTAINER] = TASK["ContainerDefinitions"]
FILTERS: Final = of_type(MONITORING, "AWS::Logs::MetricFilter")
ALARMS: Final = of_type(MONITORING, "AWS::CloudWatch::Alarm")
COMPOSITES: Final = of_type(MONITORING, "AWS::CloudWatch::CompositeAlarm")
QUERIES: Final = of_type(MONITORING, "AWS::Logs::QueryDefinition")
[DASHBOARD] = of_type(MONITORING, "AWS::CloudWatch::Dashboard").values()
WIDGETS: Final = json.loads(DASHBOARD["DashboardBody"])["widgets"]
LOG_NAMESPACE: Final = "InquirySvc/Log"
ENVIRONMENT: Final = {each["Name"]: each["Value"] for each in CONTAINER["Environment"]}
SECRETS: Final = {each["Name"]: each["ValueFrom"] for each in CONTAINER["Secrets"]}
SETTINGS: Final = settings_there(
    {
        **ENVIRONMENT,
        "INQUIRY_STORE__POSTGRES__URL": "postgresql://db.example.org/inquiries",
        "INQUIRY_CACHE__REDIS__URL": "redis://cache.example.org",
    },
    {},
)
DECLARED: Final = {
    metric.name: metric
    for metric in [*OWN_METRICS, *(each for _, some in asked(build_manager(), "register_metrics") for each in some)]
}
RULES: Final = {
    rule["alert"]: rule
    for file in (ROOT / "alerting/rules").glob("*.yaml")
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
}
EXPRESSIONS: Final = {
    name: " ".join(each["Metrics"][0]["Expression"].split()) for name, each in ALARMS.items() if "Metrics" in each
}


@pytest.mark.parametrize("name", ["service.yaml", "monitoring.yaml"])
def test_the_linter_finds_nothing_to_say(name: str) -> None:
    linter = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([linter, FOLDER / name], capture_output=True, text=True, timeout=280, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


# The task


def test_the_task_runs_the_image_as_the_image_says() -> None:
    final = stages()[-1]
    assert json.dumps(CONTAINER["Command"]) == of_kind("CMD", final)[0]
    options, _, command = of_kind("HEALTHCHECK", final)[0].partition("CMD ")
    check = CONTAINER["HealthCheck"]
    assert check["Command"] == ["CMD", *json.loads(command), "--live"]
    said = {name: int(value) for name, value in re.findall(r"--([\w-]+)=(\d+)s", options)}
    assert said == {"interval": check["Interval"], "timeout": check["Timeout"], "start-period": check["StartPeriod"]}
    assert CONTAINER["User"] == of_kind("USER", final)[0]
    assert [each["ContainerPath"] for each in CONTAINER["MountPoints"]] == of_kind("VOLUME", final)
    assert CONTAINER["ReadonlyRootFilesystem"] is True


def test_its_variables_are_settings_that_it_starts_with_and_its_secrets_are_in_none() -> None:
    assert (SETTINGS.store.provider, SETTINGS.cache.provider) == ("postgres", "redis")
    assert SECRETS.keys() == {"INQUIRY_STORE__POSTGRES__URL", "INQUIRY_CACHE__REDIS__URL"}
    assert all(value.startswith(f"{GIVEN['Secret']}:") for value in SECRETS.values())
    assert not [name for name in ENVIRONMENT if re.search("URL|PASSWORD|KEY", name)]
    assert SETTINGS.server.data_dir == CONTAINER["MountPoints"][0]["ContainerPath"]
    assert CONTAINER["StopTimeout"] > SETTINGS.server.announce_stop_s + SETTINGS.server.stop_timeout_s + 2


def test_the_load_balancer_leads_to_the_port_and_asks_only_whether_it_lives() -> None:
    [targets] = of_type(SERVICE, "AWS::ElasticLoadBalancingV2::TargetGroup").values()
    [service] = of_type(SERVICE, "AWS::ECS::Service").values()
    [balancer] = of_type(SERVICE, "AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    port = ServerSettings().port
    assert [each["ContainerPort"] for each in CONTAINER["PortMappings"]] == [port]
    assert [each["ContainerPort"] for each in service["LoadBalancers"]] == [port] == [targets["Port"]]
    assert SERVICE["TaskGroup"]["Properties"]["SecurityGroupIngress"][0]["FromPort"] == port
    assert targets["HealthCheckPath"] in {each.path for each in ENDPOINTS if each.path.endswith("/live")}
    attributes = {each["Key"]: each["Value"] for each in balancer["LoadBalancerAttributes"]}
    assert int(attributes["idle_timeout.timeout_seconds"]) < ServerSettings().keepalive_timeout_s


# What is watched


def test_what_a_filter_looks_for_is_exported_and_declared() -> None:
    exported = SETTINGS.of_providers["exporters", "cloudwatch"].only
    assert set(exported) <= DECLARED.keys()
    assert set(SETTINGS.exporters.providers) == {"aioprometheus", "cloudwatch"}
    for name, each in FILTERS.items():
        [to] = each["MetricTransformations"]
        assert (to["MetricNamespace"], to["MetricName"]) == (LOG_NAMESPACE, name)
        if not to["MetricValue"].startswith("$."):
            continue
        field = to["MetricValue"].removeprefix("$.")
        assert f"$.{field} >" in each["FilterPattern"]
        metric = DECLARED[re.sub("_(sum|count)$", "", field)]
        assert metric.name in exported
        labels = {label for label, _ in re.findall(r'\$\.(\w+) = "([^"]*)"', each["FilterPattern"])}
        assert labels <= set(metric.labels)


def test_what_alarms_and_the_dashboard_read_from_the_log_is_made_by_a_filter() -> None:
    read = set(re.findall(rf'"{LOG_NAMESPACE}", "(\w+)"', json.dumps(WIDGETS)))
    for each in ALARMS.values():
        stats = [metric["MetricStat"]["Metric"] for metric in each.get("Metrics", []) if "MetricStat" in metric]
        read |= {metric["MetricName"] for metric in [*stats, each] if metric.get("Namespace") == LOG_NAMESPACE}
    assert read == FILTERS.keys(), "none is missing, and none is made for nobody"


def test_the_dashboard_searches_for_metrics_with_the_labels_that_they_have() -> None:
    namespace = CloudwatchSettings().namespace
    text = DASHBOARD["DashboardBody"].replace('\\"', '"')
    searched = re.findall(r"SEARCH\('\{(\w+),([\w,]+)\} MetricName=\"(\w+)\"'", text)
    assert len(searched) == 3
    for space, labels, name in searched:
        assert space == namespace
        assert set(labels.split(",")) == set(DECLARED[name].labels)
        assert name in SETTINGS.of_providers["exporters", "cloudwatch"].only
    for name in re.findall(rf'\["{namespace}", "(\w+)", \{{', text):
        assert not DECLARED[name].labels


def test_the_dashboard_shows_every_alarm_that_tells_somebody_and_its_parts_do_not_overlap() -> None:
    [alarms] = [each["properties"]["alarms"] for each in WIDGETS if each["type"] == "alarm"]
    telling = {name for name, each in {**ALARMS, **COMPOSITES}.items() if each.get("AlarmActions")}
    assert {re.sub(r"[<>]|\.Arn", "", each) for each in alarms} == telling
    places = [
        (x, y)
        for each in WIDGETS
        for x in range(each["x"], each["x"] + each["width"])
        for y in range(each["y"], each["y"] + each["height"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) == 23


# The alarms are those of alerting/

GUIDES: Final = ["HighErrorRate", "ServiceDown", "DatabaseConnectionIssues", "HighLatency", "LowModelConfidence"]
GUIDES_TOO: Final = ["HighEscalationRate", "InquiriesFailing"]


@pytest.mark.parametrize("name", [*GUIDES, *GUIDES_TOO])
def test_an_alarm_has_the_threshold_the_severity_and_the_runbook_of_its_alert(name: str) -> None:
    alarm, rule = ALARMS[name], RULES[name]
    thresholds = [float(number) for number in re.findall(r"[<>](?!=) ([\d.]+)", rule["expr"])]
    if "== 0" in rule["expr"]:
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    else:
        assert thresholds == [alarm["Threshold"]]
        assert alarm["ComparisonOperator"] == ("LessThanThreshold" if " < " in rule["expr"] else "GreaterThanThreshold")
        [events] = re.findall(r">= (\d+)", rule["expr"])
        assert f">= {events}," in EXPRESSIONS[name]
    severity = rule["labels"]["severity"].title()
    assert alarm["AlarmActions"] == [GIVEN[f"{severity}Topic"]]
    assert rule["annotations"]["runbook_url"] in alarm["AlarmDescription"]
    assert (ROOT / rule["annotations"]["runbook_url"]).is_file()


@pytest.mark.parametrize(("name", "seconds"), [("ServiceDown", 120), ("DatabaseConnectionIssues", 60)])
def test_a_state_is_an_alarm_after_as_long_as_in_the_guide(name: str, seconds: int) -> None:
    assert ALARMS[name]["Period"] * ALARMS[name]["EvaluationPeriods"] == seconds
    minutes = int(RULES[name]["for"].removesuffix("m"))
    assert seconds == 60 * minutes


def test_the_burn_of_the_availability_is_that_of_its_objective() -> None:
    [availability] = [each for each in load_objectives(ROOT / "alerting/slo.yaml").slos if each.name == "availability"]
    pages = [burn for burn in BURNS if burn.pages]
    assert COMPOSITES.keys() == {f"AvailabilityBudgetBurn{burn.long}" for burn in pages}
    for burn in pages:
        both = COMPOSITES[f"AvailabilityBudgetBurn{burn.long}"]["AlarmRule"]
        assert both == f'ALARM("inquiry-svc-ErrorRatio{burn.long}") AND ALARM("inquiry-svc-ErrorRatio{burn.short}")'
        for window in (burn.long, burn.short):
            alarm = ALARMS[f"ErrorRatio{window}"]
            assert alarm["Threshold"] == float(burn.factor * availability.budget)
            periods = {each["MetricStat"]["Period"] for each in alarm["Metrics"] if "MetricStat" in each}
            assert periods == {int(window[:-1]) * {"h": 3600, "m": 60}[window[-1]]}
        assert f">= {availability.min_bad_events}," in EXPRESSIONS[f"ErrorRatio{burn.long}"]


NOTHING: Final = float("nan")


@pytest.mark.parametrize(
    ("name", "values", "outcome"),
    [
        ("HighErrorRate", {"requests": 20, "faults": 2, "own_faults": None}, 0.1),
        ("HighErrorRate", {"requests": 19, "faults": 19, "own_faults": None}, 0),
        ("HighErrorRate", {"requests": 1000, "faults": None, "own_faults": None}, 0),
        ("HighErrorRate", {"requests": None, "faults": None, "own_faults": 50}, 1),
        ("HighLatency", {"requests": 20, "p95": 6}, 6),
        ("HighLatency", {"requests": 19, "p95": 6}, 0),
        ("InquiriesFailing", {"stored": 10, "failed": 10}, 0.5),
        ("InquiriesFailing", {"stored": 0, "failed": 0}, 0),
        ("LowModelConfidence", {"sum": 25, "count": 50}, 0.5),
        ("LowModelConfidence", {"sum": 0, "count": 0}, 1),
        ("HighEscalationRate", {"routed": 20, "escalated": 5}, 0.25),
        ("HighEscalationRate", {"routed": 1, "escalated": 1}, 0),
        ("ErrorRatio1h", {"requests": 1010, "faults": 10, "own_faults": None, "refusals": 10}, 0.01),
        ("ErrorRatio1h", {"requests": 9, "faults": 9, "own_faults": None, "refusals": None}, 0),
        ("ErrorRatio5m", {"requests": 2, "faults": 1, "own_faults": None, "refusals": None}, 0.5),
    ],
)
def test_an_alarm_works_out_a_share_of_enough_events(name: str, values: Mapping[str, Any], outcome: float) -> None:
    named = {each["Id"] for each in ALARMS[name]["Metrics"] if "MetricStat" in each}
    assert named == values.keys()
    assert evaluated(EXPRESSIONS[name], values) == pytest.approx(outcome)


# The log


def test_the_log_group_is_that_of_the_guides_commands() -> None:
    [group] = of_type(SERVICE, "AWS::Logs::LogGroup").values()
    page = (ROOT / "monitoring/LOGS.md").read_text()
    assert f"aws logs tail {group['LogGroupName']} --follow" in page
    assert CONTAINER["LogConfiguration"]["Options"]["awslogs-group"] == GIVEN["Logs"] == group["LogGroupName"]


def test_the_queries_ask_for_fields_that_a_line_has() -> None:
    page = (ROOT / "monitoring/LOGS.md").read_text()
    fields = set(re.findall(r"`(\w+)`", page[page.index("## A line") : page.index("## Without jq")]))
    texts = [each["QueryString"] for each in QUERIES.values()]
    texts += [each["properties"]["query"] for each in WIDGETS if each["type"] == "log"]
    assert len(texts) == 5
    for text in texts:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"|exception\.0\.type|@timestamp", "", text)
        made = set(re.findall(r"\bas (\w+)", bare))
        words = set(re.findall(r"[a-z_]+\w*", bare)) - made - _WORDS
        assert words <= fields, f"{words - fields} in {text}"
    assert f"duration_s > {LoggingSettings().slow_s:g}" in QUERIES["SlowestRequests"]["QueryString"]
    assert FILTERS["SlowRequests"]["FilterPattern"] == f"{{ $.duration_s > {LoggingSettings().slow_s:g} }}"


_WORDS: Final = {
    *("fields", "filter", "stats", "sort", "limit", "by", "desc", "as", "and"),
    *("count", "max", "pct", "coalesce", "ispresent"),
}


# Taken by AWS, as moto plays it and boto3 knows its forms


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with mock_aws():
        yield GIVEN["AWS::Region"]


def test_the_task_is_taken(region: str) -> None:
    ecs = boto3.client("ecs", region_name=region)
    ecs.register_task_definition(**_as_arguments(TASK))
    kept = ecs.describe_task_definition(taskDefinition="inquiry-svc")["taskDefinition"]
    [container] = kept["containerDefinitions"]
    assert container["image"] == GIVEN["Image"]
    assert container["healthCheck"]["command"] == ["CMD", "inquiry-svc", "health", "--live"]
    assert kept["requiresCompatibilities"] == ["FARGATE"]


def test_filters_alarms_and_dashboard_are_taken(region: str) -> None:
    logs = boto3.client("logs", region_name=region)
    logs.create_log_group(logGroupName=GIVEN["Logs"])
    for name, each in FILTERS.items():
        logs.put_metric_filter(filterName=name, **_as_arguments(each))
    assert {each["filterName"] for each in logs.describe_metric_filters()["metricFilters"]} == FILTERS.keys()
    watch = boto3.client("cloudwatch", region_name=region)
    for each in ALARMS.values():
        watch.put_metric_alarm(**each)
    kept = {each["AlarmName"] for each in watch.describe_alarms()["MetricAlarms"]}
    assert kept == {each["AlarmName"] for each in ALARMS.values()}
    watch.put_dashboard(**DASHBOARD)
    assert json.loads(watch.get_dashboard(DashboardName="inquiry-svc")["DashboardBody"])["widgets"] == WIDGETS
    # These moto does not know; whether the arguments are the API's, boto3 does.
    for client, call, some in (
        (watch, "PutCompositeAlarm", COMPOSITES.values()),
        (logs, "PutQueryDefinition", map(_as_arguments, QUERIES.values())),
    ):
        for each in some:
            validate_parameters(each, client.meta.service_model.operation_model(call).input_shape)


def _as_arguments(value: Any) -> Any:
    """Names as the API writes them, which begin small; those of options stay."""
    match value:
        case dict():
            return {
                key if key.startswith("awslogs") or key == "mode" else key[0].lower() + key[1:]: _as_arguments(each)
                for key, each in value.items()
            }
        case list():
            return [_as_arguments(each) for each in value]
        case _:
            return value


def test_what_one_template_imports_the_other_exports() -> None:
    imported = set(
        re.findall(r"ImportValue\": !Sub \"\$\{ServiceStack\}(-\w+)\"", (FOLDER / "monitoring.yaml").read_text())
    )
    exported = {
        each["Export"]["Name"]["Fn::Sub"].removeprefix("${AWS::StackName}")
        for each in template("service.yaml")["Outputs"].values()
        if "Export" in each
    }
    assert imported == exported
