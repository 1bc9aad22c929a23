"""The comparison in brief: a few figures of each head, its worst windows and columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from benchmarks.parity.comparison import HeadDifferences, top
from benchmarks.parity.measurement import FileMeasurement, ModelMeasurement
from benchmarks.parity.verdict import on_same_audio, stated_tolerance
from benchmarks.parity.windows import WindowRef

WORST = 4
"""How many of the worst windows, and of the worst columns of each head, to show."""
MORE_IS_BETTER = ("top1", "top5", "rank_least", "rank_median")


@dataclass(frozen=True)
class HeadSummary:
    """A few figures of one head. Errors are over the range; `top1`, `top5` and ranks are None unless it has classes."""

    error: float
    mean_error: float
    cosine_distance: float
    median_cosine_distance: float
    common: float
    top1: float | None
    top5: float | None
    rank_least: float | None
    rank_median: float | None


def summarise(compared: HeadDifferences) -> HeadSummary:
    """The figures of a head in one setting."""
    ranks = compared.ranks
    return HeadSummary(
        error=float(compared.window_errors.max()),
        mean_error=compared.mean_error,
        cosine_distance=float(compared.cosine_distances.max()),
        median_cosine_distance=float(np.median(compared.cosine_distances)),
        common=compared.common,
        top1=None if compared.top1_equal is None else compared.top1_equal / len(compared.window_errors),
        top5=compared.top5,
        rank_least=None if ranks is None else float(ranks.min()),
        rank_median=None if ranks is None else float(np.median(ranks)),
    )


def worst(several: Iterable[HeadSummary]) -> HeadSummary:
    """The worst of each figure over all settings."""
    every = list(several)
    figures = {}
    for name in (each.name for each in fields(HeadSummary)):
        values = [getattr(one, name) for one in every]
        figures[name] = None if None in values else float((np.min if name in MORE_IS_BETTER else np.max)(values))
    return HeadSummary(**figures)  # type: ignore[arg-type]  # None only where it may be


def by_head(measured: FileMeasurement) -> dict[str, HeadSummary]:
    """Each head that was compared, the worst over all settings."""
    names = [name for name in measured.heads if measured.compared]
    return {name: worst(summarise(heads[name]) for heads in measured.compared.values()) for name in names}


def window_errors(measured: FileMeasurement, head: str) -> NDArray[np.float64]:
    """Each window's greatest error, the worst over all settings."""
    return np.max([heads[head].window_errors for heads in measured.compared.values()], axis=0)


def worst_columns(measured: FileMeasurement, head: str) -> list[tuple[int, float]]:
    """The columns with the greatest errors, and these errors, the worst over all settings."""
    errors = np.max([heads[head].column_errors for heads in measured.compared.values()], axis=0)
    return [(int(i), float(errors[i])) for i in top(errors, WORST)]


@dataclass(frozen=True)
class WorstWindow:
    """A window in which a head is far off, and both models' top species in it with their logits.

    `onnx` is None if the file has no output `label`.
    """

    window: WindowRef
    head: str
    error: float
    tensorflow: list[tuple[str, float]]
    onnx: list[tuple[str, float]] | None


def worst_windows(measurement: ModelMeasurement, measured: FileMeasurement, audio: str) -> list[WorstWindow]:
    """The windows whose errors are the greatest shares of an output's stated tolerance, the worst first."""
    source, heads = measurement.source, measured.heads if measured.compared else []
    if not heads:
        return []
    errors = np.stack([window_errors(measured, name) for name in heads])
    native, same_audio = source.stablehlo is not None, on_same_audio(measured.artifact, audio)
    bounds = np.array([[stated_tolerance(measured.artifact, name, native, same_audio).error] for name in heads])
    shares = np.nan_to_num(errors / bounds, nan=np.inf)
    worst_first = []
    for i in top(shares.max(axis=0), WORST):
        head = int(shares[:, i].argmax())
        own = None
        if measured.logits is not None:
            own = _top_species(measured.artifact.heads["label"].classes, measured.logits[i])
        theirs = _top_species(source.class_lists["label"][0].names, measurement.logits[i])
        worst_first.append(WorstWindow(measurement.windows[i], heads[head], float(errors[head, i]), theirs, own))
    return worst_first


def _top_species(names: Sequence[str], logits: NDArray[np.float32]) -> list[tuple[str, float]]:
    return [(names[i], float(logits[i])) for i in top(logits)]
