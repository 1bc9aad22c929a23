"""Several models' scores of the same classes as one: their weighted mean, or that of their ranks."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, OutputError, counted, reason, some
from runtime.model.heads import LABEL
from runtime.request.scores import BlendOf
from runtime.rows.block import Block, Columns

SHOWN = 20
RANKED_BYTES = 64 * 2**20
"""Scores whose ranks are computed at once."""
Read = Callable[[], Iterable[Block]]


@dataclass(frozen=True)
class Blend:
    """The weighted mean of what models give the same classes.

    With the models' weights w, a class gets

        sum(w_m x_m) / sum(w_m), over the models m that have the class.

    A model has a class if one of its columns stands for it: the class's own, or with `unmapped="genus-max"` and the
    like its genus's. A class that no model has keeps the constant that they all give it. x are the scores as a run of
    each model alone would write them or, `of` ranks, their ranks (see `ranks`).
    """

    weights: Mapping[str, float]
    """The models' weights, by their outputs `label`."""
    names: tuple[str, ...]
    """The classes."""
    lacking: NDArray[np.bool_]
    """`bool [models, classes]`: which classes each model lacks."""
    of: BlendOf = "scores"

    @classmethod
    def made(cls, columns: Columns, weights: Sequence[float], of: BlendOf) -> Blend:
        """The blend of all outputs `label` of rows.

        Raises:
            InputError: there are not as many as weights, one is missing, or they have other classes than one another.
        """
        models = json.loads(columns.about.get("models", "{}"))
        if not models:
            raise InputError("blend is the mean of several models' scores, and there is one model here; leave it out")
        if len(weights) != len(models):
            raise InputError(
                f"blend must have a weight for each model: {', '.join(models)}; the number of weights given is "
                f"{len(weights)}"
            )
        labels = [f"{model}.{LABEL}" for model in models]
        if missing := [label for label in labels if label not in columns.shapes]:
            raise InputError(
                f"blend needs the output '{LABEL}' of each model, and {', '.join(missing)} is not among the outputs "
                f"{', '.join(columns.shapes)}"
            )
        classes = {label: columns.classes[label] for label in labels}
        if len(set(classes.values())) > 1:
            had = " and ".join(f"{label} has {len(each)} ({some(each, 2)})" for label, each in classes.items())
            raise InputError(f"blend needs the same classes of all models, but {had}; name them with --classes")
        names = classes[labels[0]]
        lacking = np.zeros((len(labels), len(names)), np.bool_)
        for lacks, label in zip(lacking, labels, strict=True):
            lacks[list(columns.constants.get(label, ()))] = True
        return cls(dict(zip(labels, weights)), names, lacking, of)

    @cached_property
    def constant(self) -> NDArray[np.bool_]:
        """`bool [classes]`: which classes no model has."""
        return np.asarray(self.lacking.all(axis=0))

    @cached_property
    def _shares(self) -> dict[str, NDArray[np.float32]]:
        """What each model counts, `float32 [classes]`; for each class they add up to 1."""
        weights = np.where(self.lacking, 0, np.array(list(self.weights.values()))[:, None])
        weights[0, self.constant] = 1
        return dict(zip(self.weights, (weights / weights.sum(axis=0)).astype(np.float32)))

    def columns(self, columns: Columns) -> Columns:
        """What rows hold in which this blend has taken the place of the models' own outputs `label`."""
        others = [name for name in columns.shapes if name not in self.weights]
        return replace(
            columns,
            shapes={LABEL: (len(self.names),), **{name: columns.shapes[name] for name in others}},
            classes={LABEL: self.names, **{name: columns.classes[name] for name in others}},
            constants={LABEL: frozenset(np.flatnonzero(self.constant).tolist())},
        )

    def rows(self, read: Read, in_memory: bool = False) -> Read:
        """The same rows with this blend. `read` reads them; so does what is returned. `in_memory`: see `Ranked`."""
        if self.of == "ranks":
            read = Ranked(read, list(self.weights), self.constant, in_memory)
        return lambda: (replace(block, outputs=self._blended(block)) for block in read())

    def _blended(self, block: Block) -> dict[str, NDArray[np.floating]]:
        shape = (len(block), len(self.names))
        label: NDArray[np.floating] = np.broadcast_to(np.float32(np.nan), shape)  # takes no memory, see `unscored`
        if block.has_score.any():
            label = np.zeros(shape, np.float32)
            for name, shares in self._shares.items():
                label += shares * block.outputs[name]
        others = {name: values for name, values in block.outputs.items() if name not in self.weights}
        return {LABEL: label, **others}

    def summary(self) -> str:
        """One line: the weights, and the classes that some models lack."""
        what = "ranks in " if self.of == "ranks" else ""
        parts = [" + ".join(f"{weight:g} {what}{label}" for label, weight in self.weights.items())]
        for label, lacking in zip(self.weights, self.lacking, strict=True):
            if lacks := [name for name, gap in zip(self.names, lacking & ~self.constant) if gap]:
                parts.append(f"{counted(len(lacks), 'class')} without {label}, which lacks them: {some(lacks, SHOWN)}")
        return "; ".join(parts)


class Ranked:
    """Rows whose scores are replaced by their ranks among all rows (see `ranks`).

    Ranks need all rows of a class at once, and rows come block by block with all classes: the scores wait in temporary
    files, and are ranked there a few classes at a time. Rows without a score have no rank, and take no room.

    Args:
        read: reads the rows.
        labels: the outputs that are ranked, each with the same classes.
        constant: classes whose scores stay as they are.
        in_memory: whether the rows are in memory. Then the scores wait there too: a full disk must not lose the rows.
    """

    def __init__(self, read: Read, labels: Sequence[str], constant: NDArray[np.bool_], in_memory: bool = False) -> None:
        self._read, self._labels, self._constant, self._in_memory = read, labels, constant, in_memory
        self._ranks: dict[str, NDArray[np.float32]] | None = None

    def __call__(self) -> Iterator[Block]:
        if self._ranks is None:
            self._ranks = {label: self._ranked(scores) for label, scores in self._collected().items()}
        start = 0
        for block in self._read():
            scored = block.has_score
            ranked = slice(start, start + int(scored.sum()))
            start = ranked.stop
            if not scored.any():
                yield block
                continue
            outputs = dict(block.outputs)
            for name, each in self._ranks.items():
                outputs[name] = np.full(outputs[name].shape, np.nan, np.float32)
                outputs[name][scored] = each[ranked]
            yield replace(block, outputs=outputs)

    def _collected(self) -> dict[str, NDArray[np.float32]]:
        """The scores of each label, `[scored rows, classes]`."""
        if self._in_memory:
            nothing = np.empty((0, len(self._constant)), np.float32)
            scores = {label: [nothing] for label in self._labels}
            for block in self._read():
                for label, pieces in scores.items():
                    pieces.append(block.outputs[label][block.has_score])
            return {label: np.concatenate(scores.pop(label)) for label in self._labels}
        try:
            with contextlib.ExitStack() as open_files:  # the arrays keep them
                files = {label: open_files.enter_context(tempfile.TemporaryFile()) for label in self._labels}
                rows = 0
                for block in self._read():
                    scored = block.has_score
                    rows += int(scored.sum())
                    for label, file in files.items():
                        file.write(np.ascontiguousarray(block.outputs[label][scored], np.float32).data)
                shape = (rows, len(self._constant))
                return {label: _mapped(file, shape) for label, file in files.items()}
        except OutputError:  # of reading
            raise
        except OSError as error:
            raise OutputError(
                f"cannot write scores to be ranked to {tempfile.gettempdir()} ({reason(error)}); make room there, or "
                "name another folder in TMPDIR"
            ) from None

    def _ranked(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same array, with ranks in the place of scores."""
        width = max(1, RANKED_BYTES // (4 * max(1, len(scores))))
        for first in range(0, scores.shape[1], width):
            some_columns = np.ascontiguousarray(scores[:, first : first + width].T)
            for column, values in enumerate(some_columns, first):
                if not self._constant[column]:
                    values[:] = ranks(values)
            scores[:, first : first + width] = some_columns.T
        return scores


def _mapped(file: IO[bytes], shape: tuple[int, int]) -> NDArray[np.float32]:
    """An array in a file, which goes with it."""
    file.flush()
    return np.memmap(file, np.float32, "r+", shape=shape) if shape[0] else np.empty(shape, np.float32)


def ranks(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The ranks of scores, from 1/n for the lowest of n to 1 for the highest. Equal scores get the mean of their ranks;
    NaN has none and does not count."""
    found = np.full(len(scores), np.nan, np.float32)
    there = ~np.isnan(scores)
    _, places, counts = np.unique(scores[there], return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2
    found[there] = (means / max(1, int(there.sum())))[places]
    return found
