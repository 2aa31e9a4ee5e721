"""API keys: who may call and for what. A file holds them all, one a line, and of each no more than its hash:

    website  submit       3f9a1c2e  sha256:9b74c989...  2027-01-31
    desk     read,review  b07d44a1  sha256:51e3f04b...

that is name, scopes, id, hash and, if it expires, the last day (UTC). What stands behind a # is for people. A name may
have several keys, so that a new one is handed out before the old one goes; of one that was taken back, `revoked` stands
in the place of `sha256:`. A key looks like `inq_3f9a1c2e_` and 64 hexadecimal digits by chance; its id is no secret and
stands in logs.

The hash is a fast one because there is nothing to guess: 256 bits by chance need no slow hash, and each request would
pay for it. A key is looked up by its id, which may be known, and its hash compared in constant time.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args

from inquiry_svc.catalogue import API_KEY_READS
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.logs import AUDIT
from inquiry_svc.metrics import Metrics
from inquiry_svc.repeating import repeated

Scope: TypeAlias = Literal["submit", "read", "review", "metrics", "admin"]
"""submit: send and classify. read: see what is stored. review: work off the review queue, correct, resolve. metrics:
read them. admin: all of that, and the routes of plugins that ask for nothing else."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_LOOK_S: Final = 1.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY_ID: Final = re.compile(r"[0-9a-f]{8}")
_HASH: Final = re.compile(r"(sha256:|revoked)([0-9a-f]{64})")
_KEY: Final = re.compile(r"inq_[0-9a-f]{8}_[0-9a-f]{64}")
_BEFORE_ID: Final = len("inq_")
_BEFORE_SECRET: Final = len("inq_00000000_")

logger = logging.getLogger(__name__)

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of one."""

    name: str
    scopes: frozenset[Scope]
    key_id: str
    digest: bytes
    expires_at: float = float("inf")
    """Seconds since 1970; infinite where it does not expire."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    @property
    def last_day(self) -> date | None:
        if self.expires_at == float("inf"):
            return None
        return (datetime.fromtimestamp(self.expires_at, UTC) - timedelta(days=1)).date()

    def line(self) -> str:
        """As it stands in the file."""
        scopes = ",".join(scope for scope in SCOPES if scope in self.scopes)
        fields = [self.name, scopes, self.key_id, f"sha256:{self.digest.hex()}", str(self.last_day or "")]
        return "  ".join(fields).rstrip()


def make_key(name: str, scopes: Iterable[Scope], last_day: date | None = None) -> tuple[str, ApiKey]:
    """A new key, to be shown to its holder once, and what to keep of it. Raises `ConfigurationError`."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"key name {name!r}: use letters, digits, dots, dashes, underscores, at most 64")
    presented = f"inq_{secrets.token_hex(4)}_{secrets.token_hex(32)}"
    expires_at = float("inf") if last_day is None else _end_of(last_day)
    return presented, ApiKey(name, frozenset(scopes), _id_of(presented), _digest(presented), expires_at)


class KeyRing:
    """The keys of a file, for finding one by what a caller presents."""

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self.by_id: Mapping[str, ApiKey] = {key.key_id: key for key in keys}

    def find(self, presented: str) -> ApiKey | None:
        """The key, whether or not it has expired; None for one that is not there."""
        found = self.by_id.get(_id_of(presented))
        if found is None or not hmac.compare_digest(_digest(presented), found.digest):
            return None
        return found


def read_keys(file: Path) -> KeyRing:
    """Raises `ConfigurationError`, which never quotes the file: it may hold a key by mistake."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"API keys {file}: {why}; name a file that `inquiry-svc keys` wrote") from error
    return KeyRing(_keys_of(lines, file))


def _keys_of(lines: Iterable[str], file: Path) -> Iterator[ApiKey]:
    ids = set()
    for number, line in enumerate(lines, 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        try:
            key = _key_of(fields)
        except ValueError as error:
            raise ConfigurationError(
                f"API keys {file} line {number}: {error}; write name, scopes, id, hash and perhaps the last day"
            ) from None
        if key is None:
            continue
        if key.key_id in ids:
            raise ConfigurationError(f"API keys {file} line {number}: this id stands there twice; keep one")
        ids.add(key.key_id)
        yield key


def _key_of(fields: list[str]) -> ApiKey | None:
    """None for one that was taken back."""
    if len(fields) not in (4, 5):
        raise ValueError(f"it has {len(fields)} fields")
    name, scopes, key_id, hashed, *last_day = fields
    unknown = set(scopes.split(",")) - set(SCOPES)
    found = _HASH.fullmatch(hashed)
    if not _NAME.fullmatch(name) or _KEY.fullmatch(name):
        raise ValueError("the first field is no name")
    if unknown:
        raise ValueError(f"the second field is no list of scopes: they are {', '.join(SCOPES)}")
    if not _KEY_ID.fullmatch(key_id):
        raise ValueError("the third field is no id of 8 hexadecimal digits")
    if found is None:
        raise ValueError("the fourth field is no sha256: and 64 hexadecimal digits")
    try:
        expires_at = _end_of(date.fromisoformat(last_day[0])) if last_day else float("inf")
    except (ValueError, OverflowError):
        raise ValueError("the fifth field is no day such as 2027-01-31") from None
    granted: frozenset[Scope] = frozenset(scope for scope in SCOPES if scope in scopes.split(","))
    return None if found[1] == "revoked" else ApiKey(name, granted, key_id, bytes.fromhex(found[2]), expires_at)


class KeysInUse:
    """The keys as they are now: the file is looked at each second, and read when it has changed."""

    def __init__(self, file: Path, metrics: Metrics) -> None:
        """Raises `ConfigurationError` when there is no key to begin with."""
        self._file = file
        self._reads = {result: metrics.series(API_KEY_READS, result=result) for result in ("done", "failed")}
        self._seen = _state_of(file)
        self.ring = read_keys(file)
        if not self.ring.by_id:
            raise ConfigurationError(f"API keys {file}: there is none; make one with inquiry-svc keys create")
        self._reads["done"].inc()

    def kept_current(self) -> AbstractAsyncContextManager[None]:
        """Look while open. What can't be read changes nothing; a key that is gone from the file is refused."""
        return repeated(
            self._look,
            period_s=_LOOK_S,
            first_after_s=_LOOK_S,
            name="API keys",
            failing="the API keys can't be read anew; those that were read before stay valid",
        )

    async def _look(self) -> None:
        state = await asyncio.to_thread(_state_of, self._file)
        if state == self._seen:
            return
        try:
            ring = await asyncio.to_thread(read_keys, self._file)
        except ConfigurationError:
            self._reads["failed"].inc()
            raise
        self._reads["done"].inc()
        before, self.ring, self._seen = self.ring.by_id, ring, state
        added, removed = _named(ring.by_id, before), _named(before, ring.by_id)
        logging.getLogger(AUDIT).info("the API keys were changed", extra={"added": added, "removed": removed})


def _named(keys: Mapping[str, ApiKey], others: Mapping[str, ApiKey]) -> list[str]:
    """Those that the others don't have, or have with other rights."""
    return [f"{key.name} {key.key_id}" for key in keys.values() if others.get(key.key_id) != key]


def _state_of(file: Path) -> tuple[int, int, int] | None:
    """Another one when the file was written or replaced, also where it is a link, as Kubernetes has it."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def needs(scope: Scope) -> Callable[[FunctionT], FunctionT]:
    """Marks the handler of a plugin's route: a key with this scope may call it. Unmarked, it takes `admin`."""

    def mark(handler: FunctionT) -> FunctionT:
        handler.__dict__["scope"] = scope
        return handler

    return mark


def scope_needed(handler: object) -> Scope:
    found: Scope = getattr(handler, "scope", "admin")
    return found


def has_expired(key: ApiKey) -> bool:
    return time.time() >= key.expires_at


def _id_of(presented: str) -> str:
    return presented[_BEFORE_ID : _BEFORE_SECRET - 1]


def _digest(presented: str) -> bytes:
    return sha256(presented.encode(errors="surrogateescape")).digest()


def _end_of(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + 86_400.0
