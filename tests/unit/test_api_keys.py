"""Keys are found by what is presented alone, kept as hashes, and read again when their file changes."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from inquiry_svc.api_keys import SCOPES, ApiKey, KeyRing, KeysInUse, has_expired, make_key, read_keys
from inquiry_svc.catalogue import API_KEY_READS, OWN_METRICS
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.metrics import Metrics
from tests.api_keys import written_keys

HASH = "sha256:" + "ab" * 32
LIMIT_S = 10


def test_a_key_is_found_by_itself_alone() -> None:
    made = [make_key(f"team-{number}", ["submit"]) for number in range(20)]
    ring = KeyRing(kept for _, kept in made)
    for presented, kept in made:
        assert ring.find(presented) is kept


def test_nothing_that_differs_in_one_place_is_a_key() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    presented, kept = make_key("website", ["submit"])
    ring = KeyRing([kept])
    for place in range(len(presented)):
        other = rng.choice([each for each in "0123456789abcdefinqX_ " if each != presented[place]])
        assert ring.find(presented[:place] + other + presented[place + 1 :]) is None
        assert ring.find(presented[:place]) is None
        assert ring.find(presented[: place + 1] + presented[place:]) is None


@pytest.mark.parametrize(
    "presented",
    ["", "inq_", "x", "inq_\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9_", "\udcff" * 80, "a" * 100_000],
)
def test_what_is_no_key_at_all_is_not_found(presented: str) -> None:
    assert KeyRing([make_key("website", ["submit"])[1]]).find(presented) is None


def test_the_secret_of_one_key_does_not_fit_the_id_of_another() -> None:
    (one, first), (two, second) = make_key("one", ["submit"]), make_key("two", ["admin"])
    assert KeyRing([first, second]).find(two[:13] + one[13:]) is None


def test_nobody_can_call_with_what_is_kept() -> None:
    presented, kept = make_key("website", ["submit"])
    ring = KeyRing([kept])
    for each in (
        kept.digest.hex(),
        f"sha256:{kept.digest.hex()}",
        f"inq_{kept.key_id}_{kept.digest.hex()}",
        kept.line(),
    ):
        assert ring.find(each) is None
    assert presented[13:] not in kept.line()


def test_two_keys_are_never_alike() -> None:
    made = {make_key("website", ["submit"])[0] for _ in range(1000)}
    assert len(made) == 1000
    assert {len(each) for each in made} == {77}


def test_admin_may_do_all_and_nobody_else_more_than_they_were_given() -> None:
    for mine in SCOPES:
        key = make_key("x", [mine])[1]
        assert {scope for scope in SCOPES if key.may(scope)} == (set(SCOPES) if mine == "admin" else {mine})


def test_a_line_says_all_that_is_kept(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    made = [
        make_key("website", ["submit"])[1],
        make_key("desk", ["review", "read"], today)[1],
        make_key("desk", ["admin"], today - timedelta(days=1))[1],
    ]
    file = tmp_path / "keys"
    file.write_text("# ours\n\n" + "".join(f"  {key.line()}   # since today\n" for key in made))
    found = list(read_keys(file).by_id.values())
    assert found == made
    assert [has_expired(key) for key in found] == [False, False, True]
    assert [key.last_day for key in found] == [None, today, today - timedelta(days=1)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("website submit 3f9a1c2e", "it has 3 fields"),
        (f"website submit,write 3f9a1c2e {HASH}", "the second field is no list of scopes"),
        (f"website , 3f9a1c2e {HASH}", "the second field is no list of scopes"),
        (f"website submit 3F9A1C2E {HASH}", "the third field is no id"),
        ("website submit 3f9a1c2e sha256:abc", "the fourth field is no sha256:"),
        (f"website submit 3f9a1c2e {HASH} soon", "the fifth field is no day"),
        (f"website submit 3f9a1c2e {HASH} 9999-12-31", ""),
        (f"we/bsite submit 3f9a1c2e {HASH}", "the first field is no name"),
        (f"inq_3f9a1c2e_{'ab' * 32} submit 3f9a1c2e {HASH}", "the first field is no name"),
        (f"a submit 3f9a1c2e {HASH}\nb submit 3f9a1c2e {HASH}", "line 2: this id stands there twice"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_never_quoted(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "keys"
    file.write_text(line)
    if not told:
        assert len(read_keys(file).by_id) == 1
        return
    with pytest.raises(ConfigurationError) as error:
        read_keys(file)
    assert told in str(error.value)
    assert "ab" * 32 not in str(error.value)


def test_a_start_without_any_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# none yet\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("empty", "bytes", "nowhere"):
        with pytest.raises(ConfigurationError, match=f"API keys .*{name}"):
            KeysInUse(tmp_path / name, Metrics(OWN_METRICS))


async def until_found(keys: KeysInUse, presented: str, *, wanted: bool) -> None:
    async with asyncio.timeout(LIMIT_S):
        while (keys.ring.find(presented) is not None) is not wanted:  # noqa: ASYNC110 (a file has no event)
            await asyncio.sleep(0.01)


async def test_a_changed_file_is_read_while_running_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file, metrics = tmp_path / "keys", Metrics(OWN_METRICS)
    old = written_keys(file, {"website": ("submit",)})["website"]
    keys = KeysInUse(file, metrics)
    failed = metrics.series(API_KEY_READS, result="failed")
    async with keys.kept_current():
        new = written_keys(file, {"website": ("submit",)})["website"]
        await until_found(keys, new, wanted=True)
        assert keys.ring.find(old), "both are valid while one is replaced by the other"
        before = file.read_text()
        file.write_text("nonsense\n")
        async with asyncio.timeout(LIMIT_S):
            while failed.value == 0:  # noqa: ASYNC110 (a file has no event)
                await asyncio.sleep(0.01)
        assert keys.ring.find(old)
        file.unlink()
        file.write_text(before.splitlines()[1])
        await until_found(keys, old, wanted=False)
        assert keys.ring.find(new)
        file.write_text("")
        await until_found(keys, new, wanted=False)


async def test_a_secret_of_kubernetes_is_read_anew_when_its_link_moves(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = (written_keys(tmp_path / name / "api-keys", {name: ("read",)})[name] for name in ("one", "two"))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "api-keys").symlink_to("..data/api-keys")
    keys = KeysInUse(tmp_path / "api-keys", Metrics(OWN_METRICS))
    assert keys.ring.find(first)
    async with keys.kept_current():
        (tmp_path / "..data_tmp").symlink_to("two")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")  # as the kubelet does it
        await until_found(keys, second, wanted=True)
    assert keys.ring.find(first) is None


def test_the_last_day_is_the_whole_day_in_utc() -> None:
    key = make_key("x", ["read"], date(2027, 1, 31))[1]
    assert datetime.fromtimestamp(key.expires_at, UTC) == datetime(2027, 2, 1, tzinfo=UTC)
    assert isinstance(key, ApiKey)
