"""`inquiry-svc logs errors` and `logs slow`: what went wrong and what took long, for those without jq."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from inquiry_svc.log_reading import (
    LEVELS,
    Group,
    LogLine,
    LogReader,
    grouped,
    growing_lines,
    kind_of_error,
    kind_of_request,
    raw_lines,
)

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
_STDIN: Final = Path("-")
_A_CENTURY_S: Final = 100 * 365 * 86_400
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(context: click.Context, option: click.Parameter, value: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", value)
    if not found:
        raise click.BadParameter(f"{value!r} is no duration; write 500ms, 2s, 15m, 1h or 7d")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def _moment_since(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """So long ago, or a date and time, UTC unless it says otherwise."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        ago_s = min(_seconds(context, option, value), _A_CENTURY_S)
        return datetime.now(UTC) - timedelta(seconds=ago_s)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.group()
def logs() -> None:
    """What the service's JSON log lines say, without jq."""


def _reading(command: CommandT) -> CommandT:
    """What both commands take, as one `Reading`."""

    @click.argument("files", nargs=-1, metavar="[FILE|-]...", type=click.Path(path_type=Path))
    @click.option("--since", metavar="MOMENT", callback=_moment_since, help="15m, 1h or 7d ago, or 2026-11-25T21:00.")
    @click.option(
        "--top", type=click.IntRange(1), metavar="N", help="Count lines of one kind, and show the N most frequent."
    )
    @click.option("--follow", is_flag=True, help="Go on while the one FILE grows.")
    @click.option(
        "--json", "as_json", is_flag=True, help="JSON objects: the lines as they are, or with --top the kinds."
    )
    @functools.wraps(command)
    def reading(
        files: tuple[Path, ...], since: datetime | None, top: int | None, follow: bool, as_json: bool, **own: Any
    ) -> None:
        command(Reading(files or (_STDIN,), since, top, follow, as_json), **own)

    return cast("CommandT", reading)


@dataclass(frozen=True, slots=True)
class Reading:
    """Which lines are wanted, and how they are to be shown."""

    files: tuple[Path, ...]
    since: datetime | None
    top: int | None
    follow: bool
    as_json: bool

    def show(
        self,
        wanted: Callable[[LogLine], bool],
        text: Callable[[LogLine], str],
        kind: Callable[[LogLine], Hashable],
        text_of_kind: Callable[[Group], str],
    ) -> None:
        reader = LogReader()
        lines = (
            line for line in reader.read(self._raw()) if wanted(line) and (self.since is None or line.at >= self.since)
        )
        with suppress(BrokenPipeError):  # whoever reads has enough
            if self.top is None:
                for line in lines:
                    click.echo(_json(line.fields) if self.as_json else _printable(text(line)))
            else:
                for group in grouped(lines, kind)[: self.top]:
                    click.echo(_json(_group_fields(group)) if self.as_json else _printable(text_of_kind(group)))
        if reader.passed_over:
            click.echo(f"inquiry-svc: passed over what is no log line of the service: {reader.passed_over}", err=True)

    def _raw(self) -> Iterable[bytes]:
        if self.follow:
            if len(self.files) != 1 or _STDIN in self.files or self.top is not None:
                raise click.UsageError("--follow takes one FILE, and no --top: that counts to an end")
            return growing_lines(self.files[0])
        return chain.from_iterable(sys.stdin.buffer if file == _STDIN else raw_lines(file) for file in self.files)


@logs.command()
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), default="ERROR", show_default=True)
@_reading
def errors(reading: Reading, level: str) -> None:
    """Show the errors in FILE, or in what is piped in; with --top, count them by kind."""
    reading.show(lambda line: line.is_at_least(level), _error, kind_of_error, _kind_of_error)


@logs.command()
@click.option("--over", metavar="DURATION", callback=_seconds, default="2s", show_default=True, help="500ms, 2s, 1m.")
@_reading
def slow(reading: Reading, over: float) -> None:
    """Show the requests in FILE, or in what is piped in, that took long; with --top, count them by route.

    The service logs those over logging.slow_s (2 s unless set), and with logging.requests = "all" each.
    """
    reading.show(lambda line: (line.duration_s or 0.0) > over, _request, kind_of_request, _kind_of_request)


# How a line, and lines of one kind, are shown


def _error(line: LogLine) -> str:
    parts = [f"{_moment(line)}  {line.level:<8}  {line.fields.get('logger')}  {line.message}"]
    for cause in line.causes:
        said = f": {cause['message']}" if "message" in cause else ""
        where = cause.get("where")
        parts.append(f"    {cause.get('type')}{said}, at {where[-1] if where and isinstance(where, list) else '?'}")
    ids = _ids(line)
    return "\n".join([*parts, f"    {ids}"] if ids else parts)


def _kind_of_error(group: Group) -> str:
    types = " from ".join(str(cause.get("type")) for cause in group.last.causes)
    behind = f"  ({types})" if types else ""
    last = group.last
    return (
        f"{group.count:>7}  last {_moment(last)}  {last.level:<8}  {last.fields.get('logger')}  {last.message}{behind}"
    )


def _request(line: LogLine) -> str:
    status, ids = line.fields.get("status", ""), _ids(line)
    return f"{_moment(line)}  {line.duration_s:8.3f} s  {status}  {_route(line)}" + (f"  {ids}" if ids else "")


def _kind_of_request(group: Group) -> str:
    return f"{group.count:>7}  last {_moment(group.last)}  longest {group.longest_s:8.3f} s  {_route(group.last)}"


def _moment(line: LogLine) -> str:
    return f"{line.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _route(line: LogLine) -> str:
    return f"{line.fields.get('method')} {line.fields['endpoint']}" if "endpoint" in line.fields else line.message


def _ids(line: LogLine) -> str:
    """Where to look further."""
    return "  ".join(
        f"{name} {line.fields[name]}" for name in ("request_id", "trace_id", "worker") if line.fields.get(name)
    )


def _group_fields(group: Group) -> dict[str, Any]:
    return {"count": group.count, "longest_s": group.longest_s, "last": group.last.fields}


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)


def _printable(text: str) -> str:
    """What a terminal would obey rather than show is made visible."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)
