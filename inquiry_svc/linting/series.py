"""What a query may select: the names that a scrape of the service gives, with their labels, values and bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.metrics import Histogram, Metric

Labels: TypeAlias = Mapping[str, Sequence[str] | None]
"""Each label with its values; None where they can't be listed."""

TARGET_LABELS: Final[Labels] = {"job": None, "instance": None}
"""Prometheus puts these on whatever it scrapes."""
_OF_PROMETHEUS: Final = ("up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_series_added")


@dataclass(frozen=True, slots=True)
class Series:
    """All series of one name. `bounds` are those of the histogram whose buckets or quantile they are."""

    labels: Labels | None
    """None where they can't be known."""
    bounds: tuple[float, ...] | None = None


def own_series(metrics: Iterable[Metric]) -> dict[str, Series]:
    """What the service and its plugins expose, and what Prometheus says of the scrape."""
    found = {name: Series(TARGET_LABELS) for name in _OF_PROMETHEUS}
    found["ALERTS"] = found["ALERTS_FOR_STATE"] = Series(None)
    for metric in metrics:
        labels = {**TARGET_LABELS, **metric.labels}
        if isinstance(metric, Histogram):
            found[f"{metric.name}_bucket"] = Series({**labels, "le": None}, metric.buckets)
            found[f"{metric.name}_sum"] = found[f"{metric.name}_count"] = Series(labels)
        else:
            found[metric.name] = Series(labels)
    return found


def external_series(file: Path) -> dict[str, Series]:
    """What others expose: a YAML file of names with their labels. Raises `ConfigurationError`."""
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}; name a file of metrics of others") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not YAML: {error}") from error
    if not _is_names_with_labels(content):
        raise ConfigurationError(f"{file}: write each metric of others as a line NAME: [LABEL, LABEL]")
    return {name: Series({**TARGET_LABELS, **dict.fromkeys(labels)}) for name, labels in content.items()}


def _is_names_with_labels(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        for name, labels in content.items()
    )
