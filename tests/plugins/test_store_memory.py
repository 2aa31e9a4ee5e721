"""The store `memory` keeps what every store promises, short of durability."""

from __future__ import annotations

import pytest

from inquiry_svc.contracts import Store
from inquiry_svc.testing.stores import StoreContract
from inquiry_svc_plugins.stores.memory import MemoryStore, register_stores


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


def test_it_is_offered_as_memory() -> None:
    assert [provider.name for provider in register_stores()] == ["memory"]
