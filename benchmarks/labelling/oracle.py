"""An oracle labels windows round by round, and what is learnt from its labels is tried on unseen recordings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.labelling.pool import NAMES, Deal, World, deal
from runtime.console.progress import progress_bar
from runtime.errors import InputError
from runtime.explore import metrics
from runtime.explore.evaluation import Evaluation, evaluate
from runtime.explore.label_files import Labels
from runtime.explore.predictions import Uncertainty, predict_unlabelled
from runtime.explore.random_share import draw

WAYS = {
    "worth": "what the page calls most worth labelling",
    "random": "in random order",
    "species": "the highest scores of one species after another",
    "species and random": "four fifths like that, a fifth in random order",
}
"""How windows are chosen, by name. The first round is always random."""
RANDOM_SHARE = {"worth": 0.0, "random": 1.0, "species": 0.0, "species and random": 0.2}
"""The part of each further round that is random."""


@dataclass(frozen=True)
class Score:
    """What so many labels teach.

    average_precision: over the unseen windows, the mean over species; one that is not learnt counts as unranked.
    enough: how many species have labels enough for probabilities.
    given, right: species given to unseen windows at the stored thresholds, and how many of these are right.
    present: species in the unseen windows.
    calibration_error: of the probabilities in unseen windows; None if there are none.
    claimed: the precision in the labelled windows, by cross-validation; None if they would be given nothing.
    interval: of the precision, by the random share of the labels; None if there is none to tell.
    """

    labels: int
    average_precision: float
    enough: int
    given: int
    right: int
    present: int
    calibration_error: float | None
    claimed: float | None
    interval: tuple[float, float] | None


def play_all(
    world: World, soundscapes: int, seeds: int, labels: int, round_size: int, precision: float
) -> dict[str, list[list[Score]]]:
    """The scores of each way, seed by seed, round by round; each seed deals the soundscapes anew."""
    games: dict[str, list[list[Score]]] = {way: [] for way in WAYS}
    with (
        tempfile.TemporaryDirectory(prefix="perch-labelling-") as folder,
        progress_bar(seeds * len(WAYS), desc="games") as bar,
    ):
        for seed in range(seeds):
            dealt = deal(world, seed, soundscapes, Path(folder))
            for way, played in games.items():
                played.append(list(play(dealt, way, labels, round_size, precision)))
                bar.update()
    return games


def play(dealt: Deal, way: str, labels: int, round_size: int, precision: float) -> Iterator[Score]:
    """The score after each round."""
    shuffled = sorted(range(dealt.file.count), key=lambda row: draw(str(dealt.file.row_ids[row])))
    answered: dict[int, bool] = {}  # each row, and whether it was served in random order
    evaluation = None
    labels = min(labels, dealt.file.count)
    for start in range(0, labels, round_size):
        size = min(round_size, labels - start)
        chosen = _choose(dealt, way, evaluation, size, answered) if start else []
        answered |= dict.fromkeys(chosen, False)
        others = [row for row in shuffled if row not in answered][: size - len(chosen)]
        answered |= dict.fromkeys(others, True)
        evaluation = _teach(dealt, answered, precision)
        yield _score(dealt, len(answered), evaluation)


def _teach(dealt: Deal, answered: dict[int, bool], precision: float) -> Evaluation | None:
    """What is learnt from these rows; None if that is nothing yet."""
    row_ids = dealt.file.row_ids
    rows = {str(row_ids[row]): dealt.species(row) for row in answered}
    drawn = frozenset(str(row_ids[row]) for row, by_chance in answered.items() if by_chance)
    try:
        return evaluate([dealt.file], Labels("the oracle's labels", rows, random=drawn), precision)
    except InputError:
        return None


def _choose(dealt: Deal, way: str, evaluation: Evaluation | None, size: int, answered: dict[int, bool]) -> list[int]:
    """Rows of the next round, but for those that are taken in random order."""
    size -= round(size * RANDOM_SHARE[way])
    if evaluation is None or not size:
        return []
    if way != "worth":
        return _highest(dealt, evaluation, size, answered)
    uncertainty = Uncertainty()
    for part in predict_unlabelled([dealt.file], evaluation.labelled, evaluation.probabilities_of):
        uncertainty.add(part, part.probabilities >= evaluation.thresholds)
    return [row for _, row, _, _ in uncertainty.worst([dealt.file], size)]


def _highest(dealt: Deal, evaluation: Evaluation, size: int, answered: dict[int, bool]) -> list[int]:
    """Rows with the highest scores of one species, then of the next, in turns."""
    left = np.setdiff1d(np.arange(dealt.file.count), list(answered))
    probabilities = evaluation.probabilities_of(dealt.file.output("embedding")[left])
    ranked = left[np.argsort(-probabilities, axis=0, kind="stable")]
    return list(dict.fromkeys(ranked.ravel().tolist()))[:size]


def _score(dealt: Deal, labels: int, evaluation: Evaluation | None) -> Score:
    truth = dealt.unseen_truth
    present = int(truth.sum())
    scores = np.zeros(truth.shape)
    if evaluation is None:
        return Score(labels, metrics.cmap(scores, truth, least=1), 0, 0, 0, present, None, None, None)
    places = [NAMES.index(name) for name in evaluation.names]
    probabilities = evaluation.probabilities_of(dealt.unseen)
    scores[:, places] = probabilities
    given, held = probabilities >= evaluation.thresholds, truth[:, places]
    enough, random = evaluation.enough, evaluation.random
    interval = None
    if random is not None and random.low is not None and random.high is not None:
        interval = random.low, random.high
    error = metrics.calibration_error(probabilities[:, enough], held[:, enough])
    return Score(
        labels=labels,
        average_precision=metrics.cmap(scores, truth, least=1),
        enough=int(enough.sum()),
        given=int(given.sum()),
        right=int((given & held).sum()),
        present=present,
        calibration_error=error if enough.any() else None,
        claimed=float(evaluation.truth[evaluation.given].mean()) if evaluation.given.any() else None,
        interval=interval,
    )
