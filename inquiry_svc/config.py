"""Reads the configuration: defaults, then a TOML file, then `INQUIRY_*` variables, then options. Later ones win.

`INQUIRY_STORE__SQLITE__PATH=...` sets `path` in `[store.sqlite]`. A secret may lie in a file instead, as containers are
given them: `INQUIRY_STORE__POSTGRES__URL_FILE` names it. All is checked: an unknown key, a wrong type or a value out of
bounds raises `ConfigurationError` in one line that names where it stands and the cure. The environment is an argument:
nothing here reads it by itself.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, get_origin, get_type_hints

import msgspec

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.plugins import Offers, did_you_mean
from inquiry_svc.settings import SECRET, SECTIONS, Settings

ENVIRONMENT_PREFIX: Final = "INQUIRY_"
_FILE: Final = "_FILE"

Path_: TypeAlias = tuple[str, ...]
"""Section, for a provider's settings its name, and key: `("store", "sqlite", "path")`."""


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it holds: `value` came from `origin` (`default`, a file, a variable, an option)."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    origin: str


def load_settings(
    offers: Offers,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    options: Mapping[Path_, Any] | None = None,
) -> tuple[Settings, list[Effective]]:
    """The settings and, for showing them, each with its origin. Raises `ConfigurationError`."""
    declared = _declared(offers)
    given: dict[Path_, _Given] = {}
    given_by = (_from_file(file, declared), _from_environment(environ or {}, declared), _from_options(options or {}))
    for source in given_by:
        for path, found in source:
            if path not in declared or found.value != {}:  # an empty section sets nothing
                given[_known(path, found, declared)] = found
    values = {path: _checked(path, found, declared) for path, found in given.items()}
    settings = _built(declared, values)
    for kind, name in settings.chosen():
        offers.provider(kind, name)
    return settings, list(_effective(declared, settings, given))


# Where settings come from


def _from_file(file: Path | None, declared: Declared) -> Iterator[tuple[Path_, _Given]]:
    if file is None:
        return
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"configuration file {file}: {error.strerror}; name one that can be read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"configuration file {file} is not TOML: {error}") from error
    for path, value in _leaves(document, (), declared):
        yield path, _Given(value, str(file))


def _leaves(table: Mapping[str, Any], above: Path_, declared: Declared) -> Iterator[tuple[Path_, Any]]:
    """Each value with its path. A table is a value where a setting has its name, where it is empty, and three deep."""
    settings = _types(declared[above]) if above in declared else {}
    for key, value in table.items():
        path = (*above, key)
        if isinstance(value, dict) and value and len(path) < 3 and key not in settings:
            yield from _leaves(value, path, declared)
        else:
            yield path, value


def _from_environment(environ: Mapping[str, str], declared: Declared) -> Iterator[tuple[Path_, _Given]]:
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            path = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
            secret = _kept_in_a_file(path, declared)
            if secret is None:
                yield path, _Given(environ[name], f"variable {name}")
            elif (itself := name[: -len(_FILE)]) in environ:
                raise ConfigurationError(f"variables {itself} and {name} are both set: keep one")
            else:
                yield secret, _Given(_only_line(Path(environ[name]), name), f"variable {name}")


def _kept_in_a_file(path: Path_, declared: Declared) -> Path_ | None:
    """The secret of whose file the variable tells; None where it is a setting like any other."""
    section, key = path[:-1], path[-1]
    keys = _types(declared[section]) if section in declared else {}
    secret = key.removesuffix(_FILE.lower())
    return (*section, secret) if key not in keys and is_secret(keys.get(secret)) else None


def _only_line(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(
            f"variable {name}: file {file}: {error.strerror}; name one that can be read"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"variable {name}: file {file} is not UTF-8: write one line of text into it"
        ) from error


def _from_options(options: Mapping[Path_, Any]) -> Iterator[tuple[Path_, _Given]]:
    for path, value in options.items():
        yield path, _Given(value, f"option --{path[-1].replace('_', '-')}")


# What may be set


Declared: TypeAlias = Mapping[Path_, type[Any]]
"""The dataclass of each section, and of each provider's section."""


def _declared(offers: Offers) -> Declared:
    sections: dict[Path_, type[Any]] = {
        (section.name,): type(getattr(Settings(), section.name))
        for section in dataclasses.fields(Settings)
        if section.name != "of_providers"
    }
    of_providers: dict[Path_, type[Any]] = {
        (section, name): provider.settings
        for kind, section in SECTIONS.items()
        for name, provider in offers.of_kind(kind).items()
    }
    return {**sections, **of_providers}


def _types(settings: type[Any]) -> Mapping[str, Any]:
    hints = get_type_hints(settings, include_extras=True)
    return {each.name: hints[each.name] for each in dataclasses.fields(settings)}


def _known(path: Path_, found: _Given, declared: Declared) -> Path_:
    """The path itself. Raises where no such section or key exists."""
    section, key = path[:-1], path[-1]
    if path in declared:
        raise ConfigurationError(f"{found.origin}: [{'.'.join(path)}] is a section, {found.value!r} is not a table")
    if section not in declared:
        wrong = ".".join(section or path)
        cure = did_you_mean(wrong, [".".join(each) for each in declared])
        raise ConfigurationError(f"{found.origin}: section [{wrong}] does not exist; {cure}")
    keys = _types(declared[section])
    if key not in keys:
        cure = did_you_mean(key, [*keys, *(each[-1] for each in declared if each[:-1] == section)])
        raise ConfigurationError(f"{found.origin}: [{'.'.join(section)}] has no key {key!r}; {cure}")
    return path


def _checked(path: Path_, found: _Given, declared: Declared) -> Any:
    kind = _types(declared[path[:-1]])[path[-1]]
    value = found.value
    from_text = found.origin.startswith("variable")
    if from_text and get_origin(kind) is tuple:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, kind, strict=not from_text)
    except msgspec.ValidationError as error:
        shown = "***" if is_secret(kind) else repr(value)
        raise ConfigurationError(f"{found.origin}: {'.'.join(path)} can't be {shown}: {error}") from error


def is_secret(kind: Any) -> bool:
    """Whether a setting of this type is never shown."""
    return any((getattr(meta, "extra", None) or {}).get(SECRET) for meta in getattr(kind, "__metadata__", ()))


# What holds


def _built(declared: Declared, values: Mapping[Path_, Any]) -> Settings:
    made = {
        section: settings(**{path[-1]: value for path, value in values.items() if path[:-1] == section})
        for section, settings in declared.items()
    }
    own = {section[0]: each for section, each in made.items() if len(section) == 1}
    of_providers = {(section[0], section[1]): each for section, each in made.items() if len(section) == 2}
    return Settings(**own, of_providers=of_providers)


def _effective(declared: Declared, settings: Settings, given: Mapping[Path_, _Given]) -> Iterator[Effective]:
    for section, kind in declared.items():
        holder = getattr(settings, section[0]) if len(section) == 1 else settings.of_providers[section[0], section[1]]
        for key, type_ in _types(kind).items():
            path = (*section, key)
            origin = given[path].origin if path in given else "default"
            value = "***" if is_secret(type_) and getattr(holder, key) else getattr(holder, key)
            yield Effective(".".join(path), value, origin)
