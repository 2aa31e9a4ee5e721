"""The store `postgres` against a real server: the contract, and what a server can do to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from inquiry_svc.contracts import Host
from inquiry_svc.errors import ConfigurationError, StoreUnavailable
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.reading import ReadingContract
from inquiry_svc.testing.samples import sample_outcome
from inquiry_svc.testing.stores import DurableStoreContract, OpenStore
from inquiry_svc.upkeep import Schema
from inquiry_svc_plugins.stores.named_sql import read_migrations
from inquiry_svc_plugins.stores.postgres import (
    PostgresSettings,
    open_postgres,
    open_to_read,
    register_stores,
    schema,
)
from tests.servers.postgres import PostgresServer, postgres_server, postgres_standby

NUMBERS = itertools.count()
NEWEST = read_migrations("inquiry_svc_plugins.stores.postgres")[-1][0]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server(migrated=True) as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    with server.database(f"test_{next(NUMBERS)}") as url:
        yield url


def opener(url: str) -> OpenStore:
    return lambda: open_postgres(PostgresSettings(url), Host(Path(), Metrics()))


class TestPostgresStore(DurableStoreContract):
    @pytest.fixture
    def open_store(self, url: str) -> OpenStore:
        return opener(url)


def test_how_far_the_schema_is_can_be_asked_and_changes_nothing(server: PostgresServer, url: str) -> None:
    def asked() -> Schema:
        return schema(PostgresSettings(url), Host(Path(), Metrics()))

    database = url.rpartition("/")[2]
    assert asked() == Schema(NEWEST, NEWEST)
    server.sql("DELETE FROM schema_migrations", database)
    assert asked() == Schema(0, NEWEST)
    server.sql("DROP TABLE schema_migrations", database)
    assert asked() == Schema(0, NEWEST)
    with pytest.raises(ConfigurationError, match="can't be opened"):
        schema(PostgresSettings("postgresql://127.0.0.1:1/x"), Host(Path(), Metrics()))


class TestReadingPostgres(ReadingContract):
    @pytest.fixture
    def url(self, server: PostgresServer) -> Iterator[str]:
        with server.database(f"test_{next(NUMBERS)}", template="template0") as url:
            yield url

    @pytest.fixture
    def open_store(self, url: str) -> OpenStore:
        return opener(url)

    @pytest.fixture
    def open_to_read(self, url: str) -> OpenStore:
        return lambda: open_to_read(PostgresSettings(url), Host(Path(), Metrics()))


async def test_a_replica_can_be_read(server: PostgresServer, url: str) -> None:
    outcome = sample_outcome()
    async with opener(url)() as store:
        await store.save([outcome])
    with postgres_standby(server) as standby:
        copy = PostgresSettings(standby.url(url.rsplit("/", 1)[1]))
        async with open_to_read(copy, Host(Path(), Metrics())) as reading:
            assert await reading.get(outcome.inquiry.inquiry_id) == outcome
            with pytest.raises(StoreUnavailable):
                await reading.save([sample_outcome()])


def test_it_is_offered_as_postgres() -> None:
    assert [provider.name for provider in register_stores()] == ["postgres"]
