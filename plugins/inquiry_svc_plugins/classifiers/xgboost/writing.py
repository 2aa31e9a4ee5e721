"""Writes a trained model as the folder that `model.py` reads, with its model card.

The folder says what the model was made of and how it does on authors it has not seen, never when or where it was made:
the same rows on the same versions and a processor of the same kind give the same bytes.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy
import xgboost
from numpy.lib.introspect import opt_func_info
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.evaluation import ECE_BINS, AxisFigures, judge, review_thresholds
from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import LabelledText
from inquiry_svc.settings import ReviewSettings
from inquiry_svc_plugins.classifiers.digests import digest_of
from inquiry_svc_plugins.classifiers.xgboost.convolution_training import CONVOLUTION
from inquiry_svc_plugins.classifiers.xgboost.features import PREPROCESSING_VERSION, SURFACE
from inquiry_svc_plugins.classifiers.xgboost.model import CARD, FORMAT, MANIFEST, PROFILE, overall_digest
from inquiry_svc_plugins.classifiers.xgboost.profiling import profile_of
from inquiry_svc_plugins.classifiers.xgboost.ridge import RIDGE
from inquiry_svc_plugins.classifiers.xgboost.training import ROUNDS, TREES, Trained
from inquiry_svc_plugins.classifiers.xgboost.word_vectors import VALENCE, read_vectors

REVIEW_ACCURACY: Final = 0.95
"""How often the category should be right where nobody looks: the review thresholds are chosen for it."""

MODEL_VERSION: Final = "9"
"""Of the recipe: a new one for each change of the learner that is meant to answer differently."""


def check_folder(folder: Path) -> None:
    """Raise `ConfigurationError` unless the folder is new, empty, or holds a model already."""
    if folder.is_dir():
        if any(folder.iterdir()) and not (folder / MANIFEST).is_file():
            raise ConfigurationError(
                f"--out {folder} holds files but no model; name a new folder, or one of a model to replace"
            )
    elif folder.exists():
        raise ConfigurationError(f"--out {folder} is not a folder; name a new folder")


def write_model(trained: Trained, rows: Sequence[LabelledText], folder: Path) -> dict[str, Any]:
    """Write every file of the model and return its manifest. The manifest comes last: without it there is no model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    trees: dict[str, NDArray[Any]] = {}
    for axis, made in trained.axes.items():
        trees |= made.forest.to_arrays(axis)
        trees[f"{axis}_temperatures"] = made.temperatures.to_array()
    contents = {"linear.npz": _npz(trained.linear), "trees.npz": _npz(trees)}
    contents |= {f"{axis}.ubj": bytes(made.booster.save_raw("ubj")) for axis, made in trained.axes.items()}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = {name: digest_of(content) for name, content in contents.items()}
    profile = profile_of(trained, rows).as_json().encode()
    (folder / PROFILE).write_bytes(profile)
    manifest = {**_manifest(trained, rows, files), "profile": digest_of(profile)}
    (folder / CARD).write_text(_card(manifest), encoding="utf-8")
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _manifest(trained: Trained, rows: Sequence[LabelledText], files: Mapping[str, str]) -> dict[str, Any]:
    review = _review(trained, rows)
    return {
        "format": FORMAT,
        "version": MODEL_VERSION,
        "digest": overall_digest(files, review["below_confidence"]),
        "preprocessing": PREPROCESSING_VERSION,
        "labels": AXES,
        "surface": SURFACE,
        "files": files,
        "corpus": {
            "digest": corpus_digest(rows),
            "rows": len(rows),
            "labelled": {axis: len(made.rows) for axis, made in trained.axes.items()},
            "sources": dict(Counter(row.source for row in rows)),
        },
        "training": {
            "ridge": RIDGE,
            "word_vectors": read_vectors().digest,
            "valence": VALENCE,
            "convolution": CONVOLUTION,
            "rounds": ROUNDS,
            "trees": TREES,
        },
        "made_with": _made_with(),
        "cross_validation": _cross_validation(trained, rows),
        "review": review,
    }


def _made_with() -> dict[str, str]:
    """On which the last bit of a sum depends, and so the bytes of a model: libraries, and the kind of processor."""
    libraries = {"numpy": np.__version__, "scipy": scipy.__version__, "xgboost": xgboost.__version__}
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    names = sorted({f"{each['internal_api']} {each['version']} {each.get('architecture')}" for each in blas})
    simd = opt_func_info(func_name="^exp$", signature="float32")["exp"]["ff"]["current"]
    return {**libraries, "blas": ", ".join(names), "simd": simd}


def corpus_digest(rows: Sequence[LabelledText]) -> str:
    """Of all that training reads of the rows, in order."""
    fields = ([row.text.subject, row.text.body, *map(row.label, AXES), row.source, row.group] for row in rows)
    return digest_of("\n".join(map(json.dumps, fields)).encode())


def _cross_validation(trained: Trained, rows: Sequence[LabelledText]) -> dict[str, Any]:
    """For each axis the figures of all rows together and, where whole sources were held out, of each and their mean."""
    found: dict[str, Any] = {"held_out": "sources" if trained.by_source else "groups"}
    for axis, made in trained.axes.items():
        labels = AXES[axis]
        truths = [rows[row].label(axis) or "" for row in made.rows]
        given = [(labels[int(scores.argmax())], float(scores.max())) for scores in made.probabilities]
        sources = [rows[row].source for row in made.rows]
        by_source = {}
        for name in dict.fromkeys(sources) if trained.by_source else ():
            places = [place for place, source in enumerate(sources) if source == name]
            by_source[name] = _figures(judge(labels, [truths[at] for at in places], [given[at] for at in places]))
        if by_source:
            count = len(by_source)
            mean = {key: round(sum(found[key] for found in by_source.values()) / count, 4) for key in _FIGURES}
            by_source["mean of sources"] = {"rows": len(truths), **mean}
        everything = judge(labels, truths, given)
        found[axis] = {
            "temperatures": made.temperatures.to_array().tolist(),
            "held_out": {**by_source, "all rows": _figures(everything)},
            "confusion": everything.confusion,
        }
    return found


def _review(trained: Trained, rows: Sequence[LabelledText]) -> dict[str, Any]:
    """Thresholds of confidence by category, chosen on the answers of the cross-validation; each source counts alike."""
    category, labels = trained.axes["category"], AXES["category"]
    evidence = trained.evidence[category.rows]
    sources = [rows[row].source for row in category.rows]
    truths = [rows[row].category or "" for row in category.rows]
    given = [(labels[int(scores.argmax())], float(scores.max())) for scores in category.probabilities]
    sizes = Counter(sources)
    weights = [1 / sizes[source] for source in sources]
    below = review_thresholds(labels, truths, given, REVIEW_ACCURACY, weights)
    review = [
        confidence < below[said] or found < ReviewSettings().below_evidence
        for (said, confidence), found in zip(given, evidence, strict=True)
    ]
    figures = judge(labels, truths, given, review)
    return {
        "wanted_accuracy": REVIEW_ACCURACY,
        "below_confidence": below,
        "needs_review_share": round(figures.needs_review_share or 0.0, 4),
        "accuracy_without_review": round(figures.accuracy_without_review or 0.0, 4),
        "familiar_from": float(trained.linear["familiar_from"]),
        "without_evidence_share": round(float((evidence < ReviewSettings().below_evidence).mean()), 4),
    }


_FIGURES: Final = ("accuracy", "macro_f1", "mean_confidence", "ece")


def _figures(figures: AxisFigures) -> dict[str, Any]:
    return {"rows": figures.rows, **{key: round(getattr(figures, key), 4) for key in _FIGURES}}


def _card(manifest: Mapping[str, Any]) -> str:
    corpus, validation = manifest["corpus"], manifest["cross_validation"]
    lines = [
        "# Model card",
        "",
        f"Triage of customer inquiries in English, model `{manifest['digest']}` (recipe {manifest['version']}).",
        "Gives each text a category, a sentiment and an urgency, each with a probability.",
        "Written by `inquiry-svc train`.",
        "",
        "It reads n-grams, what words mean and what they say in their order: vectors of words by all-MiniLM-L6-v2",
        "(sentence-transformers, Apache-2.0), which is not in here, and their valences by VADER's lexicon (Hutto and",
        f"Gilbert, 2014; MIT licence), of digest `{manifest['training']['word_vectors']}`.",
        "",
        "## What it was trained on",
        "",
        f"{corpus['rows']:,} rows (corpus digest `{corpus['digest']}`): "
        + ", ".join(f"{name or 'source not given'} {count:,}" for name, count in corpus["sources"].items())
        + ".",
        "Labelled: " + ", ".join(f"{axis} {count:,}" for axis, count in corpus["labelled"].items()) + ".",
        "",
        "## How well it does",
        "",
        f"Cross-validated by holding out whole {validation['held_out']}: each answer is by a linear layer and by trees",
        "that were not fitted to the text's fold, at the temperatures that were then fitted to these answers.",
        f"Calibration error over {ECE_BINS} bins of equal width. On text unlike the corpus expect less.",
        "",
        "| axis | held out | rows | accuracy | macro F1 | mean confidence | calibration error |",
        "|---|---|---|---|---|---|---|",
    ]
    for axis in AXES:
        for name, figures in validation[axis]["held_out"].items():
            cells = [f"{figures[key]:.3f}" for key in _FIGURES]
            lines.append(f"| {axis} | {name} | {figures['rows']} | {' | '.join(cells)} |")
    for axis, labels in AXES.items():
        lines += [
            "",
            f"### Confusion: {axis}",
            "",
            "| right \\ given | " + " | ".join(labels) + " |",
            "|---" * (len(labels) + 1) + "|",
        ]
        for label, row in zip(labels, validation[axis]["confusion"], strict=True):
            lines.append(f"| {label} | " + " | ".join(map(str, row)) + " |")
    review = manifest["review"]
    lines += [
        "",
        "## When a person should look",
        "",
        f"Where the category is less sure than its threshold: the least confidence from which on {REVIEW_ACCURACY:.0%}",
        "of the answers above are right, each source counting alike. And where a text gives too little to go by,",
        f"measured against the rows of the other folds: {review['without_evidence_share']:.1%} of the rows do.",
        f"Together these are {review['needs_review_share']:.1%} of the rows,",
        f"and {review['accuracy_without_review']:.1%} of the rest are right.",
        "",
        "| category | threshold |",
        "|---|---|",
        *(f"| {category} | {below:.2f} |" for category, below in review["below_confidence"].items()),
        "",
        "## What it is not for",
        "",
        "It reads English inquiries to a company or a public body, not other languages and not conversations at large.",
        "It decides who looks at an inquiry first, never what is done about it, and does not look at who wrote.",
        "Low confidence means that a person should look.",
        "",
    ]
    return "\n".join(lines)
