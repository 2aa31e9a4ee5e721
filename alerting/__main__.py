"""`python -m alerting` writes the generated rule files; with `--check` it only says which of them it would change.

Beside those below `alerting`, it puts all rules into the one file that the monitoring guide names, for a Prometheus
that is given the folder `monitoring/prometheus` and nothing else, and into the resource that the Prometheus Operator
reads in a cluster.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import yaml

from alerting.generating import RuleFile, generate
from alerting.objectives import WrongObjectives, load_objectives

HERE: Final = Path(__file__).parent
BUNDLE: Final = HERE.parent / "monitoring/prometheus/alerts.yml"
RESOURCE: Final = HERE.parent / "deploy/kubernetes/monitoring/prometheus-rules.yaml"
_HEADER: Final = "# Written by `python -m alerting` from {}: change that, and run it again.\n"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 when a file is not what would be written.")
def main(check: bool) -> None:
    """Write the rules that follow from slo.yaml."""
    try:
        wanted = wanted_files()
    except WrongObjectives as error:
        raise click.ClickException(str(error)) from None
    stale = [file for file, content in wanted.items() if not file.exists() or file.read_text() != content]
    for file in stale:
        if not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(wanted[file])
        said = "not what its source says; run `make alerts`" if check else "written"
        click.echo(f"{file.relative_to(HERE.parent)}: {said}")
    sys.exit(bool(check and stale))


def wanted_files() -> dict[Path, str]:
    """Each generated file with its content. Raises `WrongObjectives`."""
    generated = {HERE / name: content for name, content in generate(load_objectives(HERE / "slo.yaml")).items()}
    together, of_all = _together(generated), _HEADER.format("alerting/recording and alerting/rules")
    return {
        **{file: _HEADER.format("alerting/slo.yaml") + as_yaml(content) for file, content in generated.items()},
        BUNDLE: of_all + as_yaml(together),
        RESOURCE: of_all + as_yaml(_as_resource(together)),
    }


def _together(generated: Mapping[Path, RuleFile]) -> RuleFile:
    written = {file: yaml.safe_load(file.read_text()) for file in _rule_files() if file not in generated}
    files = sorted({**written, **generated}.items())
    return {"groups": [group for _, content in files for group in content["groups"]]}


def _as_resource(rules: RuleFile) -> Mapping[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "inquiry-svc"},
        "spec": rules,
    }


def _rule_files() -> Iterator[Path]:
    yield from (HERE / "recording").glob("*.yaml")
    yield from (HERE / "rules").glob("*.yaml")


class _Dumper(yaml.SafeDumper):
    """Queries as they are read best: several lines stay several lines."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]  # labels are spelt out


def as_yaml(content: Any) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1_000, allow_unicode=True)


if __name__ == "__main__":
    main()
