"""Files of API keys, and what their holders send. For tests alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from inquiry_svc.api_keys import SCOPES, Scope, make_key

ONE_EACH: Final[Mapping[str, tuple[Scope, ...]]] = {scope: (scope,) for scope in SCOPES}
"""A key for each scope, named like it."""


def written_keys(file: Path, names: Mapping[str, tuple[Scope, ...]] = ONE_EACH) -> dict[str, str]:
    """Each key as its holder has it, by its name; the file is what was there, and theirs."""
    made = {name: make_key(name, scopes) for name, scopes in names.items()}
    before = file.read_text() if file.exists() else ""
    file.write_text(before + "".join(f"{kept.line()}\n" for _, kept in made.values()))
    return {name: presented for name, (presented, _) in made.items()}


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def with_keys(file: Path, **more: Any) -> dict[str, Any]:
    """Settings for `running_service`; of `more`, `__` stands for a dot."""
    return {"auth.keys_file": str(file), **{name.replace("__", "."): value for name, value in more.items()}}
