"""A child process that learns from the answers given so far, and scores all windows with what it learnt."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from runtime.errors import PerchError
from runtime.explore.evaluation import Evaluation, evaluate
from runtime.explore.label_files import NotLearnableError, read_labels
from runtime.explore.labelling.learning_protocol import LearnJob, Learnt
from runtime.explore.predictions import Predicted, Uncertainty
from runtime.explore.random_share import RandomShare
from runtime.explore.rows import RowFile, open_runs
from runtime.files import take_room
from runtime.workers.child import listen, serve

NICENESS = 10
MOST_WORTH = 5_000
"""Most windows that are ranked as worth labelling."""


def main() -> None:
    """Learns what its parent asks for, sends a `Learnt` (with its probabilities in a file) or a sentence, and ends."""
    receive, send = serve()
    job: LearnJob = pickle.load(receive)
    threading.Thread(target=listen, args=(receive, print), daemon=True).start()
    with contextlib.suppress(OSError, AttributeError):  # Windows has none
        os.nice(NICENESS)
    try:
        send(learn(job))
    except NotLearnableError:
        send("label windows of at least two recordings, some with a species and some without it")
    except PerchError as error:
        send(str(error).replace(str(job.labels), job.labels_file))


def learn(job: LearnJob) -> Learnt:
    """Learns, and writes the probabilities of all windows.

    Raises:
        PerchError: nothing can be learnt, or a file cannot be read.
    """
    files = open_runs(job.rows, "embedding")
    for file, stamp in zip(files, job.stamps, strict=True):
        file.check_stamp(stamp)
    labels = replace(read_labels(job.labels), source=job.labels_file)
    evaluation = evaluate(files, labels, job.precision, skip_missing=True)
    starts = np.cumsum([0, *(file.count for file in files)])
    shape = len(evaluation.names), int(starts[-1])
    probabilities = np.lib.format.open_memmap(job.target, "w+", np.float32, shape)
    with job.target.open("r+b") as target:
        take_room(target.fileno(), job.target.stat().st_size)
    probabilities[:] = np.nan
    uncertainty = Uncertainty()
    given = np.zeros(shape[0], np.int64)
    for number, file in enumerate(files):
        answered = np.zeros(file.count, np.bool_)
        answered[evaluation.labelled.answered[number]] = True
        for start, values in file.blocks("embedding"):
            rows = start + np.flatnonzero(file.scored[start : start + len(values)])
            scored = evaluation.probabilities_of(values[rows - start])
            probabilities[:, starts[number] + rows] = scored.T
            part = Predicted(number, rows[~answered[rows]], scored[~answered[rows]])
            gets = part.probabilities >= evaluation.thresholds
            uncertainty.add(part, gets)
            given += gets.sum(axis=0)
    probabilities.flush()
    return _learnt(files, starts, evaluation, uncertainty, given)


def _learnt(
    files: Sequence[RowFile],
    starts: NDArray[np.int64],
    evaluation: Evaluation,
    uncertainty: Uncertainty,
    given: NDArray[np.int64],
) -> Learnt:
    worst = uncertainty.worst(files, MOST_WORTH)
    names, places = evaluation.names, {name: i for i, name in enumerate(evaluation.names)}
    species = []
    for i, name in enumerate(evaluation.labelled.names):
        place = places.get(name)
        species.append(
            {
                "name": name,
                "labels": int(evaluation.labelled.truth[:, i].sum()),
                "average_precision": None if place is None else float(evaluation.average_precision[place]),
                "enough": place is not None and bool(evaluation.enough[place]),
                "given": 0 if place is None else int(given[place]),
            }
        )
    share = evaluation.random
    return Learnt(
        names=names,
        enough=tuple(evaluation.enough.tolist()),
        thresholds=tuple(evaluation.thresholds.tolist()),
        probabilities=np.empty((0, 0), np.float32),
        worth=np.array([starts[file] + row for file, row, _, _ in worst], np.int64),
        worth_species=tuple(names[i] for _, _, i, _ in worst),
        worth_probabilities=tuple(probability for _, _, _, probability in worst),
        species=species,
        random=None if share is None else {**_shown(share), "remark": share.remark(evaluation.precision)},
        after=len(evaluation.truth),
    )


def _shown(share: RandomShare) -> dict[str, float | None]:
    names = ("windows", "unsure", "given", "right", "precision", "low", "high")
    return {name: getattr(share, name) for name in names}
