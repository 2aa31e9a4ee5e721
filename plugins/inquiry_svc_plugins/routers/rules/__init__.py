"""The router `rules`: a YAML file that a team lead can edit decides who answers, how soon and why.

It knows labels, not texts (but for the skills named in a text), and it never learns: the same labels give the
same department, priority and reasons. This module only offers the provider and the commands; README.md
explains the file, `schema.py` describes it, `router.py` routes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inquiry_svc.contracts import Host, Provider, Router
from inquiry_svc.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@dataclass(frozen=True, slots=True)
class RulesSettings:
    file: str = ""
    """The rules file; "" stands for the packaged `default.yaml`."""


@asynccontextmanager
async def open_rules(settings: RulesSettings, host: Host) -> AsyncIterator[Router]:
    """Read and check the file, once. Raises `ConfigurationError`. Edits count from the next start."""
    from inquiry_svc_plugins.routers.rules.loading import load_rules
    from inquiry_svc_plugins.routers.rules.router import RulesRouter

    yield RulesRouter(load_rules(settings.file))


@hookimpl
def register_routers() -> Iterable[Provider[Router]]:
    return [Provider("rules", open_rules, RulesSettings)]


@hookimpl
def register_commands(commands: click.Group) -> None:
    from inquiry_svc_plugins.routers.rules.commands import rules

    commands.add_command(rules)
