"""The command line: `inquiry-svc COMMAND`. Each command is a file of its own here or comes from a plugin.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. An error is one line that names the thing, the value and
the cure, never a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from inquiry_svc.cli.alerts import alerts
from inquiry_svc.cli.backup import backup
from inquiry_svc.cli.classify import classify
from inquiry_svc.cli.config import config
from inquiry_svc.cli.console import console
from inquiry_svc.cli.dashboard import dashboard
from inquiry_svc.cli.doctor import doctor
from inquiry_svc.cli.drift import drift
from inquiry_svc.cli.evaluate import evaluate
from inquiry_svc.cli.health import health
from inquiry_svc.cli.keys import keys
from inquiry_svc.cli.logs import logs
from inquiry_svc.cli.metrics import metrics
from inquiry_svc.cli.migrate import migrate
from inquiry_svc.cli.model import model
from inquiry_svc.cli.model.train import train
from inquiry_svc.cli.plugins import plugins
from inquiry_svc.cli.replay import replay
from inquiry_svc.cli.restore import restore
from inquiry_svc.cli.score import score
from inquiry_svc.cli.serve import serve
from inquiry_svc.errors import ConfigurationError, InquiryServiceError
from inquiry_svc.plugins import asked, build_manager


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit."""
    signal.signal(signal.SIGTERM, _end)
    code = run(arguments)
    try:
        sys.stdout.flush()
    except OSError:  # a full disk, told of already; Python would complain again while it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _end(number: int, _: object) -> None:
    """The system's own answer to SIGTERM, which it withholds from the first process of a container."""
    sys.exit(128 + number)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    try:
        outcome = build_commands().main(arguments, prog_name="inquiry-svc", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_wanted:
        click.echo(help_wanted.format_message())
        return 0
    except click.ClickException as error:
        return _told(error.format_message(), 2 if isinstance(error, click.UsageError) else 1)
    except ConfigurationError as error:
        return _told(str(error), 2)
    except InquiryServiceError as error:
        return _told(str(error), 1)
    except (click.Abort, KeyboardInterrupt):
        return _told("interrupted", 1)
    except OSError as error:
        return _told(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)
    return outcome if isinstance(outcome, int) else 0


def build_commands() -> click.Group:
    """All commands, the plugins' too. Raises `PluginError`."""
    commands = click.Group("inquiry-svc", help="Triage of a support team's inquiries.")
    click.version_option(package_name="inquiry-svc")(commands)
    for command in (
        *(serve, health, classify, score, train, evaluate, model, drift, replay, plugins, config),
        *(keys, migrate, backup, restore, metrics, alerts, dashboard, console, doctor, logs),
    ):
        commands.add_command(command)
    list(asked(build_manager(), "register_commands", commands=commands))
    return commands


def _told(message: str, code: int) -> int:
    click.echo(f"inquiry-svc: {' '.join(message.split())}", err=True)
    return code
