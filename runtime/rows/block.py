"""Blocks of rows, and what their columns are."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.audio.clock import iso_times
from runtime.classes.taxonomy import Taxonomy

FEW_ROWS = 100
Status = Literal["scored", "interpolated", "filled", "failed", "unrecorded"]
"""How a row came about: its window was "scored"; it has the mean of scored neighbours ("interpolated"); it was not
reached in time ("filled"); it could not be read ("failed"); a triggered recorder did not write it ("unrecorded")."""


@dataclass(frozen=True)
class Columns:
    """What rows hold."""

    shapes: Mapping[str, tuple[int, ...]]
    """The shape of each output in a row."""
    classes: Mapping[str, tuple[str, ...]]
    """The names of each class head's columns; empty for other outputs."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What made the rows: the model, its version, the options."""
    dtypes: Mapping[str, str] = field(default_factory=dict)
    """The types of outputs that are not float32."""
    taxonomy: Taxonomy = field(default_factory=Taxonomy)
    """What the names of classes stand for."""
    constants: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """The columns of each output `label` that are constant, since the model does not know their classes."""
    more: tuple[str, ...] = ()
    """What else rows say of their windows: `recorded_at`, when they begin, and `site`."""

    @property
    def by_channel(self) -> bool:
        """Whether each channel of a recording has rows of its own."""
        return self._channel == "each"

    @property
    def scored_channel(self) -> int:
        """The channel that all rows are of, as far as it is one; 1 for the mean of all."""
        return self._channel if isinstance(self._channel, int) else 1

    @property
    def _channel(self) -> Any:
        return json.loads(self.about.get("options", "{}")).get("channel")

    @property
    def thresholds(self) -> Mapping[str, Sequence[float | None]]:
        """For each head that a user added to the model, the probability from which on each class is detected; None:
        never."""
        return dict(json.loads(self.about.get("thresholds", "{}")))

    @property
    def hop_s_with_gaps(self) -> float | None:
        """Seconds between two rows, where some windows have no rows; None where all have."""
        options = json.loads(self.about.get("options", "{}"))
        return float(self.about["hop_s"]) if {"between", "dates"} & options.keys() else None

    @property
    def numbers(self) -> int:
        """How many numbers a row holds."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def names(self, output: str) -> tuple[str, ...]:
        """What an output's columns are called: its classes, or `e0`, `e1`, … of one that has none, flattened."""
        return self.classes.get(output) or tuple(f"e{i}" for i in range(math.prod(self.shapes[output])))

    def only(self, output: str) -> Columns:
        """These columns with one output alone."""
        return replace(self, shapes={output: self.shapes[output]}, classes={output: self.classes[output]})

    @property
    def fit_csv(self) -> bool:
        """Whether a CSV can hold the rows: they have one output, a vector."""
        return [len(shape) for shape in self.shapes.values()] == [1]


@dataclass(frozen=True)
class Origin:
    """Where a recording comes from: when it was begun, and at which site; None if unknown."""

    began: datetime | None = None
    site: str | None = None


NOWHERE = Origin()
"""Of a recording of which nothing is known."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows of one recording, or rows of several recordings as a sample submission orders them.

    `outputs` are `[rows, *shape]`, NaN in rows whose `status` is "filled", "failed" or "unrecorded".
    """

    path: str
    """The recording."""
    row_ids: list[str]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    status: NDArray[np.str_]
    outputs: Mapping[str, NDArray[np.floating]]
    paths: Sequence[str] = ()
    """The recording of each row, where they are not all of `path`; "" for a row whose recording does not exist."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Where recordings come from, by their paths."""

    def __len__(self) -> int:
        return len(self.row_ids)

    @property
    def has_score(self) -> NDArray[np.bool_]:
        """Which rows were scored or interpolated."""
        return (self.status == "scored") | (self.status == "interpolated")

    @property
    def name(self) -> str:
        """What the recording's rows are called, or those of one of its channels; empty without rows."""
        return self.row_ids[0].rpartition("_")[0] if self.row_ids else ""

    def holds(self, output: str) -> NDArray[np.bool_]:
        """Which rows have values of an output, from scoring or written by a user."""
        values = self.outputs[output]
        first: tuple[Any, ...] = (slice(None), *[0] * (values.ndim - 1))
        return ~np.isnan(values[first])

    @property
    def row_paths(self) -> Sequence[str]:
        """The recording of each row."""
        return self.paths or [self.path] * len(self)

    @property
    def recorded_at(self) -> Sequence[str | None]:
        """When each window begins, in ISO 8601; None where that is unknown."""
        if not self.paths:
            return iso_times(self.origins.get(self.path, NOWHERE).began, self.start_s)
        texts: list[str | None] = [None] * len(self)
        for path, rows in self.places().items():
            times = iso_times(self.origins.get(path, NOWHERE).began, self.start_s[rows])
            for row, text in zip(rows, times, strict=True):
                texts[row] = text
        return texts

    @property
    def site(self) -> Sequence[str | None]:
        """The site of each row; None where that is unknown."""
        sites = {path: origin.site for path, origin in self.origins.items()}
        return [sites.get(path) for path in self.row_paths]

    def places(self) -> dict[str, list[int]]:
        """The rows of each recording, by its path."""
        places: dict[str, list[int]] = {}
        for row, path in enumerate(self.row_paths):
            places.setdefault(path, []).append(row)
        return places

    def rows(self, indices: NDArray[np.int64]) -> Block:
        """Some of the rows, all of one recording."""
        return Block(
            self.row_paths[indices[0]],
            [self.row_ids[row] for row in indices.tolist()],
            self.start_s[indices],
            self.end_s[indices],
            self.status[indices],
            {name: values[indices] for name, values in self.outputs.items()},
            origins=self.origins,
        )


def by_recording(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same rows, those of each recording together, in the order in which recordings first occur."""
    recordings: dict[str, list[Block]] = {}
    for block in blocks:
        if not block.paths:
            recordings.setdefault(block.path, []).append(block)
            continue
        for path, rows in block.places().items():
            recordings.setdefault(path, []).append(block.rows(np.array(rows)))
    for path in list(recordings):
        yield from recordings.pop(path)


def unscored(columns: Columns, count: int) -> dict[str, NDArray[np.floating]]:
    """Outputs of rows without a score: NaN, read-only, and without memory of their own, as there may be millions."""
    return {
        name: np.broadcast_to(np.array(np.nan, columns.dtypes.get(name, np.float32)), (count, *shape))
        for name, shape in columns.shapes.items()
    }


def writable(columns: Columns, count: int) -> dict[str, NDArray[np.floating]]:
    """Outputs of rows to be filled in later: NaN."""
    return {
        name: np.full((count, *shape), np.nan, columns.dtypes.get(name, np.float32))
        for name, shape in columns.shapes.items()
    }


def count_statuses(status: NDArray[np.str_]) -> Counter[str]:
    """How many rows have each status."""
    if len(status) < FEW_ROWS:
        return Counter(status.tolist())
    counts = {name: int((status == name).sum()) for name in get_args(Status)}
    return Counter({name: count for name, count in counts.items() if count})
