"""`inquiry-svc alerts lint FILE...`: do these rules speak of metrics, labels and buckets that exist?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.metrics import Metric
from inquiry_svc.placeholders import placeholders_in
from inquiry_svc.plugins import asked, build_manager


@click.group()
def alerts() -> None:
    """The rules that wake people."""


@alerts.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--external",
    type=click.Path(path_type=Path),
    help="A YAML file of metrics that others expose: NAME: [LABEL, LABEL].",
)
@click.option("--production", is_flag=True, help="Refuse placeholders too, such as addresses at example.org.")
def lint(files: tuple[Path, ...], external: Path | None, production: bool) -> int:
    """Check rule files against the metrics of the service and of its plugins.

    Told of: an unknown metric, label or value of a label, a threshold that is no bound of the histogram's buckets, and
    an annotation that shows a label which the alert has not. A name that one file records is known in all of them, so
    give them together. With --production, Alertmanager's configuration may be among them.
    """
    try:
        from inquiry_svc.linting import external_series, lint_rules, own_series
    except ImportError as error:
        raise ConfigurationError(
            f"alerts lint needs {error.name}; install it with pip install 'inquiry-svc[alerts]'"
        ) from error
    series = own_series([*OWN_METRICS, *_metrics_of_plugins()]) | (external_series(external) if external else {})
    texts = {str(file): _text(file) for file in files}
    contents = {name: _content(name, text) for name, text in texts.items()}
    rules = {name: content for name, content in contents.items() if not _is_of_alertmanager(content)}
    told = [f"{each.place}: {each.message}" for each in lint_rules(rules, series)]
    if production:
        told += [line for name, text in texts.items() for line in _placeholders(name, text)]
    for line in told:
        click.echo(line)
    click.echo(f"{len(files)} files, {len(told)} complaints")
    return 1 if told else 0


def _metrics_of_plugins() -> list[Metric]:
    return [metric for _, declared in asked(build_manager(), "register_metrics") for metric in declared]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}; name a rule file") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not YAML in UTF-8: {error}") from error


def _content(name: str, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{name} is not YAML: {error}") from error


def _is_of_alertmanager(content: Any) -> bool:
    return isinstance(content, dict) and "receivers" in content


def _placeholders(name: str, text: str) -> Iterator[str]:
    for placeholder in placeholders_in(text):
        yield f"{name}: {placeholder} is a placeholder; put in what is yours"
