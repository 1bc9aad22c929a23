"""A model in one precision: finished in a file, proven, and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from convert.errors import ParityError
from convert.passes import pipeline
from convert.proof import parity
from convert.proof.audio import ProofAudio
from convert.proof.expected import Expected, batch_sizes, check_runs
from convert.proof.parity import HeadParity
from convert.write import ConvertedModel, finish
from runtime.errors import some
from runtime.model.artifact import Artifact
from runtime.model.fingerprint import Fingerprint
from runtime.model.golden import fingerprint, windows_to_store


@dataclass(frozen=True)
class Proof:
    """How far each head is from TensorFlow's (nothing where that cannot run), and what else the file says of it."""

    heads: Mapping[str, HeadParity]
    metadata: Mapping[str, Any]


class Variant(ABC):
    """A model in one precision, loaded from the file that it becomes.

    Args:
        graph: the graph in this precision; its values get new names.
        artifact: the file's description, without precision, id and parity.
        path: the temporary file to load it from.

    Raises:
        ConversionError: the graph is not plain ONNX.
    """

    precision: ClassVar[str] = "float32"
    head: ClassVar[str] = "float32"

    def __init__(self, graph: ir.Model, artifact: Artifact, path: Path) -> None:
        options = {**artifact.options, "precision": self.precision, "head": self.head}
        self._model = finish_graph(graph, replace(artifact, options=options))
        self.session = self._model.load(path)

    @property
    def artifact(self) -> Artifact:
        """The file's description; its parity is empty until `prove`."""
        return self._model.artifact

    def prove(self, expected: Expected, audio: ProofAudio) -> None:
        """Compares the file with TensorFlow, or only runs it where TensorFlow cannot; the description says which.

        Raises:
            ParityError: the outputs differ by more than this precision is allowed.
        """
        if not expected.outputs:
            check_runs(self.session, expected.windows)
        proof = self.judge(expected, audio)
        measured = parity.as_metadata(proof.heads, audio.description(expected.windows), batch_sizes(self.session))
        if reason := expected.source.cannot_run:
            measured = {"measured": False, "reason": reason}
        artifact = replace(self.artifact, parity={**measured, **proof.metadata}, golden=self._golden(expected.windows))
        self._model = replace(self._model, artifact=artifact)

    def _golden(self, windows: NDArray[np.float32]) -> dict[str, Fingerprint]:
        """What each head gives for the golden window; the ranges are over these windows too."""
        windows = np.concatenate([windows_to_store(self.artifact.window_samples), windows])
        outputs = self.session.run(windows, list(self.artifact.heads), 1)
        if wrong := [name for name, values in outputs.items() if not np.isfinite(values).all()]:
            raise ParityError(f"the converted graph gives values of {some(wrong)} that are not finite")
        return {name: fingerprint(values) for name, values in outputs.items()}

    @abstractmethod
    def judge(self, expected: Expected, audio: ProofAudio) -> Proof:
        """Compares with TensorFlow and, if it is less precise, with float32.

        Raises:
            ParityError: the outputs differ by more than this precision is allowed.
        """

    def write(self, path: Path) -> None:
        """Writes the file."""
        self._model.write(path)


def finish_graph(graph: ir.Model, artifact: Artifact) -> ConvertedModel:
    """Names a graph's values by place, so that the same model gives the same file each time, and finishes it."""
    pipeline.name_by_place(graph.graph)
    return finish(pipeline.infer_shapes(graph), artifact)
