"""What a converted `.onnx` file says of itself: the schema of its metadata, written by `convert`, read here.

Every entry is text in the file's `metadata_props`. A class list stands there as it stood in the SavedModel's assets:
its header, then one name a line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import ArtifactError, InputError

SCHEMA = "1"
CONVERT = "make one with `perch-convert SAVED_MODEL -o perch.onnx`"


@dataclass(frozen=True)
class Head:
    """One output of the model.

    `shape` leaves the batch out. `classes` names the columns of a class head, in order; it is empty for others.
    `namespace` is the header its class list stood under, such as `ebird2021`. `dropped` are the classes that the
    SavedModel has and this file does not, because it was converted with `--classes`.
    """

    name: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    namespace: str = ""
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Artifact:
    """A converted model's description of itself.

    `free_batch` is false where the graph takes one window at a time. `saved_model_sha256` is the SavedModel's
    fingerprint, `artifact_sha256` that of this file's own graph and weights. `parity` holds what was measured against
    TensorFlow at conversion.
    """

    family: str
    sample_rate: int
    window_samples: int
    free_batch: bool
    heads: Mapping[str, Head]
    saved_model_sha256: str
    artifact_sha256: str
    tools: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def window_s(self) -> float:
        """Length of a window in seconds."""
        return self.window_samples / self.sample_rate

    def head(self, name: str) -> Head:
        """The head of this name.

        Raises:
            InputError: the file has no such head; those it has are named.
        """
        if name not in self.heads:
            raise InputError(f"the model has no output '{name}'; it has {', '.join(self.heads)}")
        return self.heads[name]

    def to_metadata(self) -> dict[str, str]:
        """Entries for `metadata_props`."""
        entries = {
            "perch_onnx_schema": SCHEMA,
            "model_family": self.family,
            "sample_rate": str(self.sample_rate),
            "window_samples": str(self.window_samples),
            "batch": "free" if self.free_batch else "1",
            "heads": json.dumps({head.name: list(head.shape) for head in self.heads.values()}),
            "saved_model_sha256": self.saved_model_sha256,
            "artifact_sha256": self.artifact_sha256,
            "tools": json.dumps(self.tools),
            "options": json.dumps(self.options),
            "parity": json.dumps(self.parity),
        }
        for head in self.heads.values():
            if head.classes:
                entries[f"classes.{head.name}"] = "\n".join([head.namespace, *head.classes])
            if head.dropped:
                entries[f"dropped_classes.{head.name}"] = "\n".join(head.dropped)
        return entries

    @classmethod
    def from_metadata(cls, entries: Mapping[str, str], path: str | Path) -> Artifact:
        """Reads and checks a file's entries; `path` is for messages.

        Raises:
            ArtifactError: this project did not make the file, or made it with another schema, or it was tampered with.
        """
        schema = entries.get("perch_onnx_schema")
        if schema is None:
            raise ArtifactError(f"{path} was not made by perch-convert (it does not describe itself); {CONVERT}")
        if schema != SCHEMA:
            raise ArtifactError(f"{path} has schema {schema[:20]!r}, this version reads {SCHEMA}; convert it again")
        try:
            shapes = json.loads(entries["heads"])
            heads = {name: _head(name, tuple(map(int, shape)), entries) for name, shape in shapes.items()}
            artifact = cls(
                family=entries["model_family"],
                sample_rate=int(entries["sample_rate"]),
                window_samples=int(entries["window_samples"]),
                free_batch={"free": True, "1": False}[entries["batch"]],
                heads=heads,
                saved_model_sha256=entries["saved_model_sha256"],
                artifact_sha256=entries["artifact_sha256"],
                tools=dict(json.loads(entries["tools"])),
                options=dict(json.loads(entries["options"])),
                parity=dict(json.loads(entries["parity"])),
            )
        except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactError(f"{path} describes itself wrongly ({error!r}); convert it again") from None
        if not (heads and 0 < artifact.window_samples <= 10**8 and 0 < artifact.sample_rate <= 10**6):
            raise ArtifactError(
                f"{path} describes itself wrongly (no heads, or an impossible window); convert it again"
            )
        return artifact


def _head(name: str, shape: tuple[int, ...], entries: Mapping[str, str]) -> Head:
    namespace, *classes = entries.get(f"classes.{name}", "").split("\n")
    dropped = entries.get(f"dropped_classes.{name}")
    if classes and len(classes) != shape[-1]:
        raise ValueError(f"{len(classes)} classes for an output '{name}' of {shape[-1]}")
    return Head(name, shape, tuple(classes), namespace, tuple(dropped.split("\n")) if dropped else ())
