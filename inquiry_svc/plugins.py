"""The typed doorway to pluggy: load the plugins, hold them to the rules, catalogue what they offer.

There is no module-level manager: whoever needs one builds it. Built-in plugins come through the same entry-point group
as anybody else's.
"""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import pluggy

from inquiry_svc import hookspecs, recording
from inquiry_svc.contracts import Provider
from inquiry_svc.errors import ConfigurationError, PluginError

KINDS: Final[Mapping[str, str]] = {
    "classifier": "register_classifiers",
    "router": "register_routers",
    "cache": "register_caches",
    "store": "register_stores",
    "exporter": "register_exporters",
    "source": "register_sources",
    "notifier": "register_notifiers",
    "tracer": "register_tracers",
}
"""Each kind of provider and the hook that offers it."""


def build_manager(plugins: Iterable[object] = (), *, entry_points: bool = True) -> pluggy.PluginManager:
    """A manager with the core's own watcher, the installed plugins (unless `entry_points` is false) and `plugins`.

    Raises `PluginError` when a plugin can't be loaded or breaks the rules of `hookspecs`.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT_NAME)
    manager.add_hookspecs(hookspecs)
    manager.register(recording, name="recording")
    if entry_points:
        for entry_point in importlib.metadata.entry_points(group=hookspecs.PROJECT_NAME):
            _register(manager, _loaded(entry_point), entry_point.name)
    for plugin in plugins:
        _register(manager, plugin, None)
    return manager


def _loaded(entry_point: importlib.metadata.EntryPoint) -> object:
    try:
        return entry_point.load()
    except Exception as error:
        raise PluginError(
            f"plugin {entry_point.name!r} ({entry_point.value}) can't be imported: {_in_one_line(error)}; "
            "repair or uninstall it"
        ) from error


def _register(manager: pluggy.PluginManager, plugin: object, name: str | None) -> None:
    try:
        registered = manager.register(plugin, name=name)
    except (ValueError, pluggy.PluginValidationError) as error:
        raise PluginError(f"plugin {name or plugin!r} is refused: {_in_one_line(error)}") from error
    for hook in manager.get_hookcallers(plugin) or ():
        for found in hook.get_hookimpls():
            if found.plugin is plugin:
                _refuse_what_breaks_the_rules(found, f"plugin {registered!r}: {hook.name}")
        if not hook.has_spec():
            known = [name for name, value in vars(hookspecs).items() if hasattr(value, "inquiry_svc_spec")]
            raise PluginError(
                f"plugin {registered!r}: there is no hook {hook.name!r}; {did_you_mean(hook.name, known)}"
            )


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _refuse_what_breaks_the_rules(implementation: pluggy.HookImpl, where: str) -> None:
    function = implementation.function
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(f"{where} is an async def; write a plain def that hands over objects (they may be async)")
    if implementation.hookwrapper or implementation.wrapper:
        raise PluginError(f"{where} wraps the hook; implement it plainly, the service calls each plugin by itself")


def asked(manager: pluggy.PluginManager, hook: str, **offered: Any) -> Iterator[tuple[str, Any]]:
    """Each plugin that implements this hook of the start, with what it gives; those that give None are left out.

    The first registered is asked first. Raises `PluginError` that names the plugin when one raises.
    """
    for implementation in reversed(getattr(manager.hook, hook).get_hookimpls()):
        wanted = {name: offered[name] for name in implementation.argnames}
        try:
            given: Any = implementation.function(**wanted)
            if isinstance(given, Iterator):
                given = list(given)
        except ConfigurationError:
            raise
        except Exception as error:
            raise PluginError(
                f"plugin {implementation.plugin_name!r} failed in {hook}: {_in_one_line(error)}; repair or uninstall it"
            ) from error
        if given is not None:
            yield implementation.plugin_name, given


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider and the plugin that offers it."""

    kind: str
    provider: Provider[Any]
    plugin: str


class Offers:
    """Every provider found, by kind and name. Raises `PluginError` where two share both."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._offers: dict[tuple[str, str], Offer] = {}
        for kind, hook in KINDS.items():
            for plugin, providers in asked(manager, hook):
                for provider in providers:
                    self._add(Offer(kind, provider, plugin))

    def _add(self, offer: Offer) -> None:
        if not isinstance(offer.provider, Provider):
            raise PluginError(f"plugin {offer.plugin!r} offers {offer.provider!r} as a {offer.kind}; offer a Provider")
        other = self._offers.setdefault((offer.kind, offer.provider.name), offer)
        if other is not offer:
            raise PluginError(
                f"{offer.kind} {offer.provider.name!r} is offered by two plugins, {other.plugin!r} and "
                f"{offer.plugin!r}; uninstall one of them"
            )

    def all(self) -> Sequence[Offer]:
        return [self._offers[key] for key in sorted(self._offers)]

    def of_kind(self, kind: str) -> Mapping[str, Provider[Any]]:
        return {name: offer.provider for (found, name), offer in self._offers.items() if found == kind}

    def provider(self, kind: str, name: str) -> Provider[Any]:
        """Raises `ConfigurationError` with the nearest name when there is no such provider."""
        providers = self.of_kind(kind)
        if name not in providers:
            raise ConfigurationError(f"{kind} {name!r} is not installed; {did_you_mean(name, providers)}")
        return providers[name]


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """The cure for a misspelt name: the nearest one, or all of them."""
    known = sorted(known)
    near = get_close_matches(wrong, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
