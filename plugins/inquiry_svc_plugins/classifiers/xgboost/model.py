"""A trained model on disk and in memory: read and checked once, then asked for scores.

A model folder holds `manifest.json` (what the model is, with a digest of each other file), `linear.npz` and
`trees.npz` (plain arrays, no pickle), XGBoost's own `<axis>.ubj`, `profile.json`, which decides no answer, and
`MODEL_CARD.md` for people. Nothing here trains.
"""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.giving_way import go_on
from inquiry_svc.inquiries import AXES, Model, Text, Verdict
from inquiry_svc.profiles import Profile
from inquiry_svc_plugins.classifiers.digests import digest_of
from inquiry_svc_plugins.classifiers.thresholds import thresholds_of
from inquiry_svc_plugins.classifiers.xgboost.evidence import (
    count,
    measure,
    soften,
    take_from_others_words,
)
from inquiry_svc_plugins.classifiers.xgboost.features import MAX_TEXTS, PREPROCESSING_VERSION, SURFACE, extract
from inquiry_svc_plugins.classifiers.xgboost.linear import LinearLayer
from inquiry_svc_plugins.classifiers.xgboost.temperatures import Temperatures, log_words_of
from inquiry_svc_plugins.classifiers.xgboost.trees import Forest

FORMAT: Final = 9
MANIFEST: Final = "manifest.json"
CARD: Final = "MODEL_CARD.md"
PROFILE: Final = "profile.json"
_CURE: Final = "train it anew with 'inquiry-svc train', or leave [classifier.xgboost] model empty for the packaged one"


@dataclass(frozen=True, slots=True)
class TriageModel:
    identity: Model
    linear: LinearLayer
    forests: Mapping[str, Forest]
    """One for each of `AXES`."""
    temperatures: Mapping[str, Temperatures]
    """Each axis's margins are divided by it, so that the confidence is the share of right answers."""
    familiar_from: float
    """Of a text's runs of characters the share that should be known well."""
    review_below: Mapping[str, float]
    """By category, the confidence below which a person should look: see `writing.py`."""
    profile: Profile | None = None
    """None for a model that was trained before there were any."""

    def verdicts(self, texts: Sequence[Text]) -> list[Verdict]:
        """A verdict for each text, in order; a text's verdict does not depend on the others."""
        if not texts:
            return []
        probabilities, evidence = self.judge(texts)
        return list(map(Verdict.from_scores, probabilities.tolist(), evidence.tolist()))

    def probabilities(self, texts: Sequence[Text]) -> NDArray[np.float64]:
        """One text a row, with a column for each label of `AXES`, axis after axis; each axis sums to 1."""
        return self.judge(texts)[0]

    def judge(self, texts: Sequence[Text]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The probabilities, and the evidence of each text."""
        probabilities, evidence = self.read(texts)
        take_from_others_words(texts, evidence)
        return soften(probabilities, evidence), evidence

    def read(self, texts: Sequence[Text]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same, before anybody asked whose words these are and how much they prove."""
        parts = [self._read(texts[at : at + MAX_TEXTS]) for at in range(0, len(texts), MAX_TEXTS)]
        probabilities, evidence = map(np.concatenate, zip(*parts, strict=True))
        return probabilities, evidence

    def _read(self, texts: Sequence[Text]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        features = extract(texts)
        inputs = forest_inputs(self.linear.scores(features), features.surface)
        log_words = log_words_of(features)[:, None]
        found = count(self.linear.known(features), features)
        margins = [self.forests[axis].margins(inputs) / self.temperatures[axis].of(log_words) for axis in AXES]
        return np.hstack(list(map(_softmax, margins))), measure(found, self.familiar_from)


def forest_inputs(scores: NDArray[np.float32], surface: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the trees look at and put right, one text a column: the linear scores, then the surface counts.

    Scores are rounded to 1/1024: rounding errors that differ between processors then neither grow other trees nor
    take another branch.
    """
    return np.ascontiguousarray(np.vstack([np.round(scores.T * 1024) / 1024, surface.T]), np.float32)


def _softmax(margins: NDArray[Any]) -> NDArray[np.float64]:
    powers = np.exp(margins.astype(np.float64) - margins.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def load_model(folder: Path, pause: Callable[[], None] = go_on) -> TriageModel:
    """The model in a folder; `pause` is called after each step: see `Host`.

    Raises `ConfigurationError` unless each file is what the manifest says.
    """
    manifest = _read_manifest(folder)
    contents = {name: _read_checked(folder / name, digest, pause) for name, digest in manifest["files"].items()}
    below = thresholds_of(manifest)
    if manifest["digest"] != overall_digest(manifest["files"], below):
        raise ConfigurationError(f"{folder / MANIFEST}: digest does not fit the files and thresholds it lists; {_CURE}")
    linear = _read_arrays(folder / "linear.npz", contents, pause)
    trees = _read_arrays(folder / "trees.npz", contents, pause)
    profile = _read_profile(folder / PROFILE, manifest["profile"], pause) if "profile" in manifest else None
    pause()
    return TriageModel(
        identity=Model("xgboost", str(manifest["version"]), manifest["digest"]),
        linear=LinearLayer.from_arrays(linear, pause),
        forests={axis: Forest.from_arrays(trees, axis) for axis in AXES},
        temperatures={axis: Temperatures.from_array(trees[f"{axis}_temperatures"]) for axis in AXES},
        familiar_from=float(linear["familiar_from"]),
        review_below=below,
        profile=profile,
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        expected = [PREPROCESSING_VERSION, list(SURFACE), {axis: list(labels) for axis, labels in AXES.items()}]
        found = [manifest[key] for key in ("preprocessing", "surface", "labels")]
        manifest["format"], manifest["version"], manifest["digest"], manifest["files"].items()
        thresholds_of(manifest)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}); {_CURE}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{path} is broken ({type(error).__name__}: {error}); {_CURE}") from error
    if manifest["format"] != FORMAT or found != expected:
        raise ConfigurationError(
            f"{path}: made for another version of this program (format, preprocessing or labels differ); {_CURE}"
        )
    return manifest  # type: ignore[no-any-return]


def _read_checked(path: Path, digest: str, pause: Callable[[], None]) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}); {_CURE}") from error
    if digest_of(content, pause) != digest:
        raise ConfigurationError(f"{path} is not the file that {MANIFEST} lists (its digest differs); {_CURE}")
    return content


def _read_profile(path: Path, digest: str, pause: Callable[[], None]) -> Profile:
    content = _read_checked(path, digest, pause)
    try:
        return Profile.from_json(content)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}; {_CURE}") from error


def _read_arrays(path: Path, contents: Mapping[str, bytes], pause: Callable[[], None]) -> dict[str, NDArray[Any]]:
    """The arrays of a file that `np.savez` wrote, where they lie.

    `np.load` would copy each twice and add up checksums, which takes twenty times as long; these are digested already.
    """
    try:
        content = contents[path.name]
        found = {}
        with ZipFile(io.BytesIO(content)) as archive:
            for each in archive.infolist():
                found[each.filename.removesuffix(".npy")] = _array(content, each)
                pause()
        return found
    except (KeyError, ValueError, OSError, BadZipFile, struct.error) as error:
        raise ConfigurationError(f"{path} is broken ({type(error).__name__}: {error}); {_CURE}") from error


def _array(content: bytes, member: ZipInfo) -> NDArray[Any]:
    if member.compress_type != ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    file = io.BytesIO(content)
    file.seek(member.header_offset + 26)
    file.seek(sum(struct.unpack("<HH", file.read(4))), io.SEEK_CUR)  # past the name and what follows it
    np.lib.format.read_magic(file)
    shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
    flat = np.frombuffer(content, kind, math.prod(shape), file.tell())
    return flat.reshape(shape, order="F" if by_columns else "C").copy()


def overall_digest(files: Mapping[str, str], below: Mapping[str, float]) -> str:
    """Of everything that decides an answer: the files, the order of the labels, the preprocessing, and below which
    confidence a person should look."""
    labels = {axis: list(labels) for axis, labels in AXES.items()}
    thresholds = [below[category] for category in AXES["category"]]
    whole = [FORMAT, PREPROCESSING_VERSION, SURFACE, labels, sorted(files.items()), thresholds]
    return digest_of(json.dumps(whole).encode())
