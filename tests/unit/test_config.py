"""Configuration: each source overrides the one before, and whatever is wrong is told in one line with the cure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from inquiry_svc.config import Effective, load_settings
from inquiry_svc.contracts import Provider, Store
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.settings import Secret, Settings
from inquiry_svc.testing.providers import FunctionClassifier, Offering


@dataclass(frozen=True, slots=True)
class VaultSettings:
    password: Secret = ""
    retries: Annotated[int, Meta(ge=0)] = 3
    hosts: tuple[str, ...] = ("one",)


class Vault:
    @hookimpl
    def register_stores(self) -> Iterable[Provider[Store]]:
        def never(settings: VaultSettings, host: object) -> None:
            raise AssertionError("nothing is opened here")

        return [Provider("vault", never, VaultSettings)]  # type: ignore[arg-type]


OFFERS = Offers(build_manager([Vault(), Offering(classifier=FunctionClassifier())]))


def load(
    tmp_path: Path, toml: str = "", environ: Mapping[str, str] | None = None, **options: object
) -> tuple[Settings, dict[str, Effective]]:
    file = tmp_path / "service.toml"
    file.write_text(toml)
    given = {tuple(key.split("__")): value for key, value in options.items()}
    settings, effective = load_settings(OFFERS, file=file, environ=environ, options=given)
    return settings, {each.key: each for each in effective}


def test_nothing_given_gives_the_defaults(tmp_path: Path) -> None:
    settings, effective = load(tmp_path)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert {each.origin for each in effective.values()} == {"default"}


def test_options_override_variables_which_override_the_file(tmp_path: Path) -> None:
    toml = '[server]\nport = 1\nhost = "a"\n[store]\ntimeout_s = 2\n[store.vault]\nretries = 5\n'
    environ = {"INQUIRY_SERVER__PORT": "2", "INQUIRY_SERVER__HOST": "b", "PATH": "/bin"}
    settings, effective = load(tmp_path, toml, environ, server__port=3)
    assert (settings.server.port, settings.server.host, settings.store.timeout_s) == (3, "b", 2.0)
    assert settings.of_providers["store", "vault"] == VaultSettings(retries=5)
    assert effective["server.port"].origin == "option --port"
    assert effective["server.host"].origin == "variable INQUIRY_SERVER__HOST"
    assert (
        effective["store.timeout_s"].origin == effective["store.vault.retries"].origin == str(tmp_path / "service.toml")
    )


def test_a_variable_can_hold_a_list_and_numbers(tmp_path: Path) -> None:
    environ = {
        "INQUIRY_STORE__VAULT__HOSTS": "one, two,",
        "INQUIRY_STORE__TIMEOUT_S": "0.25",
        "INQUIRY_EXPORTERS__PROVIDERS": "",
    }
    settings, _ = load(tmp_path, environ=environ)
    assert settings.of_providers["store", "vault"].hosts == ("one", "two")
    assert settings.store.timeout_s == 0.25
    assert settings.exporters.providers == ()


def test_review_thresholds_are_one_number_or_a_table_by_category(tmp_path: Path) -> None:
    assert load(tmp_path)[0].review.below_confidence is None
    assert load(tmp_path, "[review]\nbelow_confidence = 0.7")[0].review.below_confidence == 0.7
    variable = {"INQUIRY_REVIEW__BELOW_CONFIDENCE": "0.8"}
    table = "[review.below_confidence]\nbilling = 0.7\nhr = 1"
    assert load(tmp_path, table)[0].review.below_confidence == {"billing": 0.7, "hr": 1.0}
    assert load(tmp_path, table, variable)[0].review.below_confidence == 0.8
    for wrong in ("tax = 0.7", "billing = 1.1", "billing = 'x'"):
        with pytest.raises(ConfigurationError, match=r"review\.below_confidence can't be"):
            load(tmp_path, f"[review.below_confidence]\n{wrong}")


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    _, effective = load(tmp_path, environ={"INQUIRY_STORE__VAULT__PASSWORD": "hunter2"})
    assert effective["store.vault.password"].value == "***"
    with pytest.raises(ConfigurationError) as refusal:
        load(tmp_path, "[store.vault]\npassword = 12345\n")
    assert "12345" not in str(refusal.value)


def test_a_secret_may_lie_in_a_file_that_a_variable_names(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    name = "INQUIRY_STORE__VAULT__PASSWORD_FILE"
    settings, effective = load(tmp_path, '[store.vault]\npassword = "old"', {name: str(secret)})
    assert settings.of_providers["store", "vault"].password == "hunter2"
    shown = effective["store.vault.password"]
    assert (shown.value, shown.origin) == ("***", f"variable {name}")


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_of_a_secret_that_cannot_be_read_is_named_with_its_variable(
    tmp_path: Path, content: bytes | None
) -> None:
    secret = tmp_path / "password"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"INQUIRY_STORE__VAULT__PASSWORD_FILE: file {secret}\b"):
        load(tmp_path, environ={"INQUIRY_STORE__VAULT__PASSWORD_FILE": str(secret)})


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    environ = {"INQUIRY_STORE__VAULT__PASSWORD": "a", "INQUIRY_STORE__VAULT__PASSWORD_FILE": "b"}
    with pytest.raises(ConfigurationError, match="both set"):
        load(tmp_path, environ=environ)


def test_what_is_no_secret_is_not_read_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no key 'retries_file'; did you mean 'retries'"):
        load(tmp_path, environ={"INQUIRY_STORE__VAULT__RETRIES_FILE": "b"})


def test_an_empty_section_sets_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "[server]\n[store.vault]\n")[0] == load(tmp_path)[0]


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[server]\nprot = 1", "service.toml: [server] has no key 'prot'; did you mean 'port'?"),
        ("[stroe]", "section [stroe] does not exist; did you mean 'store'?"),
        ("[store.vualt]", "[store] has no key 'vualt'; did you mean 'vault'?"),
        ("[store.vualt]\nretries = 1", "section [store.vualt] does not exist; did you mean 'store.vault'?"),
        ("[store.vault]\nretires = 1", "[store.vault] has no key 'retires'; did you mean 'retries'?"),
        ("[store.vault.retries]\nx = 1", "store.vault.retries can't be {'x': 1}: Expected `int`, got `object`"),
        ("[store]\nvault = 3", "[store.vault] is a section, 3 is not a table"),
        ("server = 3", "[server] is a section, 3 is not a table"),
        ("[[server]]\nport = 3", "[server] is a section"),
        ("[server]\nport = 'x'", "server.port can't be 'x': Expected `int`, got `str`"),
        ("[server]\nport = true", "server.port can't be True: Expected `int`, got `bool`"),
        ("[server]\nport = 65536", "server.port can't be 65536: Expected `int` <= 65535"),
        ("[store]\ntimeout_s = 0", "store.timeout_s can't be 0"),
        ("[store]\ntimeout_s = nan", "store.timeout_s can't be nan"),
        ("[store]\ntimeout_s = inf", "store.timeout_s can't be inf"),
        ("[store]\nprovider = 'vualt'", "store 'vualt' is not installed; did you mean 'vault'?"),
        ("[classifier]\nfallback = 'zzz'", "classifier 'zzz' is not installed; known: "),
        ("[exporters]\nproviders = ['zzz']", "exporter 'zzz' is not installed; known: "),
        (
            "[sources]\nproviders = ['redis_streams']",
            "source 'redis_streams' is not installed; did you mean 'redis_stream'?",
        ),
        ("[logging]\nlevel = 'loud'", "logging.level can't be 'loud'"),
        ("[server\n", "service.toml is not TOML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_cure(tmp_path: Path, toml: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)) as refusal:
        load(tmp_path, toml)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "INQUIRY_SERVER__PROT",
            "1",
            "variable INQUIRY_SERVER__PROT: [server] has no key 'prot'; did you mean 'port'?",
        ),
        ("INQUIRY_SERVER__PORT", "x", "variable INQUIRY_SERVER__PORT: server.port can't be 'x'"),
        ("INQUIRY_SERVER", "1", "[server] is a section, '1' is not a table"),
        ("INQUIRY_SEVRER__PORT", "1", "section [sevrer] does not exist; did you mean 'server'?"),
        ("INQUIRY_PORT", "1", "section [port] does not exist"),
        ("INQUIRY_", "1", "variable INQUIRY_: section [] does not exist"),
        ("INQUIRY_STORE__VAULT__RETRIES__X", "1", "section [store.vault.retries] does not exist"),
    ],
)
def test_what_is_wrong_in_a_variable_is_named_with_its_cure(tmp_path: Path, name: str, value: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        load(tmp_path, environ={name: value})


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "service.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=re.escape(str(file))):
        load_settings(OFFERS, file=file)
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load_settings(OFFERS, file=tmp_path)


def refusal_of(**sources: Any) -> str | None:
    try:
        load_settings(OFFERS, **sources)
    except ConfigurationError as refusal:
        return str(refusal)
    return None


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
names = st.lists(
    st.sampled_from(["server", "store", "vault", "port", "retries", "provider", "", "x"]), min_size=1, max_size=5
)


@given(path=names, value=nested)
def test_whatever_is_given_is_taken_or_refused_in_one_line(path: list[str], value: object) -> None:
    assert "\n" not in (refusal_of(options={tuple(path): value}) or "")


@given(path=names, value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8))
def test_whatever_the_environment_holds_is_taken_or_refused_in_one_line(path: list[str], value: str) -> None:
    assert "\n" not in (refusal_of(environ={"INQUIRY_" + "__".join(path).upper(): value}) or "")
