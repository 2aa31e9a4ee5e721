"""A trained model on disk and in memory: a linear layer over embeddings, and a temperature for each axis.

A model folder holds `manifest.json` (what it is, the digest of its other file and of the encoder's), `head.npz` and
`MODEL_CARD.md` for people.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.giving_way import go_on
from inquiry_svc.inquiries import AXES, Model, Text, Verdict
from inquiry_svc_plugins.classifiers.digests import digest_of
from inquiry_svc_plugins.classifiers.minilm.encoder import Encoder
from inquiry_svc_plugins.classifiers.thresholds import thresholds_of

FORMAT: Final = 2
MANIFEST: Final = "manifest.json"
CARD: Final = "MODEL_CARD.md"
HEAD: Final = "head.npz"
_CURE: Final = "train it anew with 'inquiry-svc train', or leave [classifier.minilm] model empty for the packaged one"


@dataclass(frozen=True, slots=True)
class MinilmModel:
    identity: Model
    encoder: Encoder
    weights: Mapping[str, NDArray[np.float32]]
    """Of each axis, of shape (labels, width + 1), the bias last; divided by the axis's temperature already."""
    review_below: Mapping[str, float]

    def verdicts(self, texts: Sequence[Text], given_up: Callable[[], bool] = lambda: False) -> list[Verdict]:
        """A verdict for each text, in order. Fewer once `given_up` says so: nobody waits for them."""
        found: dict[tuple[str, str], Verdict] = {}
        for text in texts:
            content = (text.subject, text.body)
            if content not in found and not given_up():
                found[content] = self.verdict(self.encoder.embed(text))
        return [found[text.subject, text.body] for text in texts if (text.subject, text.body) in found]

    def verdict(self, embedding: NDArray[np.float32]) -> Verdict:
        scores: list[float] = []
        for axis in AXES:
            margins = (self.weights[axis][:, :-1] @ embedding + self.weights[axis][:, -1]).astype(np.float64)
            powers = np.exp(margins - margins.max())
            scores += (powers / powers.sum()).tolist()
        return Verdict.from_scores(scores)


def load_model(folder: Path, encoder: Encoder, pause: Callable[[], None] = go_on) -> MinilmModel:
    """The model in a folder; `pause` is called after each step: see `Host`.

    Raises `ConfigurationError` unless its file and the encoder are as they were.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        content = (folder / HEAD).read_bytes()
        below = thresholds_of(manifest)
        if manifest["format"] != FORMAT:
            raise ConfigurationError(f"{path}: made for another version of this program (format differs); {_CURE}")
        if manifest["digest"] != overall_digest(manifest["files"], manifest["encoder"], below):
            raise ConfigurationError(f"{path}: digest does not fit the files and thresholds it lists; {_CURE}")
        pause()
        if digest_of(content, pause) != manifest["files"][HEAD]:
            raise ConfigurationError(f"{folder / HEAD} is not the file that {MANIFEST} lists; {_CURE}")
        if manifest["encoder"] != encoder.files:
            raise ConfigurationError(
                f"{path}: made with another encoder; install the versions that 'inquiry-svc[minilm]' names"
            )
        weights = {}
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            for axis in AXES:
                weights[axis] = arrays[axis] / arrays[f"{axis}_temperature"]
                pause()
        return MinilmModel(Model("minilm", str(manifest["version"]), manifest["digest"]), encoder, weights, below)
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be read ({error.strerror}); {_CURE}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{path} is broken ({type(error).__name__}: {error}); {_CURE}") from error


def overall_digest(files: Mapping[str, str], encoder: Mapping[str, str], below: Mapping[str, float]) -> str:
    """Of everything that decides an answer, and below which confidence a person should look."""
    labels = {axis: list(labels) for axis, labels in AXES.items()}
    thresholds = [below[category] for category in AXES["category"]]
    whole = [FORMAT, labels, sorted(files.items()), sorted(encoder.items()), thresholds]
    return digest_of(json.dumps(whole).encode())
