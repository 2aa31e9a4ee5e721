"""What a store must do that can be opened to read alone (`Upkeep.open_to_read`), as tests to inherit.

class TestReadingMyStore(ReadingContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore: ...

    @pytest.fixture
    def open_to_read(self, tmp_path: Path) -> OpenStore: ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from inquiry_svc.contracts import Filters, Store
from inquiry_svc.errors import ConfigurationError, StoreUnavailable
from inquiry_svc.inquiries import Feedback, Outcome
from inquiry_svc.testing.samples import NOON, sample_outcome
from inquiry_svc.testing.stores import OpenStore

Write = Callable[[Store, Outcome], Awaitable[object]]

WRITES: dict[str, Write] = {
    "save": lambda store, outcome: store.save([sample_outcome()]),
    "feedback": lambda store, outcome: store.add_feedback(
        outcome.inquiry.inquiry_id, Feedback("sales", None, None, None, NOON)
    ),
    "resolve": lambda store, outcome: store.resolve(outcome.inquiry.inquiry_id, NOON),
    "erase": lambda store, outcome: store.erase([outcome.inquiry.inquiry_id]),
    "check": lambda store, outcome: store.check(),
}


class ReadingContract:
    """Override both fixtures: they open the same place, which is not there at first."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError("override the fixture `open_store`")

    @pytest.fixture
    def open_to_read(self) -> OpenStore:
        raise NotImplementedError("override the fixture `open_to_read`")

    async def test_nothing_is_made_where_there_is_nothing_to_read(self, open_to_read: OpenStore) -> None:
        for _ in range(2):
            with pytest.raises(ConfigurationError):
                async with open_to_read():
                    pass

    async def test_it_reads_what_is_stored_and_what_is_stored_meanwhile(
        self, open_store: OpenStore, open_to_read: OpenStore
    ) -> None:
        first, second = sample_outcome(), sample_outcome()
        async with open_store() as store:
            await store.save([first])
            async with open_to_read() as reading:
                assert await _stored(reading) == [first]
                await store.save([second])
                assert {each.inquiry.inquiry_id for each in await _stored(reading)} == {
                    first.inquiry.inquiry_id,
                    second.inquiry.inquiry_id,
                }
        async with open_to_read() as reading:
            assert len(await _stored(reading)) == 2

    @pytest.mark.parametrize("write", WRITES)
    async def test_every_write_is_refused_and_nothing_is_kept(
        self, open_store: OpenStore, open_to_read: OpenStore, write: str
    ) -> None:
        outcome = sample_outcome()
        async with open_store() as store:
            await store.save([outcome])
        async with open_to_read() as reading:
            with pytest.raises(StoreUnavailable):
                await WRITES[write](reading, outcome)
            assert await _stored(reading) == [outcome]


async def _stored(store: Store) -> list[Outcome]:
    return list(await store.list(Filters(), limit=100, after=None))
