"""Plugins are held to the rules when they are loaded: whoever breaks one is named, in one line, with the cure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.contracts import Classifier, Provider
from inquiry_svc.errors import ConfigurationError, PluginError
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.plugins import KINDS, Offers, build_manager, did_you_mean
from inquiry_svc.testing.providers import FunctionClassifier, Offering


class AsyncHook:
    @hookimpl
    async def register_classifiers(self) -> Iterable[Provider[Classifier]]:
        return []


class AsyncGenerator:
    @hookimpl
    async def register_classifiers(self) -> Any:
        yield []


class Misspelt:
    @hookimpl
    def register_clasifiers(self) -> Iterable[Provider[Classifier]]:
        return []


class TooManyArguments:
    @hookimpl
    def on_stored(self, event: object, request: object) -> None:
        """No such argument."""


class Wrapper:
    @hookimpl(wrapper=True)
    def register_classifiers(self) -> Any:
        return (yield)


class Raising:
    @hookimpl
    def register_classifiers(self) -> Iterable[Provider[Classifier]]:
        raise LookupError("no\nluck")


class RaisingLater:
    @hookimpl
    def register_classifiers(self) -> Any:
        yield 1 / 0


class OfferingSomethingElse:
    @hookimpl
    def register_classifiers(self) -> Any:
        return ["bert"]


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (AsyncHook, "register_classifiers is an async def; write a plain def"),
        (AsyncGenerator, "register_classifiers is an async def; write a plain def"),
        (Misspelt, "register_clasifiers"),
        (TooManyArguments, "request"),
        (Wrapper, "register_classifiers wraps the hook; implement it plainly"),
    ],
)
def test_a_plugin_that_breaks_the_rules_is_refused(plugin: Callable[[], object], told: str) -> None:
    with pytest.raises(PluginError, match=told) as refusal:
        build_manager([plugin()])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (Raising, "failed in register_classifiers: LookupError"),
        (RaisingLater, "failed in register_classifiers: ZeroDivisionError"),
        (OfferingSomethingElse, "offers 'bert' as a classifier; offer a Provider"),
    ],
)
def test_a_plugin_that_offers_no_providers_is_refused(plugin: Callable[[], object], told: str) -> None:
    with pytest.raises(PluginError, match=told):
        Offers(build_manager([plugin()]))


def test_a_misspelt_hook_is_told_the_right_name() -> None:
    with pytest.raises(PluginError, match="did you mean 'register_classifiers'"):
        build_manager([Misspelt()])


def test_two_plugins_that_offer_one_name_are_both_named() -> None:
    one, two = Offering(classifier=FunctionClassifier()), Offering(classifier=FunctionClassifier())
    with pytest.raises(PluginError, match=r"classifier 'given' is offered by two plugins.*uninstall one"):
        Offers(build_manager([one, two]))


def test_an_installed_plugin_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_plugin.py").write_text("raise LookupError('no\\nluck')\n")
    metadata = tmp_path / "broken_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[inquiry_svc]\nbroken = broken_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"plugin 'broken' \(broken_plugin\) can't be imported.*uninstall it"):
        build_manager()
    assert "broken_plugin" not in sys.modules


def test_every_kind_has_built_in_providers_found_through_entry_points() -> None:
    offers = Offers(build_manager())
    for kind in KINDS:
        assert offers.of_kind(kind), kind
    assert Offers(build_manager(entry_points=False)).all() == []


def test_a_name_that_nobody_offers_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="store 'sqllite' is not installed; did you mean 'sqlite'"):
        Offers(build_manager()).provider("store", "sqllite")


def test_the_cure_for_a_name_like_no_other_is_all_of_them() -> None:
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzz", []) == "known: none"
