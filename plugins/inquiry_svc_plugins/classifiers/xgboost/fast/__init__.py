"""The same answers in a fraction of the time: `kernel.c`, which is compiled where the package is installed.

This room has one door, `quickened`; nothing outside needs to know what is behind it. What numpy answers stays the
specification: the kernel is used only where it was built and, each time it is loaded, reads some texts as numpy does.
C rather than numba, which is as quick but adds 120 MB to each process and a second to the first start.
"""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.giving_way import go_on
from inquiry_svc.inquiries import AXES, Text
from inquiry_svc_plugins.classifiers.xgboost.convolution import FILTERS, MEAN_PARTS, WINDOW
from inquiry_svc_plugins.classifiers.xgboost.evidence import (
    AMOUNT,
    DIGITS_SHARE,
    EVERYDAY_SHARE,
    LISTED_FROM,
    spelling_bounds,
)
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKET_BITS, SURFACE, word_lists
from inquiry_svc_plugins.classifiers.xgboost.lexicon import LEXICON
from inquiry_svc_plugins.classifiers.xgboost.lookalikes import as_seen
from inquiry_svc_plugins.classifiers.xgboost.meanings import ROW
from inquiry_svc_plugins.classifiers.xgboost.model import TriageModel
from inquiry_svc_plugins.classifiers.xgboost.units import unit_tables

logger = logging.getLogger(__name__)

LIBRARY: Final = Path(__file__).with_name("kernel.so")
TOLERANCE: Final = 1e-9
"""How far a probability may be from numpy's. They differ by the last rounding of `exp`: 4e-16 has been seen."""

_LABELS: Final = sum(map(len, AXES.values()))
_END: Final = "\x00"
_LETS_GO_FROM_BYTES: Final = 24_000
"""Less is read in half a millisecond: giving up the interpreter's lock and waiting to get it back would take longer
than anybody gains by it."""
_PROBES: Final = (
    Text("Charged twice", "My card was charged TWICE for March!! Can\u2019t you refund \u00a312? See www.example.org"),
    Text("", "ask ana@example.org, it's urgent: " + "nobody answers the phone since Monday, " * 9),
    Text("\u200b\U0001f44d", "\ud83d caf\u00e9 \u041f\u0440\u0438\u0432\u0435\u0442\x00\u8acb\u6c42\u66f8"),
    Text("", ""),
)


def quickened(model: TriageModel, pause: Callable[[], None] = go_on) -> TriageModel:
    """The model, answering by the kernel; or, where that is not there or answers otherwise, the model as it is.

    `pause` is called after each step: see `Host`.
    """
    try:
        parts = {each.name: getattr(model, each.name) for each in fields(TriageModel)}
        quick = FastModel(**parts, kernel=_Kernel(model))
        pause()
        probabilities, evidence = quick.judge(_PROBES)
        for place, probe in enumerate(_PROBES):
            pause()
            same = zip((probabilities[[place]], evidence[[place]]), model.judge([probe]), strict=True)
            if not all(np.allclose(ours, theirs, rtol=0, atol=TOLERANCE) for ours, theirs in same):
                raise OSError(f"{LIBRARY} does not answer as numpy does")
    except OSError as error:
        logger.warning(
            "classifying with numpy, which takes five times as long, since the compiled kernel can't be used (%s); "
            "install this package again where there is a C compiler, or where ziglang can be had from PyPI",
            error,
        )
        return model
    return quick


@dataclass(frozen=True, slots=True, kw_only=True)
class FastModel(TriageModel):
    kernel: _Kernel

    def read(self, texts: Sequence[Text]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.kernel.read(texts)


class _Kernel:
    """`kernel.c` over the tables of one model. May be called by several threads at once."""

    def __init__(self, model: TriageModel) -> None:
        """Raises `OSError` where the library was not built, or for another machine or version of this package."""
        self._holding_lock, self._letting_go = (_function(loader) for loader in (ctypes.PyDLL, ctypes.CDLL))
        self._tables: list[NDArray[Any]] = []
        units = unit_tables()
        self._model = _Model(
            kinds=self._address(units.kinds, np.uint8),
            folded=self._address(units.folded, np.uint16),
            whitespace=self._address(_whitespace(), np.uint8),
            powers=self._address(units.powers, np.uint32),
            word_lists=self._address(word_lists(), np.uint8),
            last_power=len(units.powers) - 1,
            rows=self._address(model.linear.rows, np.int32),
            table=self._address(model.linear.table, np.float32),
            meaning_rows=self._address(model.linear.meanings.rows, np.int32),
            meanings=self._address(model.linear.meanings.table, np.float32),
            token_rows=self._address(model.linear.convolution.rows, np.int32),
            worth=self._address(model.linear.convolution.table, np.int8),
            filter_bias=self._address(model.linear.convolution.bias, np.int16),
            filter_out=self._address(model.linear.convolution.out, np.int16),
            filter_scale=self._address(model.linear.convolution.scale, np.float32),
            bias=self._address(model.linear.bias, np.float32),
            character_share=float(model.linear.character_share),
            spelling=_Bounds(*spelling_bounds(model.familiar_from)),
            amount=_Bounds(*AMOUNT),
            everyday_share=_Bounds(*EVERYDAY_SHARE),
            digits_share=_Bounds(*DIGITS_SHARE),
            listed_from=LISTED_FROM,
            forests=(_Forest * len(AXES))(*(self._forest(model, axis) for axis in AXES)),
        )

    def read(self, texts: Sequence[Text]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        units = _joined(texts).encode("utf-16-le", "surrogatepass")
        found = np.empty((_LABELS + 1) * len(texts))
        call = self._holding_lock if len(units) < _LETS_GO_FROM_BYTES else self._letting_go
        if not call(self._model, units, len(units) // 2, len(texts), found.ctypes.data):
            raise MemoryError(f"no room for {len(texts)} texts of {len(units):,} bytes; give fewer in one call")
        probabilities, evidence = found[: -len(texts)], found[-len(texts) :]
        return probabilities.reshape(-1, _LABELS), evidence

    def _forest(self, model: TriageModel, axis: str) -> _Forest:
        forest = model.forests[axis]
        splits, trees = forest.columns.shape
        return _Forest(
            columns=self._address(forest.columns.T, np.int32),
            thresholds=self._address(forest.thresholds.T, np.float32),
            leaves=self._address(forest.leaves, np.float32),
            splits=splits,
            trees=trees,
            labels=forest.labels,
            temperatures=_Temperatures(model.temperatures[axis].short, model.temperatures[axis].long),
        )

    def _address(self, table: NDArray[Any], kind: type[np.generic]) -> int:
        """Of the table as the kernel reads it, kept as long as this is."""
        self._tables.append(np.ascontiguousarray(table, kind))
        return self._tables[-1].ctypes.data


def _joined(texts: Sequence[Text]) -> str:
    parts = [as_seen(part) for text in texts for part in (text.subject, text.body)]
    joined = _END.join(parts) + _END
    if joined.count(_END) != len(parts):
        joined = _END.join([part.replace(_END, " ") for part in parts]) + _END
    return joined


@cache
def _whitespace() -> NDArray[np.uint8]:
    """Of each UTF-16 unit whether it ends a word for `str.split`, by which addresses are found."""
    found = np.zeros(0x10000, np.uint8)
    found[[match.start() for match in re.finditer(r"\s", "".join(map(chr, range(0x10000))))]] = 1
    return found


# As `kernel.c` and `features.h` declare them


class _Temperatures(ctypes.Structure):
    _fields_ = (("at_short", ctypes.c_float), ("at_long", ctypes.c_float))


class _Forest(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("columns", "thresholds", "leaves")),
        *((name, ctypes.c_int32) for name in ("splits", "trees", "labels")),
        ("temperatures", _Temperatures),
    )


class _Bounds(ctypes.Structure):
    _fields_ = (("nothing", ctypes.c_double), ("enough", ctypes.c_double))


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("kinds", "folded", "whitespace", "powers", "word_lists")),
        ("last_power", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("rows", "table", "meaning_rows", "meanings")),
        *((name, ctypes.c_void_p) for name in ("token_rows", "worth", "filter_bias", "filter_out", "filter_scale")),
        ("bias", ctypes.c_void_p),
        ("character_share", ctypes.c_double),
        *((name, _Bounds) for name in ("spelling", "amount", "everyday_share", "digits_share")),
        ("listed_from", ctypes.c_double),
        ("forests", _Forest * len(AXES)),
    )


_SHAPE: Final = (
    *(ctypes.sizeof(_Model), BUCKET_BITS, _LABELS, ROW, len(SURFACE), len(LEXICON)),
    *(WINDOW, FILTERS, MEAN_PARTS),
)


def _function(loader: Callable[[str], ctypes.CDLL]) -> Callable[..., int]:
    library = loader(str(LIBRARY))
    if tuple((ctypes.c_int32 * len(_SHAPE)).in_dll(library, "inquiry_shape")) != _SHAPE:
        raise OSError(f"{LIBRARY} was built from another version of this package")
    function = library.inquiry_probabilities
    function.argtypes = (ctypes.POINTER(_Model), ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    function.restype = ctypes.c_int
    return function
