"""How long does the classifier take from texts to verdicts? By length and batch, the compiled kernel beside numpy.

    python -m benchmarks.predictor

CPU time of this process, both ways in turn over the same texts, which are cut from the corpus and each read once a
round. Their answers are compared: a quick wrong one fails the run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import click
import numpy as np

from benchmarks.__main__ import CORPUS
from benchmarks.results_file import write_results
from benchmarks.servers import SERVER_CORE, use_core
from inquiry_svc.inquiries import Text
from inquiry_svc.labelled import read_labelled
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL
from inquiry_svc_plugins.classifiers.xgboost.fast import FastModel, quickened
from inquiry_svc_plugins.classifiers.xgboost.model import TriageModel, load_model

_LENGTHS: Final = (50, 150, 900, 5_000, 10_000)
_BATCHES: Final = (1, 8, 64, 512)
_MOST_CHARACTERS: Final = 640_000
"""In a batch."""
_CHARACTERS_A_ROUND: Final = 60_000
"""At least, and at least one batch."""
_BEYOND_ASCII: Final = str.maketrans({"e": "\u00e9", "'": "\u2019", "!": "\U0001f525"})


@dataclass(frozen=True, slots=True)
class Case:
    length: int
    batch: int
    ascii: bool
    batches: list[list[Text]]


@click.command()
@click.option("--rounds", default=9, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(rounds: int, seed: int) -> None:
    """Measure, compare, print, and write `results/predictor.json`."""
    use_core(SERVER_CORE)
    reference = load_model(PACKAGED_MODEL)
    quick = quickened(reference)
    if not isinstance(quick, FastModel):
        raise click.ClickException("the compiled kernel is not there; see the warning, then `make` again")
    cases = list(_cases(seed))
    kernel_us: list[list[float]] = [[] for _ in cases]
    numpy_us: list[list[float]] = [[] for _ in cases]
    with click.progressbar(length=rounds * len(cases), label="Measuring") as bar:
        for _ in range(rounds):
            for place, case in enumerate(cases):
                kernel_us[place].append(_us_a_text(quick, case))
                numpy_us[place].append(_us_a_text(reference, case))
                bar.update(1)
    rows = [
        {
            "characters": case.length,
            "ascii": case.ascii,
            "batch": case.batch,
            "kernel_us": round(median(kernel), 1),
            "kernel_lowest_us": round(min(kernel), 1),
            "numpy_us": round(median(numpy), 1),
            "numpy_lowest_us": round(min(numpy), 1),
            "numpy_to_kernel": round(median(numpy) / median(kernel), 1),
            "furthest_apart": max(_apart(quick, reference, texts) for texts in case.batches),
        }
        for case, kernel, numpy in zip(cases, kernel_us, numpy_us, strict=True)
    ]
    _print(rows)
    write_results("predictor", rows=rows, parameters={"rounds": rounds, "seed": seed})


def _print(rows: list[dict[str, Any]]) -> None:
    click.echo(
        f"{'characters':>10}{'':11}{'batch':>6}{'kernel us':>11}{'lowest':>8}{'numpy us':>10}{'lowest':>8}{'x':>6}"
    )
    for row in rows:
        click.echo(
            f"{row['characters']:10,}{'' if row['ascii'] else ' not ASCII':11}{row['batch']:6}{row['kernel_us']:11.1f}"
            f"{row['kernel_lowest_us']:8.1f}{row['numpy_us']:10.1f}{row['numpy_lowest_us']:8.1f}"
            f"{row['numpy_to_kernel']:6.1f}"
        )


def _cases(seed: int) -> Iterator[Case]:
    mails = [row.text.body for row in read_labelled(sorted(CORPUS.glob("*.jsonl")))]
    random.Random(seed).shuffle(mails)
    everything = " ".join(mails)
    for length in _LENGTHS:
        for ascii_only in (True, False):
            for batch in _BATCHES:
                if length * batch <= _MOST_CHARACTERS:
                    count = -(-_CHARACTERS_A_ROUND // (length * batch))
                    texts = [_text(everything, place * length, length, ascii_only) for place in range(count * batch)]
                    yield Case(
                        length, batch, ascii_only, [texts[at : at + batch] for at in range(0, len(texts), batch)]
                    )


def _text(everything: str, start: int, length: int, ascii_only: bool) -> Text:
    start %= len(everything) - length
    cut = everything[start : start + length]
    cut = cut.encode("ascii", "replace").decode() if ascii_only else cut.translate(_BEYOND_ASCII)
    return Text(cut[: length // 10], cut[length // 10 :])


def _us_a_text(model: TriageModel, case: Case) -> float:
    started = time.process_time()
    for texts in case.batches:
        model.verdicts(texts)
    return (time.process_time() - started) * 1e6 / (len(case.batches) * case.batch)


def _apart(quick: TriageModel, reference: TriageModel, texts: Sequence[Text]) -> float:
    apart = float(np.abs(quick.probabilities(texts) - reference.probabilities(texts)).max())
    if apart > 1e-6 or _labels(quick, texts) != _labels(reference, texts):
        raise click.ClickException(f"the kernel does not answer as numpy does: {apart} apart")
    return apart


def _labels(model: TriageModel, texts: Sequence[Text]) -> list[tuple[str, str, str]]:
    return [(each.category.label, each.sentiment.label, each.urgency.label) for each in model.verdicts(texts)]


if __name__ == "__main__":
    main()
