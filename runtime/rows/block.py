"""Consecutive rows of one recording, as they go to memory or to a file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.classes.taxonomy import Taxonomy

FEW_ROWS = 100
Status = Literal["scored", "interpolated", "filled", "failed", "unrecorded"]


@dataclass(frozen=True)
class Columns:
    """What rows hold: each output's shape, and for class heads the names of its columns; `about` is what made them.

    `dtypes` are those of outputs that are not float32; `taxonomy` knows what class names stand for; `constants` are the
    columns of `label` that the model does not know.
    """

    shapes: Mapping[str, tuple[int, ...]]
    classes: Mapping[str, tuple[str, ...]]
    about: Mapping[str, str] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    taxonomy: Taxonomy = field(default_factory=Taxonomy)
    constants: frozenset[int] = frozenset()

    @property
    def numbers(self) -> int:
        """How many numbers a row holds."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def names(self, output: str) -> tuple[str, ...]:
        """What an output's columns are called: its classes, or `e0`, `e1`, … of one that has none, flattened."""
        return self.classes.get(output) or tuple(f"e{i}" for i in range(math.prod(self.shapes[output])))

    def only(self, output: str) -> Columns:
        """One output alone."""
        return replace(self, shapes={output: self.shapes[output]}, classes={output: self.classes[output]})

    @property
    def fit_csv(self) -> bool:
        """Whether a CSV can hold them: one vector a row."""
        return [len(shape) for shape in self.shapes.values()] == [1]


@dataclass(frozen=True)
class Block:
    """Consecutive rows of one recording, or where a sample submission says so, rows of several in any order.

    `outputs` are NaN in rows whose `status` is "filled", "failed" or "unrecorded".
    """

    path: str
    row_ids: list[str]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    status: NDArray[np.str_]
    outputs: Mapping[str, NDArray[np.floating]]
    paths: Sequence[str] = ()
    """The recording of each row, where they are not all of `path`; empty of one that is not there."""

    def __len__(self) -> int:
        return len(self.row_ids)

    @property
    def has_score(self) -> NDArray[np.bool_]:
        """Rows that hold numbers: scored ones, and those interpolated between them."""
        return (self.status == "scored") | (self.status == "interpolated")

    def holds(self, output: str) -> NDArray[np.bool_]:
        """Rows that hold numbers of an output, be it that a user has written them there."""
        values = self.outputs[output]
        first: tuple[Any, ...] = (slice(None), *[0] * (values.ndim - 1))
        return ~np.isnan(values[first])

    @property
    def row_paths(self) -> Sequence[str]:
        """The recording of each row."""
        return self.paths or [self.path] * len(self)

    def rows(self, of: NDArray[np.int64]) -> Block:
        """Some of the rows, which are of one recording."""
        paths = self.row_paths
        return Block(
            paths[of[0]],
            [self.row_ids[row] for row in of.tolist()],
            self.start_s[of],
            self.end_s[of],
            self.status[of],
            {name: values[of] for name, values in self.outputs.items()},
        )


def by_recording(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same rows, those of each recording together."""
    together: dict[str, list[Block]] = {}
    for block in blocks:
        if not block.paths:
            together.setdefault(block.path, []).append(block)
            continue
        places: dict[str, list[int]] = {}
        for row, path in enumerate(block.paths):
            places.setdefault(path, []).append(row)
        for path, rows in places.items():
            together.setdefault(path, []).append(block.rows(np.array(rows)))
    for path in list(together):
        yield from together.pop(path)


def unscored(columns: Columns, count: int) -> dict[str, NDArray[np.floating]]:
    """Outputs of rows without a score, which take no memory: there may be millions."""
    return {
        name: np.broadcast_to(np.array(np.nan, columns.dtypes.get(name, np.float32)), (count, *shape))
        for name, shape in columns.shapes.items()
    }


def count_statuses(status: NDArray[np.str_]) -> Counter[str]:
    """How many rows have each status."""
    if len(status) < FEW_ROWS:
        return Counter(status.tolist())
    counts = {name: int((status == name).sum()) for name in get_args(Status)}
    return Counter({name: count for name, count in counts.items() if count})
