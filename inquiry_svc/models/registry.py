"""The registry: models by their digest, which of them is for what, and every change that ever was.

    models/aliases.json              champion, challenger, shadow, and the history
    models/<provider>/<digest>/      a model folder as its classifier wrote it, never changed

A change is one file put in the place of another, on disk before it is told of, and made by one process at a time.
Whoever serves looks at the file's stamp now and then. Without the file the built-in model, which the settings of the
classifier name, is the champion.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from inquiry_svc.errors import ConfigurationError

Alias: TypeAlias = Literal["champion", "challenger", "shadow"]
ALIASES: Final[tuple[Alias, ...]] = get_args(Alias)
Stamp: TypeAlias = tuple[int, int, int] | None
"""Another one whenever the file is another; None where there is none."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A model of the registry."""

    provider: str
    digest: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history. As the champion, None is the built-in model; as another, none."""

    at: datetime
    who: str
    what: Literal["promote", "roll back"]
    alias: Alias
    before: Reference | None
    after: Reference | None
    why: str
    figures: Mapping[str, float] = field(default_factory=dict)
    """What was known of the model at that moment, by name."""


@dataclass(frozen=True, slots=True)
class Aliases:
    champion: Reference | None = None
    """None: the built-in model."""
    challenger: Reference | None = None
    shadow: Reference | None = None
    history: tuple[Change, ...] = ()
    """The oldest first."""

    def model(self, alias: Alias) -> Reference | None:
        found: Reference | None = getattr(self, alias)
        return found

    def held_by(self, model: Reference) -> Sequence[Alias]:
        return [alias for alias in ALIASES if self.model(alias) == model]

    @property
    def former_champions(self) -> Sequence[Reference | None]:
        """Those to go back to, the last at the end. Who was rolled back is not among them."""
        former: list[Reference | None] = []
        for change in self.history:
            if change.alias == "champion" and change.what == "promote":
                former.append(change.before)
            elif change.alias == "champion":
                former.pop()
        return former


class Registry:
    """In a data folder, where it needs not be yet. Every method reads or writes files: call it in a thread."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "models"
        self._file = self._folder / "aliases.json"

    # Reading

    def stamp(self) -> Stamp:
        """Cheap enough to ask for every second."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def aliases(self) -> Aliases:
        """Raises `ConfigurationError` where the file can't be read."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Aliases)
        except FileNotFoundError:
            return Aliases()
        except OSError as error:
            raise ConfigurationError(f"{self._file} can't be read ({error.strerror})") from error
        except msgspec.DecodeError as error:
            raise ConfigurationError(
                f"{self._file} is broken ({error}); put a copy of it back, or remove it for the built-in model"
            ) from error

    def models(self) -> Sequence[Reference]:
        found = sorted(self._folder.glob("[!.]*/*/"))
        return [Reference(folder.parent.name, folder.name) for folder in found]

    def folder(self, model: Reference) -> Path:
        return self._folder / model.provider / model.digest

    # Taking models in

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A folder to write a model into. What is not taken in is gone afterwards."""
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=".incoming-", dir=self._folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def take_in(self, folder: Path, model: Reference) -> None:
        """Move a whole folder to the model's place, where its twin may be already."""
        place = self.folder(model)
        if place.exists():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        for file in [*folder.rglob("*"), folder]:
            _sync(file)
        folder.chmod(0o755)
        folder.rename(place)
        _sync(place.parent)

    # Changing what is for what

    def promote(
        self, model: Reference | None, alias: Alias, *, who: str, why: str, figures: Mapping[str, float]
    ) -> Change:
        """From now on the model is for this, and for nothing else.

        Raises `ConfigurationError` where it is already, and for None, the built-in model, but as the champion.
        """

        def promoted(aliases: Aliases) -> Change:
            before = aliases.model(alias)
            if model is None and alias != "champion":
                raise ConfigurationError(
                    f"the built-in model can't be the {alias}; inquiry-svc model rollback {alias} takes that down"
                )
            if before == model:
                raise ConfigurationError(f"{model or 'the built-in model'} is the {alias} already")
            if model is not None and model == aliases.champion:
                raise ConfigurationError(f"{model} is the champion; promote another in its place first")
            return Change(datetime.now(UTC), who, "promote", alias, before, model, why, figures)

        return self._changed(promoted)

    def roll_back(
        self,
        alias: Alias,
        *,
        who: str,
        why: str,
        figures: Mapping[str, float] | None = None,
        only: Reference | None = None,
    ) -> Change:
        """The champion before is the champion again; a challenger or a shadow is taken down.

        Raises `ConfigurationError` where there is nothing to go back from, or the alias is not `only`'s any more.
        """

        def rolled_back(aliases: Aliases) -> Change:
            before = aliases.model(alias)
            if only is not None and before != only:
                raise ConfigurationError(f"{only} is the {alias} no more")
            former = aliases.former_champions if alias == "champion" else [None] if before else []
            if not former:
                raise ConfigurationError(f"there is no {alias} to go back from; see inquiry-svc model list")
            return Change(datetime.now(UTC), who, "roll back", alias, before, former[-1], why, figures or {})

        return self._changed(rolled_back)

    def _changed(self, decide: Callable[[Aliases], Change]) -> Change:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # held elsewhere for as long as it takes to write this small file
            aliases = self.aliases()
            change = decide(aliases)
            left = {alias: None for alias in ALIASES if change.after and aliases.model(alias) == change.after}
            after = {**left, change.alias: change.after}
            self._write(replace(aliases, history=(*aliases.history, change), **after))
        return change

    def _write(self, aliases: Aliases) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(aliases), indent=1) + b"\n")
        _sync(new)
        new.replace(self._file)
        _sync(self._folder)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
