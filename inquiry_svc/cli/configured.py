"""Plugins and settings as a command needs them: found, checked, and complained about in one line."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import click
import pluggy

from inquiry_svc.config import Effective, load_settings
from inquiry_svc.contracts import Classifier, Host, Router
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.named import NamedModel, Names, names_of, open_model
from inquiry_svc.models.registry import Registry
from inquiry_svc.opening import Opener
from inquiry_svc.plugins import Offers, asked, build_manager
from inquiry_svc.settings import Settings

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Configured:
    manager: pluggy.PluginManager
    offers: Offers
    settings: Settings
    effective: list[Effective]

    @property
    def registry(self) -> Registry:
        return Registry(Path(self.settings.server.data_dir))

    @property
    def names(self) -> Names:
        """Of models."""
        return names_of(self.registry, self.settings, self.offers)


def configured(file: Path | None = None, options: Mapping[tuple[str, ...], Any] | None = None) -> Configured:
    """Options that are None were not given. Raises `ConfigurationError`."""
    manager = build_manager()
    offers = Offers(manager)
    given = {path: value for path, value in (options or {}).items() if value is not None}
    settings, effective = load_settings(offers, file=file, environ=os.environ, options=given)
    return Configured(manager, offers, settings, effective)


@asynccontextmanager
async def open_classifier(found: Configured, model: NamedModel) -> AsyncIterator[Classifier]:
    """One classifier alone, without a service around it."""
    with _opener(found) as opener:
        async with open_model(opener, model) as classifier:
            yield classifier


@asynccontextmanager
async def open_router(found: Configured) -> AsyncIterator[Router]:
    """The chosen router alone."""
    with _opener(found) as opener:
        async with opener.open("router", found.settings.router.provider) as router:
            yield router


@contextmanager
def _opener(found: Configured) -> Iterator[Opener]:
    metrics = Metrics(metric for _, declared in asked(found.manager, "register_metrics") for metric in declared)
    with TemporaryDirectory(prefix="inquiry-svc-") as folder:
        yield Opener(found.settings, found.offers, Host(Path(folder), metrics))


def model_option(command: CommandT) -> CommandT:
    return click.option(
        "--model",
        default="champion",
        show_default=True,
        metavar="MODEL",
        help="An alias, the beginning of a digest, a model folder, or built-in.",
    )(command)


def config_option(command: CommandT) -> CommandT:
    return click.option(
        "--config",
        "file",
        type=click.Path(path_type=Path),
        help="A TOML file; INQUIRY_* variables and options win.",
    )(command)


def data_dir_option(command: CommandT) -> CommandT:
    return click.option("--data-dir", help="Where store and models are; ./inquiry-data unless set.")(command)


def gets_configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command has both of these options, and is given what they make as `found`."""

    @data_dir_option
    @config_option
    @wraps(command)
    def with_options(*, data_dir: str | None, file: Path | None, **others: Any) -> Any:
        return command(found=configured(file, {("server", "data_dir"): data_dir}), **others)

    return with_options
