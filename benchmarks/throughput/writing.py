"""The cost of writing rows: sinks alone, which are given rows that are ready."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks import SOUNDSCAPE_WINDOWS
from runtime.model.artifact import Artifact
from runtime.rows.block import Block, Columns
from runtime.rows.finished import Finished
from runtime.rows.formats.choice import choose_format
from runtime.rows.sinks import FileSink, Target

RECORDINGS = 10
Format = Literal["csv", "parquet"]


def formats(artifact: Artifact, outputs: Sequence[str]) -> list[Format]:
    """The formats that can be written: CSV if the first output is a vector, Parquet if pyarrow is installed."""
    csv: list[Format] = ["csv"] if len(artifact.head(outputs[0]).shape) == 1 else []
    return [*csv, "parquet"] if importlib.util.find_spec("pyarrow") else csv


def seconds_a_row(artifact: Artifact, outputs: Sequence[str], ending: Format) -> float:
    """Seconds from rows in memory to a complete file, its spool included; a CSV holds only the first output."""
    heads = [artifact.head(name) for name in (outputs if ending == "parquet" else outputs[:1])]
    columns = Columns({head.name: head.shape for head in heads}, {head.name: head.classes for head in heads})
    rng = np.random.default_rng(0)
    shapes = {name: (SOUNDSCAPE_WINDOWS, *shape) for name, shape in columns.shapes.items()}
    values = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        target = Path(folder, f"rows.{ending}")
        sink = FileSink(Target(target, choose_format(target), columns, 0.0), {}, resume=False)
        for i in range(RECORDINGS):
            sink.append(_block(f"{i}.ogg", values), Finished(f"{i}.ogg", str(i), 0, 0, 0, 1, None, None))
        sink.finish([])
        sink.close(keep=False)
        return (time.perf_counter() - started) / (RECORDINGS * SOUNDSCAPE_WINDOWS)


def _block(path: str, outputs: dict[str, NDArray[np.float32]]) -> Block:
    starts = np.arange(SOUNDSCAPE_WINDOWS, dtype=np.float64) * 5
    ends = starts + np.float64(5)
    row_ids = [f"{path}_{end:g}" for end in ends]
    return Block(path, row_ids, starts, ends, np.full(len(starts), "scored", "<U12"), outputs)
