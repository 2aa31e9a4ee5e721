"""What the registry says is opened and swapped in; what can't be is refused, and who was there serves on."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inquiry_svc.catalogue import MODEL_INFO, MODEL_SWAPS, OWN_METRICS
from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc.giving_way import Pauses, go_on
from inquiry_svc.inquiries import Text
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.registry import Registry
from inquiry_svc.models.swapping import Swapper, swapping
from tests.model_folders import FILE, FolderModels, no_collection, taken_in

WHO: dict[str, Any] = {"who": "ana", "why": "", "figures": {}}
TEXT = Text("", "Where is my parcel?")


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.plugin = FolderModels()
        self.registry = Registry(tmp_path)
        self.metrics = Metrics(OWN_METRICS)
        self._data_dir = tmp_path

    @asynccontextmanager
    async def swapping(self) -> AsyncIterator[Swapper]:
        opener = self.plugin.opener(self._data_dir, self.metrics)
        names = self.plugin.names(self._data_dir)
        async with swapping(names, opener, self.metrics, canary_share=0.25) as swapper:
            yield swapper

    def swaps(self, result: str) -> float:
        return self.metrics.series(MODEL_SWAPS, result=result).value

    def known_digests(self) -> set[str]:
        [family] = [family for family in self.metrics.snapshot() if family.metric == MODEL_INFO]
        return {sha for _, _, sha, _ in family.values}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def says(swapper: Swapper) -> str:
    """What the champion finds in any text."""
    (verdict,) = await swapper.open_models.line_up.champion.classify([TEXT])
    return verdict.category.label


def have_passed(minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    later_s = time.monotonic() + 60 * minutes
    monkeypatch.setattr("inquiry_svc.models.swapping.time", SimpleNamespace(monotonic=lambda: later_s))


async def test_the_built_in_model_is_the_champion_until_another_is_promoted(bench: Bench) -> None:
    async with bench.swapping() as swapper:
        assert await says(swapper) == "billing"
        built_in = swapper.open_models.line_up.champion.model.digest
        sales = taken_in(bench.registry, "sales")
        bench.registry.promote(sales, "champion", **WHO)
        assert await says(swapper) == "billing"
        await swapper.follow()
        assert await says(swapper) == "sales"
        assert bench.known_digests() == {sales.digest}
        bench.registry.roll_back("champion", who="ana", why="")
        await swapper.follow()
        assert await says(swapper) == "billing"
        assert bench.known_digests() == {built_in}
        await swapper.check()
    assert bench.plugin.closed == [built_in, sales.digest], "each was opened once"


async def test_what_is_promoted_serves_after_a_restart(bench: Bench) -> None:
    bench.registry.promote(taken_in(bench.registry, "sales"), "champion", **WHO)
    bench.registry.promote(taken_in(bench.registry, "legal"), "shadow", **WHO)
    async with bench.swapping() as swapper:
        assert await says(swapper) == "sales"
        assert swapper.open_models.line_up.shadow is not None
        assert bench.plugin.open_now == 2, "the built-in model is closed again"


async def test_what_has_not_changed_is_not_opened_again(bench: Bench) -> None:
    sales, legal = taken_in(bench.registry, "sales"), taken_in(bench.registry, "legal")
    async with bench.swapping() as swapper:
        bench.registry.promote(sales, "challenger", **WHO)
        await swapper.follow()
        challenger = swapper.open_models.line_up.challenger
        bench.registry.promote(legal, "shadow", **WHO)
        bench.registry.promote(sales, "champion", **WHO)
        await swapper.follow()
        await swapper.follow()
        line_up = swapper.open_models.line_up
        assert (line_up.champion, line_up.challenger) == (challenger, None)
        assert line_up.canary_share == 0.25
        assert swapper.challenger is None
    assert bench.swaps("done") == 2


async def test_a_call_in_flight_ends_on_the_model_that_it_began_with_which_is_closed_then(bench: Bench) -> None:
    waiting = taken_in(bench.registry, "legal", "wait")
    async with bench.swapping() as swapper:
        [built_in] = bench.plugin.opened
        del built_in
        bench.registry.promote(waiting, "challenger", **WHO)
        following = asyncio.create_task(swapper.follow())
        async with asyncio.timeout(20):
            while len(bench.plugin.opened) < 2:  # noqa: ASYNC110 (it is opened and asked by another task)
                await asyncio.sleep(0.001)
        slow = bench.plugin.opened[1]
        assert swapper.challenger is None, "who is being tried answers nobody"
        slow.may_answer.set()
        await following
        slow.may_answer.clear()
        slow.asked.clear()

        async def ask() -> str:
            with swapper.open_models.held() as line_up:
                assert line_up.challenger is not None
                (verdict,) = await line_up.challenger.classify([TEXT])
                return verdict.category.label

        in_flight = asyncio.create_task(ask())
        await slow.asked.wait()
        bench.registry.roll_back("challenger", who="ana", why="")
        swap = asyncio.create_task(swapper.follow())
        async with asyncio.timeout(20):
            while swapper.open_models.line_up.challenger is not None:  # noqa: ASYNC110 (as above)
                await asyncio.sleep(0.001)
        assert await says(swapper) == "billing"
        await swap
        assert waiting.digest not in bench.plugin.closed, "it is asked yet"
        slow.may_answer.set()
        assert await in_flight == "legal"
        await swapper.closed()
        assert waiting.digest in bench.plugin.closed


async def test_a_rollback_waits_for_nobody_who_still_asks_an_older_model_and_closes_it_once_nobody_does(
    bench: Bench,
) -> None:
    sales, legal, hr = (taken_in(bench.registry, category) for category in ("sales", "legal", "hr"))
    async with bench.swapping() as swapper:
        bench.registry.promote(sales, "champion", **WHO)
        await swapper.follow()
        bench.registry.promote(hr, "shadow", **WHO)
        await swapper.follow()
        with swapper.open_models.held() as asking:
            async with asyncio.timeout(20):
                bench.registry.promote(legal, "champion", **WHO)
                await swapper.follow()
                assert await says(swapper) == "legal"
                bench.registry.roll_back("champion", who="ana", why="")
                await swapper.follow()
                assert await says(swapper) == "sales"
                bench.registry.roll_back("shadow", who="ana", why="")
                await swapper.follow()
            for _ in range(20):  # in which a model would be closed
                await asyncio.sleep(0)
            assert [each.model.digest for each in asking.models] == [sales.digest, hr.digest]
            assert not bench.plugin.closed, "the one who asks may ask them yet"
        await swapper.closed()
        assert hr.digest in bench.plugin.closed
        assert bench.plugin.open_now == 2, "the champion and the one before"


async def test_a_stop_closes_what_somebody_still_holds(bench: Bench) -> None:
    sales, legal = taken_in(bench.registry, "sales"), taken_in(bench.registry, "legal")
    async with asyncio.timeout(20), bench.swapping() as swapper:
        bench.registry.promote(sales, "challenger", **WHO)
        await swapper.follow()
        held = swapper.open_models.held()
        held.__enter__()
        for challenger in (legal, sales):
            bench.registry.promote(challenger, "challenger", **WHO)
            await swapper.follow()
        bench.registry.roll_back("challenger", who="ana", why="")
        await swapper.follow()
    assert bench.plugin.open_now == 0
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("model")]


async def test_a_model_that_is_closed_is_freed_at_once(bench: Bench) -> None:
    async with bench.swapping() as swapper, no_collection():
        for category in ("sales", "legal", "hr"):
            bench.registry.promote(taken_in(bench.registry, category), "champion", **WHO)
            await swapper.follow()
            await swapper.closed()
            assert len(bench.plugin.opened) == 2, "something refers to more than the champion and the one before"


async def test_whoever_has_followed_has_what_the_registry_says_though_another_began(bench: Bench) -> None:
    async with bench.swapping() as swapper:
        bench.registry.promote(taken_in(bench.registry, "sales"), "champion", **WHO)

        async def followed() -> str:
            await swapper.follow()
            return await says(swapper)

        assert await asyncio.gather(*(followed() for _ in range(4))) == ["sales"] * 4
        assert bench.plugin.open_now == 2
    assert bench.plugin.open_now == 0


async def test_only_what_is_opened_while_others_are_served_is_opened_with_pauses(bench: Bench) -> None:
    bench.registry.promote(taken_in(bench.registry, "sales"), "champion", **WHO)
    async with bench.swapping() as swapper:
        assert bench.plugin.pauses == [go_on, go_on], "a start takes no pauses"
        bench.registry.promote(taken_in(bench.registry, "legal"), "champion", **WHO)
        await swapper.follow()
    assert isinstance(bench.plugin.pauses[2], Pauses)


async def test_going_back_to_the_champion_before_opens_nothing_and_needs_no_file(bench: Bench) -> None:
    sales, legal = taken_in(bench.registry, "sales"), taken_in(bench.registry, "legal")
    async with bench.swapping() as swapper, no_collection():
        for champion in (sales, legal):
            bench.registry.promote(champion, "champion", **WHO)
            await swapper.follow()
        await swapper.closed()
        before = set(map(id, bench.plugin.opened))
        (bench.registry.folder(sales) / FILE).unlink()
        for category, champion in [("sales", sales), ("legal", legal)] * 50:
            bench.registry.promote(champion, "champion", **WHO)
            await swapper.follow()
            assert await says(swapper) == category
            assert bench.known_digests() == {champion.digest}
        assert set(map(id, bench.plugin.opened)) == before
        await swapper.check()


async def test_a_model_that_cannot_be_opened_is_refused_and_the_one_before_serves_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    sales, legal = taken_in(bench.registry, "sales"), taken_in(bench.registry, "legal")
    whole = (bench.registry.folder(legal) / FILE).read_bytes()
    damages = {
        "truncated": whole[:10],
        "empty": b"",
        "another's": (bench.registry.folder(sales) / FILE).read_bytes(),
        "raises": b'{"category": "legal", "does": "raise"}',
        "no label": b'{"category": "spam", "does": "answer"}',
    }
    async with bench.swapping() as swapper:
        bench.registry.promote(sales, "champion", **WHO)
        await swapper.follow()
        for refused, damage in enumerate(damages.values(), start=1):
            (bench.registry.folder(legal) / FILE).write_bytes(damage)
            bench.registry.promote(legal, "champion", **WHO)
            await swapper.follow()
            await swapper.follow()
            assert await says(swapper) == "sales"
            assert bench.swaps("refused") == refused
            with pytest.raises(Unavailable, match="champion: "):
                await swapper.check()
            assert f"model {legal} is refused as the champion" in caplog.records[-1].message
            assert bench.plugin.open_now == 2, "the champion and the one before"
            bench.registry.roll_back("champion", who="ana", why="")
            await swapper.follow()
            await swapper.check()
        (bench.registry.folder(legal) / FILE).write_bytes(whole)
        bench.registry.promote(legal, "champion", **WHO)
        await swapper.follow()
        assert await says(swapper) == "legal"


async def test_what_was_refused_is_taken_up_a_minute_after_it_was_mended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales, legal = taken_in(bench.registry, "sales"), taken_in(bench.registry, "legal")
    file = bench.registry.folder(legal) / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:10])
    async with bench.swapping() as swapper:
        bench.registry.promote(sales, "challenger", **WHO)
        bench.registry.promote(legal, "champion", **WHO)
        await swapper.follow()
        line_up = swapper.open_models.line_up
        have_passed(1, monkeypatch)
        await swapper.follow()
        await swapper.follow()
        assert (bench.swaps("refused"), bench.swaps("done")) == (2, 1), "once a minute"
        assert swapper.open_models.line_up is line_up
        file.write_bytes(whole)
        have_passed(2, monkeypatch)
        await swapper.follow()
        assert await says(swapper) == "legal"
        await swapper.check()
        assert (bench.swaps("refused"), bench.swaps("done")) == (2, 2)


async def test_a_registry_that_could_not_be_read_is_read_again_a_minute_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with bench.swapping() as swapper:
        bench.registry.promote(taken_in(bench.registry, "sales"), "champion", **WHO)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", refuse)
            await swapper.follow()
        with pytest.raises(Unavailable, match="Too many open files"):
            await swapper.check()
        await swapper.follow()
        assert await says(swapper) == "billing"
        have_passed(1, monkeypatch)
        await swapper.follow()
        assert await says(swapper) == "sales"
        await swapper.check()


async def test_a_model_that_takes_too_long_is_refused_and_health_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inquiry_svc.models.swapping._OPEN_LIMIT_S", 0.05)
    async with bench.swapping() as swapper:
        waiting = taken_in(bench.registry, "sales", "wait")
        bench.registry.promote(waiting, "champion", **WHO)
        await swapper.follow()
        with pytest.raises(Unavailable, match=rf"champion: {waiting} is not open within 0\.05 s"):
            await swapper.check()
        tries = []
        for minutes in (2, 11):  # it keeps all else from being followed meanwhile
            have_passed(minutes, monkeypatch)
            await swapper.follow()
            tries.append(bench.swaps("refused"))
        assert tries == [1, 2]


async def test_a_service_whose_champion_is_broken_starts_with_the_built_in_model_and_says_so(bench: Bench) -> None:
    sales = taken_in(bench.registry, "sales")
    bench.registry.promote(sales, "champion", **WHO)
    bench.registry.promote(taken_in(bench.registry, "legal"), "challenger", **WHO)
    (bench.registry.folder(sales) / FILE).unlink()
    async with bench.swapping() as swapper:
        assert await says(swapper) == "billing"
        assert swapper.challenger is not None, "the others are as the registry says"
        with pytest.raises(Unavailable, match=r"champion: .*model\.json is broken"):
            await swapper.check()


async def test_a_challenger_that_is_refused_leaves_the_champion_alone(bench: Bench) -> None:
    async with bench.swapping() as swapper:
        bench.registry.promote(taken_in(bench.registry, "sales", "raise"), "challenger", **WHO)
        await swapper.follow()
        assert swapper.challenger is None
        assert await says(swapper) == "billing"
        with pytest.raises(Unavailable, match="challenger: as the model says"):
            await swapper.check()


async def test_a_registry_that_is_broken_is_told_of_and_taken_up_when_it_is_mended(
    bench: Bench, tmp_path: Path
) -> None:
    sales = taken_in(bench.registry, "sales")
    file = tmp_path / "models/aliases.json"
    async with bench.swapping() as swapper:
        bench.registry.promote(sales, "champion", **WHO)
        whole = file.read_bytes()
        await swapper.follow()
        file.write_bytes(b"{")
        await swapper.follow()
        assert await says(swapper) == "sales"
        with pytest.raises(Unavailable, match="is broken"):
            await swapper.check()
        file.write_bytes(whole)
        await swapper.follow()
        await swapper.check()
        file.unlink()
        await swapper.follow()
        assert await says(swapper) == "billing"


async def test_a_built_in_model_that_cannot_be_opened_ends_the_start(bench: Bench, tmp_path: Path) -> None:
    opener = bench.plugin.opener(tmp_path, bench.metrics)
    names = bench.plugin.names(tmp_path)
    object.__setattr__(names, "built_in", "nothing")
    with pytest.raises(ConfigurationError, match="classifier 'nothing' is not installed"):
        async with swapping(names, opener, bench.metrics, canary_share=0.1):
            pass


async def test_a_stop_while_a_model_is_being_opened_leaves_nothing_open(bench: Bench) -> None:
    async with bench.swapping() as swapper:
        bench.registry.promote(taken_in(bench.registry, "sales", "wait"), "champion", **WHO)
        following = asyncio.create_task(swapper.follow())
        async with asyncio.timeout(20):
            while len(bench.plugin.opened) < 2:  # noqa: ASYNC110 (it is opened by another task)
                await asyncio.sleep(0.001)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("model ")]
