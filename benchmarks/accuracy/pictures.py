"""The figures as pictures, in `benchmarks/pictures/`: the same figures give the same bytes on the locked versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy.figures import SHARES
from benchmarks.accuracy.page import cost_us
from inquiry_svc.inquiries import AXES
from inquiry_svc_plugins.classifiers.cascade import CascadeSettings

PICTURES: Final = Path(__file__).parents[1] / "pictures"
COLOURS: Final[Mapping[str, str]] = {
    "shipped": "#0b6e4f",
    "linear alone": "#3b7dd8",
    "XGBoost alone": "#d98c1f",
    "MiniLM": "#8e44ad",
    "keyword": "#8a8a8a",
}
ENOUGH: Final = 10
"""Rows of a bin: fewer say little of how often it is right."""
Systems = Mapping[str, Any]


def draw_reliability(systems: Systems) -> None:
    """For each axis: what the systems say that they are sure of, against how often they are right."""
    figure, axes = plt.subplots(1, len(AXES), figsize=(12, 4.4), sharey=True, layout="constrained")
    for axis, place in zip(AXES, axes, strict=True):
        place.plot([0, 1], [0, 1], color="#c0c0c0", linewidth=1, linestyle="--")
        for name, found in systems.items():
            bins = [each for each in found["axes"][axis]["reliability"] if each["rows"] >= ENOUGH]
            place.plot(
                [each["confidence"] for each in bins],
                [each["accuracy"] for each in bins],
                color=COLOURS.get(name),
                marker="o",
                markersize=4,
                linewidth=2.4 if name == "shipped" else 1.2,
                label=f"{name}, ECE {found['axes'][axis]['ece']:.3f}",
            )
        place.set(title=axis, xlabel="confidence", xlim=(0.15, 1.02), ylim=(0, 1.02))
        place.legend(loc="lower right", fontsize=8, frameon=False)
    axes[0].set_ylabel("share that is right")
    figure.suptitle(
        f"Reliability: on the dashed line, confidence is the share of right answers (bins of {ENOUGH} rows and more)"
    )
    _keep(figure, "reliability")


def draw_review_curve(systems: Systems) -> None:
    """The share of inquiries that people look at, the least sure first, against how right the rest is."""
    figure, place = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    for name, found in systems.items():
        place.plot(
            [share * 100 for share in SHARES],
            [accuracy * 100 for accuracy in found["review_curve"]],
            color=COLOURS.get(name),
            linewidth=2.4 if name == "shipped" else 1.4,
            label=name,
        )
    shipped = systems["shipped"]["review"]
    place.plot(
        shipped["share"] * 100,
        shipped["accuracy_of_the_rest"] * 100,
        marker="*",
        markersize=13,
        color=COLOURS["shipped"],
        linestyle="none",
        label="shipped, its own thresholds",
    )
    place.set(
        title="What people look at, and how right the rest is",
        xlabel="share reviewed, the least sure category first, %",
        ylabel="category right in the rest, %",
        xlim=(0, SHARES[-1] * 100),
    )
    place.grid(color="#e4e4e4")
    place.legend(frameon=False)
    _keep(figure, "review_curve")


def draw_confusion(axis: str, systems: Systems) -> None:
    """A square for each system: the right label by row, the label given by column, as shares of the row."""
    columns = min(3, len(systems))
    lines = -(-len(systems) // columns)
    labels = [label.replace("_", " ") for label in AXES[axis]]
    side = 1.9 + 0.42 * len(labels)
    figure, places = plt.subplots(lines, columns, figsize=(side * columns, side * lines), layout="constrained")
    panels = places.ravel().tolist() if len(systems) > 1 else [places]
    for place, (name, found) in zip(panels, systems.items(), strict=False):
        _square(place, found["axes"][axis]["confusion"], labels)
        place.set_title(f"{name}: {found['axes'][axis]['accuracy']:.1%}", fontsize=10)
    for place in panels[len(systems) :]:
        place.axis("off")
    figure.suptitle(f"{axis}: right label by row, given label by column, rows in the squares")
    _keep(figure, f"confusion_{axis}")


def draw_cascade(found: Mapping[str, Any]) -> None:
    """What a text costs against how often it is right, one curve an axis, a point for each threshold."""
    figure, place = plt.subplots(figsize=(8, 4.8), layout="constrained")
    points = found["judging"]["cascade"]
    costs_ms = [cost_us(found, point) / 1000 for point in points]
    for axis, colour in zip(found["asked"], ("#0b6e4f", "#8e44ad", "#d98c1f"), strict=False):
        for name, style in (("judging", "-"), ("held_out", ":")):
            accuracy = [100 * point[axis] for point in found[name]["cascade"]]
            hands = "judging hands" if name == "judging" else "hands held out of the training"
            place.plot(
                costs_ms, accuracy, color=colour, linestyle=style, marker="o", markersize=3, label=f"{axis}, {hands}"
            )
            chosen = [each["below"] for each in points].index(CascadeSettings().below)
            place.plot(costs_ms[chosen], accuracy[chosen], color=colour, marker="*", markersize=13)
    place.set(
        title="The cascade: cost against accuracy, by the threshold (star: the default)",
        xlabel="processor time a text, ms",
        ylabel="right, %",
    )
    place.grid(color="#e4e4e4")
    place.legend(frameon=False, fontsize=8)
    _keep(figure, "cascade")


def _square(place: Axes, confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> None:
    shares = [[count / max(sum(row), 1) for count in row] for row in confusion]
    place.imshow(shares, cmap="Greens", vmin=0, vmax=1)
    for line, row in enumerate(confusion):
        for column, count in enumerate(row):
            if count:
                dark = shares[line][column] > 0.55
                place.text(
                    column, line, str(count), ha="center", va="center", fontsize=8, color="white" if dark else "black"
                )
    place.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=8)
    place.set_yticks(range(len(labels)), labels, fontsize=8)


def _keep(figure: Figure, name: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    figure.savefig(PICTURES / f"{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)
