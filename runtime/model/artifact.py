"""The description that a converted `.onnx` file holds of itself: `convert` writes it, this module reads it.

Every entry is text in the file's `metadata_props`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from runtime.errors import ArtifactError, InputError, reason, repeated, some
from runtime.model.fingerprint import MOST_TEXT as MOST_GOLDEN_TEXT
from runtime.model.fingerprint import Fingerprint, read_fingerprints, to_text
from runtime.model.heads import Head, read_heads
from runtime.model.own_heads import MOST_TEXT as MOST_OWN_TEXT

SCHEMA = "1"
METADATA_PROPS = 14
"""Number of `metadata_props` in ONNX's ModelProto."""
DESCRIPTION = "description_sha256"
"""The entry that holds the SHA-256 of all others; older files lack it."""
VARINT, MOST_FIELDS, MOST_ENTRY_FIELDS, MOST_TEXT = 10, 10_000, 16, 2**26
"""Bytes of protobuf's longest number; then limits far above any model's: fields of a file, fields of an entry, bytes
of a description."""
MOST_REASON = 300
ILL = "ill-conditioned: "
CONVERT = "make one with `perch-convert SAVED_MODEL -o perch.onnx`"
COPY = f"compare its size with the original's and copy it again, or {CONVERT}"


@dataclass(frozen=True)
class Artifact:
    """A converted model's description of itself."""

    family: str
    """Which model it is, such as "perch_v2"."""
    sample_rate: int
    """The sample rate of the windows, in Hz."""
    window_samples: int
    """The length of a window in samples."""
    free_batch: bool
    """Whether the graph takes any number of windows at once, not just one."""
    heads: Mapping[str, Head]
    """The outputs, with their shapes and class lists."""
    saved_model_sha256: str
    """The SavedModel's fingerprint."""
    artifact_sha256: str
    """The fingerprint of this file's own graph and weights."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Versions of what made the file."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options of the conversion."""
    parity: Mapping[str, Any] = field(default_factory=dict)
    """What was measured against TensorFlow. If TensorFlow could not run the model: `measured` is false, and there is a
    `reason`."""
    golden: Mapping[str, Fingerprint] = field(default_factory=dict)
    """What heads give for the golden window, where the file says it."""
    converted_sha256: str | None = None
    """The `artifact_sha256` of the file before users added heads to it; None if they added none."""

    @property
    def base_sha256(self) -> str:
        """The fingerprint of the graph and weights as `perch-convert` made them, without heads that users added."""
        return self.converted_sha256 or self.artifact_sha256

    @property
    def own_heads(self) -> dict[str, Head]:
        """The heads that users added."""
        return {name: head for name, head in self.heads.items() if head.own is not None}

    @property
    def window_s(self) -> float:
        """The length of a window in seconds."""
        return self.window_samples / self.sample_rate

    @property
    def parity_warning(self) -> str | None:
        """One line that says why this file was not compared with TensorFlow; None if it was."""
        if self.parity.get("measured", True):
            return None
        why = " ".join(str(self.parity.get("reason", "no reason given")).split())
        return f"parity with TensorFlow was not measured ({why[:MOST_REASON]})"

    @property
    def ill_conditioned(self) -> str | None:
        """One line naming the heads that rounding alone moves beyond the tolerance, in TensorFlow too; None if none."""
        rounding = self.parity.get("rounding")
        listed = rounding.get("ill_conditioned") if isinstance(rounding, Mapping) else None
        names = [name for name in self.heads if name in listed] if isinstance(listed, list) else []
        return f"{ILL}{'; '.join(map(self._rounding_of, names))}" if names else None

    def _rounding_of(self, name: str) -> str:
        try:
            error = float(self.parity["heads"][name]["error"])
            own_error = float(self.parity["rounding"]["heads"][name]["itself"]["error"])
        except (LookupError, TypeError, ValueError):
            return f"'{name}' (errors unknown)"
        return (
            f"'{name}' differs from TensorFlow by {error:.1e} of its range, where rounding alone moves TensorFlow by "
            f"{own_error:.1e}"
        )

    def head(self, name: str) -> Head:
        """The head of this name.

        Raises:
            InputError: the file has no such head; the message names the heads that it has.
        """
        if name not in self.heads:
            kept = "; a conversion with `--outputs label,embedding` keeps it" if name == "embedding" else ""
            raise InputError(f"the model has no output '{name}'; it has {', '.join(self.heads)}{kept}")
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
        if self.golden:
            entries["golden"] = to_text(self.golden)
        own = {name: head.own.to_json() for name, head in self.heads.items() if head.own is not None}
        if own:
            entries |= {"own_heads": json.dumps(own), "base_sha256": self.base_sha256}
        return entries | {DESCRIPTION: description_sha256(entries)}

    @classmethod
    def from_metadata(cls, entries: Mapping[str, str], path: str | Path) -> Artifact:
        """Builds the description from a file's entries and checks it; `path` is for messages.

        Raises:
            ArtifactError: the file was not made by this project, or has another schema, or entries that make no sense.
        """
        schema = entries.get("perch_onnx_schema")
        if schema is None:
            raise ArtifactError(f"{path} was not made by perch-convert (it does not describe itself); {CONVERT}")
        if schema != SCHEMA:
            raise ArtifactError(f"{path} has schema {schema[:20]!r}, this version reads {SCHEMA}; convert it again")
        try:
            own, base = _own_heads(entries)
            heads = read_heads(_object(entries["heads"]), own, entries)
            artifact = cls(
                family=entries["model_family"],
                sample_rate=_number(entries["sample_rate"]),
                window_samples=_number(entries["window_samples"]),
                free_batch={"free": True, "1": False}[entries["batch"]],
                heads=heads,
                saved_model_sha256=entries["saved_model_sha256"],
                artifact_sha256=entries["artifact_sha256"],
                converted_sha256=base,
                tools=_object(entries["tools"]),
                options=_object(entries["options"]),
                parity=_object(entries["parity"]),
                golden=_golden(entries, heads),
            )
        except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactError(
                f"{path} holds a wrong description of itself ({error!r:.{MOST_REASON}}); convert it again"
            ) from None
        if not (heads and 0 < artifact.window_samples <= 10**8 and 0 < artifact.sample_rate <= 10**6):
            raise ArtifactError(
                f"{path} holds a wrong description of itself (no heads, or an impossible window); convert it again"
            )
        return artifact


def read_artifact(path: str | Path) -> Artifact:
    """Reads a file's description of itself without loading its graph.

    `runtime.model.identity` checks whether it is true.

    Raises:
        ArtifactError: the file is missing, damaged, or not made by this project.
    """
    return Artifact.from_metadata(read_entries(path), path)


def own_heads_in(path: str | Path) -> dict[str, Head]:
    """The heads that users added to a file; none if it is missing, damaged, or not made by this project."""
    try:
        return read_artifact(path).own_heads
    except ArtifactError:
        return {}


def read_entries(path: str | Path) -> dict[str, str]:
    """A file's `metadata_props`.

    Raises:
        ArtifactError: the file is missing, or its bytes are no ONNX.
    """
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        command = f"perch-convert {shlex.quote(str(path))} -o perch.onnx"
        raise ArtifactError(f"{path} is a SavedModel, not a file made of one; convert it: `{command}`")
    if "\0" in str(path) or (os.path.exists(path) and not os.path.isfile(path)):
        raise ArtifactError(f"there is no model at {path} (it is no file); {CONVERT}")
    try:
        with open(path, "rb") as file:
            entries = [_entry(file, field) for field in fields(file) if field.is_metadata]
            if not os.fstat(file.fileno()).st_size or sum(len(key) + len(value) for key, value in entries) > MOST_TEXT:
                raise ValueError("an empty file, or too long a description")
    except OSError as error:
        raise ArtifactError(f"there is no model at {path} ({reason(error)}); {CONVERT}") from None
    except ValueError:
        raise ArtifactError(f"{path} cannot be loaded as ONNX (it is damaged or another format); {COPY}") from None
    if twice := repeated([key for key, _ in entries]):
        raise ArtifactError(f"{path} holds a wrong description of itself ({some(twice)} twice); convert it again")
    return dict(entries)


def description_sha256(entries: Mapping[str, str]) -> str:
    """The SHA-256 of a description without the entry that holds it."""
    described = {key: value for key, value in entries.items() if key != DESCRIPTION}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Field:
    """A field of a protobuf message: its number, its wire type, and where it, its value, and the next field start."""

    number: int
    kind: int
    start: int
    value: int
    end: int

    @property
    def is_metadata(self) -> bool:
        """Whether it is one of the `metadata_props` of ONNX's ModelProto."""
        return self.number == METADATA_PROPS and self.kind == 2


def fields(file: BinaryIO, most: int = MOST_FIELDS) -> Iterator[Field]:
    """The fields of a message in protobuf's wire format, whose values are skipped, not read.

    Raises:
        ValueError: the bytes are no such message, or have more fields than `most`.
    """
    size, start = file.seek(0, os.SEEK_END), 0
    for _ in range(most + 1):
        if start == size:
            return
        file.seek(start)
        head = file.read(2 * VARINT)
        tag, value = _varint(head, 0)
        number, kind, end = tag >> 3, tag & 7, value
        if kind == 0:
            _, end = _varint(head, value)
        elif kind == 2:
            length, value = _varint(head, value)
            end = value + length
        elif kind in (1, 5):
            end = value + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"wire type {kind}")
        if not 0 < number < 2**29 or start + end > size:
            raise ValueError("a field without a number, or one that reaches beyond its message")
        yield Field(number, kind, start, start + value, start + end)
        start += end
    raise ValueError("too many fields")


def _entry(file: BinaryIO, field: Field) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto."""
    if field.end - field.value > MOST_TEXT:
        raise ValueError("too long an entry")
    file.seek(field.value)
    data = file.read(field.end - field.value)
    parts = fields(io.BytesIO(data), MOST_ENTRY_FIELDS)
    texts = {each.number: data[each.value : each.end] for each in parts if each.kind == 2}
    return texts.get(1, b"").decode(), texts.get(2, b"").decode()


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Protobuf's number of variable length at a byte, and the byte after it."""
    value = 0
    for count, byte in enumerate(data[at : at + VARINT]):
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, at + count + 1
    raise ValueError("a number without an end")


def _own_heads(entries: Mapping[str, str]) -> tuple[dict[str, Any], str | None]:
    """What describes the heads that users added, by their names; and the file's fingerprint before that, if any."""
    text, base = entries.get("own_heads"), entries.get("base_sha256")
    if text is None and base is None:
        return {}, None
    if text is None or len(text) > MOST_OWN_TEXT or not re.fullmatch("[0-9a-f]{64}", base or ""):
        raise ValueError("own heads that are described at too great length, or without base_sha256")
    return _object(text), base


def _golden(entries: Mapping[str, str], heads: Mapping[str, Head]) -> dict[str, Fingerprint]:
    """The fingerprints of the heads for which the file has one."""
    text = entries.get("golden")
    if text is None:
        return {}
    if len(text) > MOST_GOLDEN_TEXT:
        raise ValueError("a golden window at too great length")
    return read_fingerprints(_object(text), heads)


def _number(text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,10}", text):
        raise ValueError(f"{text[:20]!r} is no number")
    return int(text)


def _object(text: str) -> dict[str, Any]:
    """A JSON object in which no key is repeated."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if twice := repeated([key for key, _ in pairs]):
            raise ValueError(f"{some(twice)} twice")
        return dict(pairs)

    parsed = json.loads(text, object_pairs_hook=distinct)
    if not isinstance(parsed, dict):
        raise ValueError(f"{text[:20]!r} is no JSON object")
    return parsed
