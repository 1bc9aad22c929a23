"""The SavedModel run by TensorFlow: what a converted graph is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.errors import ConversionError
from convert.source.outputs import by_key
from convert.source.saved_model import SavedModel, concrete_function

Call = Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]
"""Windows to the outputs that a converted file can hold."""


def published(model: SavedModel) -> Call:
    """The SavedModel as published, loaded by TensorFlow."""
    loaded = tf.saved_model.load(str(model.path))
    function = concrete_function(loaded)
    function.owner = loaded  # its variables live only as long as the loaded object

    def call(windows: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        values = by_key(function(tf.constant(windows)))
        return {output.name: values[output.key].numpy() for output in model.usable_outputs}

    return call


class Reference:
    """A SavedModel called for its outputs.

    `heads` are the outputs to return, all if None; `columns` are the columns to return of some of them, in order.
    """

    def __init__(
        self,
        model: SavedModel,
        heads: Sequence[str] | None = None,
        columns: Mapping[str, NDArray[np.int64]] = MappingProxyType({}),
    ) -> None:
        self._call = published(model)
        self._model = model
        self._heads = list(heads or [output.name for output in model.usable_outputs])
        self._columns = columns

    def __call__(self, windows: NDArray[np.float32], batch_size: int = 4) -> dict[str, NDArray[np.float32]]:
        """Outputs by head for `float32 [n, samples]`; one window at a time if the batch is fixed.

        The last batch is padded with copies of its last window, since TensorFlow compiles each new shape anew.

        Raises:
            ConversionError: an output does not have one row per window.
        """
        step = batch_size if self._model.free_batch else 1
        parts: list[dict[str, NDArray[np.float32]]] = []
        for start in range(0, len(windows), step):
            batch = windows[start : start + step]
            padded = np.pad(batch, ((0, step - len(batch)), (0, 0)), mode="edge")
            values = self._call(padded)
            parts.append({name: self._rows(name, values[name], step)[: len(batch)] for name in self._heads})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def select_columns(self, head: str, values: NDArray[Any]) -> NDArray[Any]:
        """The columns of an output that this returns."""
        return values[..., self._columns[head]] if head in self._columns else values

    def _rows(self, head: str, values: NDArray[Any], windows: int) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self.select_columns(head, values)
        if len(rows) != windows:
            raise ConversionError(
                f"{self._model.path}: its output '{head}' has {len(rows)} rows for {windows} windows; leave it "
                f"out by naming the others with --outputs"
            )
        return rows
