"""How well classifiers on embeddings recognise species, compared with the model's own scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from runtime.errors import counted, some
from runtime.explore import metrics
from runtime.explore.calibration import Calibration, calibrate, calibrate_across, give_across, thresholds
from runtime.explore.label_files import Labels, NotLearnableError
from runtime.explore.labelled_rows import LabelledRows, explain_not_learnable, join
from runtime.explore.probe import Probe, cross_validate, deal_folds, learnable
from runtime.explore.random_share import NONE, RandomShare, estimate
from runtime.explore.rows import RowFile
from runtime.explore.species import find_columns
from runtime.explore.tables import format_table

METRICS = ("MAP", "cMAP5", "top-1", "ROC-AUC")
SCORING = ("namespace", "unmapped", "logit_scale", "activation", "smooth")
FEWEST = 5
"""Fewest labelled windows with a species for which probabilities are given."""


@dataclass(frozen=True)
class Evaluation:
    """Classifiers learnt from labelled windows, and how good they are.

    names: the species that could be learnt.
    truth: which species each labelled row holds, bool `[rows, species]`.
    probabilities: of the labelled rows, float64 `[rows, species]`; classifier and calibration never saw the row's
        recording.
    enough: which species have at least `FEWEST` labelled windows, bool `[species]`. The others are never given, and
        their probabilities may only help to choose what to label next.
    thresholds: the probability from which on a window is given a species, float32 `[species]`, as runs compare them;
        infinite for never.
    given: which species the labelled rows would be given, bool `[rows, species]`, by thresholds that never saw the
        row's recording.
    random: what the random share of the labels says; None if there is none.
    raw, named: the model's own scores, float32 `[rows, named]`, and the place of each column's species in `names`.
    no_raw: why some or all species have no raw scores, as a sentence; empty if all have.
    """

    labelled: LabelledRows
    names: tuple[str, ...]
    truth: NDArray[np.bool_]
    folds: NDArray[np.int64]
    probe: Probe
    calibration: Calibration
    probabilities: NDArray[np.float64]
    enough: NDArray[np.bool_]
    thresholds: NDArray[np.float32]
    given: NDArray[np.bool_]
    random: RandomShare | None
    precision: float
    raw: NDArray[np.float32]
    named: NDArray[np.int64]
    no_raw: str

    def linear(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Classifiers and calibration in one: weights, float64 `[embedding, species]`, and bias, float64 `[species]`.

        A probability is the sigmoid of `embedding @ weights + bias`.
        """
        slopes, offsets = self.calibration.slopes, self.calibration.offsets
        return self.probe.weights * slopes, self.probe.bias * slopes + offsets

    def probabilities_of(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of the species in new windows, float32 `[rows, species]`.

        They are rounded as a taught model's are, so that both reach the same thresholds. Sums are taken in float64: in
        float32, those over a thousand numbers move a probability by more than 1e-6.
        """
        weights, bias = self.linear()
        return np.asarray(expit(embeddings @ weights + bias), np.float32)

    @property
    def average_precision(self) -> NDArray[np.float64]:
        """How well each species is ranked in recordings that its classifier did not learn from, float64 `[species]`."""
        return metrics.class_average_precision(self.probe.scores, self.truth)

    @property
    def roc_auc(self) -> NDArray[np.float64]:
        """The area under each species' ROC curve in such recordings, float64 `[species]`."""
        return metrics.class_roc_auc(self.probe.scores, self.truth)

    @property
    def calibration_error(self) -> float:
        """Of the probabilities of species with enough labels, in such recordings; NaN if there are none."""
        return metrics.calibration_error(self.probabilities[:, self.enough], self.truth[:, self.enough])

    def report(self) -> str:
        """The evaluation as text."""
        share = self.random.report(self.precision) if self.random else NONE
        return "\n".join(
            [*self._counts(), "", *self._comparison(), "", self._species(), "", *self._remarks(), "", share]
        )

    def _counts(self) -> list[str]:
        recordings, folds = self.labelled.recordings.max() + 1, self.folds.max() + 1
        strengths = ", ".join(f"{strength:g}" for strength in self.probe.strengths)
        lines = [
            f"{counted(len(self.truth), 'labelled window')} of {counted(recordings, 'recording')} in {folds} folds; "
            f"{len(self.names):,} species; C {strengths}"
        ]
        if self.labelled.skipped:
            lines.append(f"left out: {counted(self.labelled.skipped, 'labelled window')} without a row")
        if self.labelled.unscored:
            lines.append(f"left out: {counted(self.labelled.unscored, 'labelled window')} without a score")
        left_out = [name for name in self.labelled.names if name not in self.names]
        if left_out:
            lines.append(f"left out, labelled as present and as absent in too few recordings: {some(left_out)}")
        return lines

    def _comparison(self) -> list[str]:
        lines_of = [("embedding, cross-validated", len(self.names), *_metrics(self.probe.scores, self.truth))]
        if len(self.named):
            truth = self.truth[:, self.named]
            if len(self.named) < len(self.names):
                scores = self.probe.scores[:, self.named]
                lines_of.append(("embedding, species with a raw logit", len(self.named), *_metrics(scores, truth)))
            lines_of.append(("raw logits", len(self.named), *_metrics(self.raw, truth)))
        lines = [format_table(("", "species", *METRICS), lines_of)]
        if self.no_raw:
            lines.append(self.no_raw)
        return lines

    def _species(self) -> str:
        recordings = [len(np.unique(self.labelled.recordings[column])) for column in self.truth.T]
        raw = np.full(len(self.names), np.nan)
        if len(self.named):
            raw[self.named] = metrics.class_roc_auc(self.raw, self.truth[:, self.named])
        recall = (self.given & self.truth).sum(axis=0) / self.truth.sum(axis=0)
        lines = zip(
            self.names,
            self.truth.sum(axis=0).tolist(),
            recordings,
            self.average_precision.tolist(),
            self.roc_auc.tolist(),
            raw.tolist(),
            np.where(np.isfinite(self.thresholds), self.thresholds, np.nan).tolist(),
            recall.tolist(),
            strict=True,
        )
        header = ("species", "windows", "recordings", "AP", "ROC-AUC", "raw logits", "given from", "found")
        return format_table(header, list(lines))

    def _remarks(self) -> list[str]:
        lacks = [
            f"{name} ({FEWEST - count} more)"
            for name, count in zip(self.names, self.truth.sum(axis=0).tolist(), strict=True)
            if count < FEWEST
        ]
        lines = [f"without probabilities, for want of {FEWEST} labelled windows: {some(lacks)}"] if lacks else []
        if self.enough.any():
            probabilities, truth = self.probabilities[:, self.enough], self.truth[:, self.enough]
            best = np.arange(len(truth)), probabilities.argmax(axis=1)
            most = metrics.calibration_error(probabilities[best], truth[best])
            correct, never = int((self.given & self.truth).sum()), int(np.isinf(self.thresholds[self.enough]).sum())
            lines += [
                f"expected calibration error {self.calibration_error:.3f} over all windows and species, {most:.3f} "
                "over each window's most probable one (10 bins, cross-validated)",
                f"at a precision of {self.precision:g} labelled windows would be given {int(self.given.sum())} "
                f"species, {correct} of them correctly (cross-validated); {never} of {truth.shape[1]} species are "
                "never given",
            ]
        return lines


def evaluate(files: Sequence[RowFile], labels: Labels, precision: float, skip_missing: bool = False) -> Evaluation:
    """Learns the species of `labels` from the embeddings of rows, recording by recording.

    Raises:
        InputError: labels and rows do not belong together.
        NotLearnableError: nothing can be learnt from them.
    """
    labelled = join(files, labels, skip_missing)
    if not labelled.recordings.any():
        raise NotLearnableError(
            f"all labelled windows of {labels.source} are of one recording; classifiers are tested on "
            "recordings that they did not learn from: label windows of at least two, better five"
        )
    if not labelled.names:
        raise NotLearnableError(f"{labels.source} names no species; write a line for each window and species it holds")
    folds = deal_folds(labelled.recordings, labelled.truth)
    can_learn = learnable(labelled.truth, folds)
    if not can_learn.any():
        raise NotLearnableError(f"nothing can be learnt from {labels.source}: {explain_not_learnable(labelled)}")
    names = tuple(name for name, possible in zip(labelled.names, can_learn, strict=True) if possible)
    truth = labelled.truth[:, can_learn]
    raw, named, no_raw = _raw_logits(files, labelled, names)
    probe = cross_validate(labelled.read(files, "embedding"), truth, folds)
    probabilities = calibrate_across(probe.scores, truth, folds)
    enough = truth.sum(axis=0) >= FEWEST
    given = give_across(probabilities, truth, folds, precision) & enough
    return Evaluation(
        labelled=labelled,
        names=names,
        truth=truth,
        folds=folds,
        probe=probe,
        calibration=calibrate(probe.scores, truth),
        probabilities=probabilities,
        enough=enough,
        thresholds=np.where(enough, thresholds(probabilities, truth, precision), np.inf).astype(np.float32),
        given=given,
        random=estimate(files, labelled, truth, given),
        precision=precision,
        raw=raw,
        named=named,
        no_raw=no_raw,
    )


def _raw_logits(
    files: Sequence[RowFile], labelled: LabelledRows, names: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.int64], str]:
    """The model's own scores, `[labelled rows, named]`; places of their species; and why other species have none."""
    none = np.empty((len(labelled.truth), 0), np.float32), np.empty(0, np.int64)
    for file in files:
        if "label" not in file.shapes:
            return *none, f"{file.source} holds no raw logits to compare with (--outputs embedding,label keeps them)"
        if file.classes["label"] != files[0].classes["label"] or any(
            file.options.get(name) != files[0].options.get(name) for name in SCORING
        ):
            return *none, f"{file.source} and {files[0].source} hold different logits, which are not compared"
    columns = find_columns(names, files[0].classes["label"])
    named = np.flatnonzero(columns >= 0)
    if not len(named):
        return (
            *none,
            f"the model has none of the species (such as {some(names)}), so there are no raw logits to compare with",
        )
    raw = labelled.read(files, "label", columns[named].tolist())
    varies = np.ptp(raw, axis=0) > 0  # a constant column is a class that the model lacks
    named, raw = named[varies], raw[:, varies]
    others = [name for i, name in enumerate(names) if i not in named]
    return raw, named, f"not among the model's classes: {some(others)}" if others else ""


def _metrics(scores: metrics.Scores, truth: metrics.Truth) -> tuple[float, float, float, float]:
    return (
        metrics.mean_average_precision(scores, truth),
        metrics.cmap(scores, truth),
        metrics.top1_accuracy(scores, truth),
        metrics.macro_roc_auc(scores, truth),
    )
