"""The command line: `inquiry-svc COMMAND`. Each command is a file of its own here or comes from a plugin.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. An error is one line that names the thing, the value and
the cure, never a traceback.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import click

from inquiry_svc.errors import ConfigurationError, InquiryServiceError
from inquiry_svc.plugins import asked, build_manager

COMMANDS: Final[Mapping[str, str]] = {
    name: f"inquiry_svc.cli.{'model.' if name == 'train' else ''}{name}"
    for name in (
        *("serve", "health", "classify", "score", "train", "evaluate", "model", "drift", "replay", "plugins"),
        *(
            "config",
            "keys",
            "notices",
            "migrate",
            "backup",
            "restore",
            "erase",
            "metrics",
            "alerts",
            "dashboard",
            "console",
            "doctor",
            "logs",
        ),
    )
}
"""The module of each command that is ours, which has it under its name."""


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
        arguments = sys.argv[1:] if arguments is None else arguments
        outcome = build_commands(arguments[0] if arguments else None).main(
            arguments, prog_name="inquiry-svc", standalone_mode=False
        )
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


def build_commands(asked_for: str | None = None) -> click.Group:
    """All commands, the plugins' too. Raises `PluginError`.

    Where one of ours is asked for, of ours that one alone: a service needs not what the others import.
    """
    commands = click.Group("inquiry-svc", help="Triage of a support team's inquiries.")
    click.version_option(package_name="inquiry-svc")(commands)
    for name in (asked_for,) if asked_for is not None and asked_for in COMMANDS else COMMANDS:
        commands.add_command(getattr(importlib.import_module(COMMANDS[name]), name))
    list(asked(build_manager(), "register_commands", commands=commands))
    return commands


def _told(message: str, code: int) -> int:
    click.echo(f"inquiry-svc: {' '.join(message.split())}", err=True)
    return code
