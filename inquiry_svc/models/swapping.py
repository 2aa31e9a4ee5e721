"""Keeps open what the registry says, and swaps it while the service serves: in each process by itself, within 2 s.

A model is opened, and tried, before it takes anybody's place; one that can't be opened takes nobody's, and who was
there serves on. It is tried again once a minute: somebody may have mended it, or the machine was too busy. Each open
model has a task of its own that opened it and will close it, when nobody asks it any more; no swap waits for that. The
champion before stays open, so that going back to it is one assignment, whatever has become of its files.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from inquiry_svc.catalogue import MODEL_INFO, MODEL_SWAPS
from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc.inquiries import Model, Text
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.named import NamedModel, Names, open_model
from inquiry_svc.models.open_models import LineUp, OpenModel, OpenModels
from inquiry_svc.models.registry import ALIASES, Alias, Aliases, Reference, Stamp
from inquiry_svc.opening import Opener
from inquiry_svc.recording import begin_with
from inquiry_svc.repeating import repeated
from inquiry_svc.tracing import Tracer

logger = logging.getLogger(__name__)

_PERIOD_S: Final = 1.0
_AGAIN_AFTER_S: Final = 60.0
"""What was refused is tried again."""
_LATE_AGAIN_AFTER_S: Final = 600.0
"""Where it took too long to open: whatever else is to be followed waits meanwhile."""
_OPEN_LIMIT_S: Final = 60.0
_CLOSE_LIMIT_S: Final = 10.0
_PROBE: Final = Text("", "Is the model whole?")


@dataclass(frozen=True, slots=True)
class _Kept:
    model: OpenModel
    task: asyncio.Task[None]
    closing: asyncio.Event


class Swapper:
    """Made by `swapping`. `open_models` is for those who ask models."""

    open_models: OpenModels

    def __init__(
        self, names: Names, opener: Opener, metrics: Metrics, tracer: Tracer | None, *, canary_share: float
    ) -> None:
        self.aliases = Aliases()
        """As followed last."""
        self._names = names
        self._opener = opener
        self._metrics = metrics
        self._tracer = tracer
        self._canary_share = canary_share
        self._swaps = {result: metrics.series(MODEL_SWAPS, result=result) for result in ("done", "refused")}
        self._kept: dict[NamedModel, _Kept] = {}
        self._following = asyncio.Lock()
        self._leaving: list[_Kept] = []
        """Open yet, since somebody may ask them."""
        self._closing: set[asyncio.Task[None]] = set()
        self._in_turn = asyncio.Lock()
        self._stamp: Stamp = None
        self._serving = False
        self._shown: Set[Model] = frozenset()
        """Those that the metrics name."""
        self._troubles: Mapping[str, str] = {}
        """Why it is not as the registry says, by alias."""
        self._again_at = 0.0
        self._again_after_s = _AGAIN_AFTER_S

    @property
    def challenger(self) -> Reference | None:
        """Where it is open."""
        return self.aliases.challenger if self.open_models.line_up.challenger is not None else None

    async def check(self) -> None:
        """Raise unless what is open is what the registry says."""
        if self._troubles:
            told = "; ".join(f"{alias}: {error}" for alias, error in self._troubles.items())
            raise Unavailable(f"not as the registry of models says: {told}")

    async def begin(self) -> None:
        """Open the built-in model, which serves where the champion is refused, then what the registry says.

        Raises `ConfigurationError` where the built-in model can't be opened.
        """
        self.open_models = OpenModels(LineUp(await self._open(self._names.of(None))))
        self._show(self.open_models.line_up.models)
        await self.follow()
        await self.closed()
        self._serving = True

    async def follow(self) -> None:
        """Take up what has changed in the registry, and now and then what was refused.

        Who calls it while it is being followed waits for that first.
        """
        async with self._following:
            await self._follow()

    async def closed(self) -> None:
        """Wait until no model is open that is for nothing now."""
        while self._closing:
            await asyncio.wait(self._closing)

    async def _follow(self) -> None:
        stamp = await asyncio.to_thread(self._names.registry.stamp)
        if stamp == self._stamp and (not self._troubles or time.monotonic() < self._again_at):
            return
        self._stamp, self._again_after_s = stamp, _AGAIN_AFTER_S
        try:
            aliases = await asyncio.to_thread(self._names.registry.aliases)
        except ConfigurationError as error:
            self._troubles = {"aliases": str(error)}
            self._swaps["refused"].inc()
            logger.error("the registry of models can't be read; serving on as before", exc_info=error)
        else:
            await self._take_up(aliases)
        self._again_at = time.monotonic() + self._again_after_s

    async def _take_up(self, aliases: Aliases) -> None:
        troubles: dict[str, str] = {}
        opened = {alias: await self._opened(alias, aliases, troubles) for alias in ALIASES}
        in_vain = aliases == self.aliases and troubles.keys() == self._troubles.keys()
        self.aliases, self._troubles = aliases, troubles
        if in_vain:
            return
        old = self.open_models.line_up
        champion = opened["champion"] or old.champion
        former = old.former if champion is old.champion else old.champion if self._serving else None
        new = LineUp(champion, opened["challenger"], opened["shadow"], former, self._canary_share)
        self.open_models.line_up = new
        self._show(new.models)
        self._swaps["done"].inc()
        logger.info("models: %s", ", ".join(f"{alias} {name}" for alias, name in self._told(new)))
        left = [named for named, kept in self._kept.items() if kept.model not in new.open_models]
        leaving = [self._kept.pop(named) for named in left]
        self._leaving += leaving
        closing = asyncio.create_task(self._let_go(old, leaving), name="models closing")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _opened(self, alias: Alias, aliases: Aliases, troubles: dict[str, str]) -> OpenModel | None:
        """None where there is none, or it is refused."""
        reference = aliases.model(alias)
        if reference is None and alias != "champion":
            return None
        named = self._names.of(reference)
        try:
            return self._kept[named].model if named in self._kept else await self._open(named)
        except Exception as error:
            troubles[alias] = str(error)
            if isinstance(error, TimeoutError):
                self._again_after_s = _LATE_AGAIN_AFTER_S
            self._swaps["refused"].inc()
            logger.error("model %s is refused as the %s; serving on without it", named, alias, exc_info=error)
            return None

    def _told(self, line_up: LineUp) -> Iterator[tuple[str, str]]:
        names = {id(kept.model): str(named) for named, kept in self._kept.items()}
        for alias in ALIASES:
            model: OpenModel | None = getattr(line_up, alias)
            if model is not None:
                yield alias, names[id(model)]

    def _show(self, models: Sequence[OpenModel]) -> None:
        """Have the metrics name these, and no others."""
        now = {each.model for each in models}
        for model in self._shown - now:
            known = {"model_name": model.name, "version": model.version, "sha": model.digest}
            self._metrics.remove(MODEL_INFO, **known, role="classifier")
        for model in now - self._shown:
            begin_with(model, self._metrics, role="classifier")
        self._shown = now

    # One model

    async def _open(self, named: NamedModel) -> OpenModel:
        """Raises whatever keeps it from being opened and from answering."""
        opened: asyncio.Future[OpenModel] = asyncio.get_running_loop().create_future()
        closing = asyncio.Event()
        task = asyncio.create_task(self._keep(named, opened, closing), name=f"model {named}")
        try:
            async with asyncio.timeout(_OPEN_LIMIT_S) as limit:
                model = await opened
        except BaseException as error:
            task.cancel()
            if isinstance(error, TimeoutError) and limit.expired():
                raise TimeoutError(f"{named} is not open within {_OPEN_LIMIT_S:g} s") from error
            raise
        self._kept[named] = _Kept(model, task, closing)
        return model

    async def _keep(self, named: NamedModel, opened: asyncio.Future[OpenModel], closing: asyncio.Event) -> None:
        try:
            opener = self._opener.giving_way() if self._serving else self._opener
            async with open_model(opener, named) as classifier:
                model = OpenModel(classifier, self._metrics, self._tracer)
                if named.reference is not None:
                    await model.classify([_PROBE])
                opened.set_result(model)
                del model, classifier
                await closing.wait()
        except Exception as error:
            if opened.done():
                logger.error("model %s could not be closed", named, exc_info=error)
            else:
                opened.set_exception(error)

    async def _let_go(self, old: LineUp, leaving: Sequence[_Kept]) -> None:
        """Close these when nobody holds a line-up in which they were: this one, and those before it."""
        async with self._in_turn:
            await old.unheld()
            for kept in leaving:
                await self._close(kept)
                self._leaving.remove(kept)

    async def _close(self, kept: _Kept) -> None:
        kept.closing.set()
        done, _ = await asyncio.wait([kept.task], timeout=_CLOSE_LIMIT_S)
        if not done:
            logger.error("%s does not close; going on without waiting", kept.task.get_name())
            kept.task.cancel()

    async def close(self) -> None:
        self._show(())
        for closing in list(self._closing):
            closing.cancel()
        await self.closed()
        for kept in (*self._leaving, *self._kept.values()):
            await self._close(kept)


@asynccontextmanager
async def swapping(
    names: Names, opener: Opener, metrics: Metrics, tracer: Tracer | None = None, *, canary_share: float
) -> AsyncIterator[Swapper]:
    """Models open, and following the registry while it is. Raises `ConfigurationError`: see `Swapper.begin`."""
    made = Swapper(names, opener, metrics, tracer, canary_share=canary_share)
    try:
        await made.begin()
        failing = "the registry of models can't be asked; serving on as before"
        async with repeated(made.follow, period_s=_PERIOD_S, first_after_s=_PERIOD_S, name="models", failing=failing):
            yield made
    finally:
        await made.close()
