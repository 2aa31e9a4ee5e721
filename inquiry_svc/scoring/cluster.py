"""Chunks scored by the worker processes of a Dask cluster: of this machine, or of an existing scheduler.

Each worker opens the classifier once, as the configuration here says, and is refused when that gives another model. A
chunk whose worker dies is given to another; what comes back is in order, and byte for byte what one process would say.

Dask and not Ray: it is Python alone, its workers are plain processes, and a scheduler that a team has already is used
as it is.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import dask
import distributed
from distributed import Future
from distributed.security import Security
from uuid_utils import uuid4

from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc.inquiries import Model
from inquiry_svc.scoring.archives import Chunk
from inquiry_svc.scoring.lines import Scored, Scorer

Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[Scorer]]
"""Opens the classifier in whichever process it is called: it can be pickled."""

_WINDOW: Final = 64
"""Chunks that are on their way at once, at most 1 MiB each."""
_JOIN_LIMIT_S: Final = 30.0
_LEVEL: Final = "DASK_LOGGING__DISTRIBUTED"
"""What Dask's own log says of workers that start again is known by then as one line of ours."""


async def scored_by_cluster(
    chunks: Iterable[Chunk], opening: Opening, model: Model, *, workers: int, scheduler: str | None
) -> AsyncGenerator[tuple[Chunk, Scored]]:
    """In order. With a `scheduler` its workers are used, else `workers` processes of this machine.

    Raises `ConfigurationError` where no worker can open this model, `Unavailable` where a chunk ends every worker that
    takes it or the scheduler is lost.
    """
    waiting: deque[tuple[Chunk, Future[Scored]]] = deque()
    async with _client(workers, scheduler) as client, _opened(client, opening, model) as name:
        try:
            for chunk in chunks:
                if len(waiting) == _WINDOW:
                    yield await _next(waiting)
                waiting.append((chunk, client.submit(_score, name, chunk, pure=False)))
            while waiting:
                yield await _next(waiting)
        finally:
            with suppress(OSError):
                await client.cancel([future for _, future in waiting])


async def _next(waiting: deque[tuple[Chunk, Future[Scored]]]) -> tuple[Chunk, Scored]:
    chunk, future = waiting.popleft()
    try:
        return chunk, await future
    except distributed.KilledWorker as error:
        raise Unavailable(f"{chunk}: each worker that took them ended; score them alone to see why") from error
    except distributed.client.FutureCancelledError as error:
        raise Unavailable("the scheduler is gone; nothing was written") from error


@asynccontextmanager
async def _client(workers: int, scheduler: str | None) -> AsyncIterator[Any]:
    """Its client, whose types are those of one that does not wait for anything."""
    async with AsyncExitStack() as stack:
        if scheduler is None:
            stack.enter_context(dask.config.set({f"distributed.nanny.pre-spawn-environ.{_LEVEL}": "critical"}))
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,  # what matters of it is raised
                local_directory=stack.enter_context(TemporaryDirectory(prefix="inquiry-svc-")),
                security=Security.temporary(),  # else anybody on this machine could run code in it
                asynchronous=True,
            )
            own: Any = distributed.Client(await stack.enter_async_context(cluster), asynchronous=True)
            await stack.enter_async_context(own)
            try:
                yield own
            except Unavailable:
                with suppress(TimeoutError):  # a worker that is ended while it starts again says so at length
                    await own.wait_for_workers(workers, timeout=_JOIN_LIMIT_S)
                raise
            return
        try:
            client: Any = distributed.Client(scheduler, asynchronous=True, timeout=_JOIN_LIMIT_S)
            await stack.enter_async_context(client)
            await client.wait_for_workers(1, timeout=_JOIN_LIMIT_S)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the scheduler {scheduler} can't be used: {error}") from error
        yield client


@asynccontextmanager
async def _opened(client: Any, opening: Opening, model: Model) -> AsyncIterator[str]:
    """Every worker of now and of later has the classifier open, under this name."""
    name = f"inquiry-svc {uuid4()}"
    try:
        await client.register_plugin(_OpenScorer(name, opening, model))
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"a worker can't open the classifier: {error}; install there what is installed here"
        ) from error
    try:
        yield name
    finally:
        with suppress(OSError):  # a scheduler that is gone was told of
            await client.unregister_worker_plugin(name)


class _OpenScorer(distributed.WorkerPlugin):
    def __init__(self, name: str, opening: Opening, model: Model) -> None:
        self.name = name
        self._opening = opening
        self._model = model

    async def setup(self, worker: distributed.Worker) -> None:
        self._stack = AsyncExitStack()
        self.scorer = await self._stack.enter_async_context(self._opening())
        if self.scorer.model != self._model:
            await self._stack.aclose()
            raise ConfigurationError(
                f"worker {worker.address} has model {self.scorer.model.digest}, not {self._model.digest}: "
                "install the same release there, and put the same model into the same folder"
            )

    async def teardown(self, worker: distributed.Worker) -> None:
        await self._stack.aclose()


async def _score(name: str, chunk: Chunk) -> Scored:
    """In a worker, on its loop."""
    plugin: Any = distributed.get_worker().plugins[name]
    scored: Scored = await plugin.scorer.score(chunk)
    return scored
