"""What a converted `.onnx` file says of itself: the schema of its metadata, written by `convert`, read here.

Every entry is text in the file's `metadata_props`.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import ArtifactError, InputError, reason
from runtime.heads import Head, read_heads

SCHEMA = "1"
METADATA_PROPS = 14
"""Number of `metadata_props` in ONNX's ModelProto."""
MOST_REASON = 300
CONVERT = "make one with `perch-convert SAVED_MODEL -o perch.onnx`"


@dataclass(frozen=True)
class Artifact:
    """A converted model's description of itself.

    `free_batch` is false where the graph takes one window at a time. `saved_model_sha256` is the SavedModel's
    fingerprint, `artifact_sha256` that of this file's own graph and weights. `parity` holds what was measured against
    TensorFlow at conversion, or `{"measured": false, "reason": ...}` where TensorFlow could not run the model.
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

    @property
    def parity_warning(self) -> str | None:
        """That this file was not compared with TensorFlow, and why, in one line; None if it was."""
        if self.parity.get("measured", True):
            return None
        why = " ".join(str(self.parity.get("reason", "no reason is given")).split())
        return f"parity with TensorFlow was not measured ({why[:MOST_REASON]})"

    @property
    def ill_conditioned(self) -> str | None:
        """Which heads rounding moves further than conversion's bounds, in TensorFlow as in this file, in one line."""
        rounding = self.parity.get("rounding")
        told = rounding.get("ill_conditioned") if isinstance(rounding, Mapping) else None
        names = [name for name in self.heads if name in told] if isinstance(told, list) else []
        return f"ill-conditioned: {'; '.join(map(self._off_itself, names))}" if names else None

    def _off_itself(self, name: str) -> str:
        try:
            off = float(self.parity["heads"][name]["error"])
            own = float(self.parity["rounding"]["heads"][name]["itself"]["error"])
        except (LookupError, TypeError, ValueError):
            return f"'{name}', by how much is not told"
        return f"'{name}' is off TensorFlow by {off:.1e} of its range, TensorFlow off itself by {own:.1e} by rounding"

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
            entries |= head.to_metadata()
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
            heads = read_heads(json.loads(entries["heads"]), entries)
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


def read_artifact(path: str | Path) -> Artifact:
    """A file's description of itself, read without loading its graph.

    Raises:
        ArtifactError: the file is missing, damaged, or not made by this project.
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            entries = dict(_entry(data[start:end]) for start, end in _fields(data, METADATA_PROPS))
    except OSError as error:
        raise ArtifactError(f"there is no model at {path} ({reason(error)}); {CONVERT}") from None
    except (ValueError, IndexError, UnicodeDecodeError):  # mmap refuses an empty file by a ValueError
        raise ArtifactError(f"{path} cannot be loaded as ONNX (it is damaged or another format); {CONVERT}") from None
    return Artifact.from_metadata(entries, path)


def _entry(data: bytes) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto."""
    key, value = (b"".join(data[start:end] for start, end in _fields(data, number)) for number in (1, 2))
    return key.decode(), value.decode()


def _fields(data: bytes | mmap.mmap, number: int) -> Iterator[tuple[int, int]]:
    """Start and end of each length-delimited field of this number in a protobuf message (its wire format: tags of
    number and type, the lengths of what is longer than a number).
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind, end = tag & 7, at
        if kind == 0:
            _, end = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            end = at + length
        elif kind in (1, 5):
            end = at + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"wire type {kind}")
        if end > len(data):
            raise ValueError("a field ends behind its message")
        if kind == 2 and tag >> 3 == number:
            yield at, end
        at = end


def _varint(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
