"""`inquiry-svc keys`: make API keys, list them, take them back. A running service knows of it within a second."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import cast

import click

from inquiry_svc.api_keys import SCOPES, Scope, has_expired, make_key, read_keys
from inquiry_svc.cli.configured import CommandT, config_option, configured
from inquiry_svc.errors import ConfigurationError


@click.group()
def keys() -> None:
    """Make, list and revoke API keys. Their file holds hashes: a key is shown when it is made, and never again."""


def _file_option(command: CommandT) -> CommandT:
    return config_option(
        click.option("--file", "named", type=click.Path(path_type=Path), help="Unless set, [auth] keys_file.")(command)
    )


@keys.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it may do; several may be given."
)
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Its last day (UTC), such as 2027-01-31.")
@_file_option
def create(name: str, scopes: Sequence[str], expires: datetime | None, named: Path | None, file: Path | None) -> None:
    """Show a new key once. One more for the same NAME has the same scopes, unless others are given."""
    place = _place(named, file)
    known = [key for key in read_keys(place).by_id.values() if key.name == name] if place.exists() else []
    granted = [cast("Scope", scope) for scope in scopes] or [scope for key in known[-1:] for scope in key.scopes]
    if not granted:
        raise click.UsageError(f"{name!r} has no key yet: give it a --scope ({', '.join(SCOPES)})")
    last_day = _not_over(expires.date()) if expires is not None else None
    presented, key = make_key(name, granted, last_day)
    _append(place, key.line())
    click.echo(presented)
    click.echo(
        f"This is shown once. Its hash is in {place}; take it back with: inquiry-svc keys revoke {key.key_id}", err=True
    )


@keys.command("list")
@_file_option
def list_keys(named: Path | None, file: Path | None) -> None:
    """Show who may do what, and until when."""
    found = read_keys(_place(named, file)).by_id.values()
    rows = [
        (
            key.name,
            ",".join(scope for scope in SCOPES if scope in key.scopes),
            key.key_id,
            f"{'expired' if has_expired(key) else 'until'} {key.last_day}" if key.last_day else "",
        )
        for key in found
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip())


@keys.command()
@click.argument("key_id")
@_file_option
def revoke(key_id: str, named: Path | None, file: Path | None) -> None:
    """Take the key with this id back: whoever has it is refused from then on."""
    place = _place(named, file)
    if key_id not in read_keys(place).by_id:
        raise ConfigurationError(f"API keys {place}: no key has the id {key_id!r}; see inquiry-svc keys list")
    _mark_revoked(place, key_id)


def _place(named: Path | None, file: Path | None) -> Path:
    if named is not None:
        return named
    found = configured(file).settings.auth.keys_file
    if not found:
        raise ConfigurationError("there is no file of API keys: name it with --file, or set auth.keys_file")
    return Path(found)


def _not_over(day: date) -> date:
    if day < datetime.now(UTC).date():
        raise click.UsageError(f"--expires {day} is over; give a day to come")
    return day


def _append(place: Path, line: str) -> None:
    """In one write, so that a service that reads meanwhile sees all of it or nothing."""
    before = place.read_bytes() if place.exists() else b""
    between = "" if not before or before.endswith(b"\n") else "\n"
    descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{between}{line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mark_revoked(place: Path, key_id: str) -> None:
    """In its place and in one write: a file that is mounted into a container must stay the same file."""
    found = re.search(rb"^[^#\n]*\s%s\s+(sha256:)" % key_id.encode(), place.read_bytes(), re.MULTILINE)
    assert found is not None  # it was read before
    descriptor = os.open(place, os.O_WRONLY)
    try:
        os.pwrite(descriptor, b"revoked", found.start(1))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
