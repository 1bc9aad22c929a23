"""Whether a converted file is what it says: its graph and weights are held against its own fingerprint.

A bit that flipped on a disk, or weights put in the place of others, give other rows and no error; and a run is only
taken up again with the model that it was begun with. Reading and hashing a file costs one to two seconds a gigabyte,
once: files that were found true are remembered in the user's cache folder by where they are, their size and their
times.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import BinaryIO

from runtime.errors import ArtifactError, InputError, reason
from runtime.files import replacing
from runtime.model.artifact import DESCRIPTION, Artifact, description_sha256, fields, read_artifact, read_entries
from runtime.model.profile import profile_path

CHUNK = 2**22
MOST_REMEMBERED = 64
SETTLED_S = 2.0
"""A file that was written less than so long ago may change again without a change of its times."""


def read_true_artifact(path: str | Path) -> Artifact:
    """A file's description of itself, which is true.

    Raises:
        ArtifactError: the file is missing, damaged, changed, or not made by this project.
    """
    artifact = read_artifact(path)
    if (problem := untrue(path, artifact)) is not None:
        raise ArtifactError(problem)
    return artifact


def untrue(path: str | Path, artifact: Artifact) -> str | None:
    """What is not as `perch-convert` wrote it, in a sentence; None if nothing is."""
    try:
        with open(path, "rb") as file:
            state = _state(file)
            if state in _remembered():
                return None
            entries = read_entries(path)
            if entries.get(DESCRIPTION, found := description_sha256(entries)) != found:
                part = "description of itself does not match its"
            elif _graph_sha256(file) != artifact.artifact_sha256:
                part = "graph and weights do not match their"
            else:
                if state == _state(file):
                    _remember(state, file)
                return None
    except OSError as error:
        return f"{path} cannot be read ({reason(error)})"
    return f"{path} was damaged or changed after it was converted: its {part} SHA-256; convert it again"


def _graph_sha256(file: BinaryIO) -> str:
    """The SHA-256 of all but the description: what `convert` took before it wrote that."""
    found = hashlib.sha256()
    for field in fields(file):
        if not field.is_metadata:
            file.seek(field.start)
            for start in range(field.start, field.end, CHUNK):
                found.update(file.read(min(CHUNK, field.end - start)))
    return found.hexdigest()


def _state(file: BinaryIO) -> str:
    """What changes when a file does."""
    known = os.fstat(file.fileno())
    return f"{known.st_dev} {known.st_ino} {known.st_size} {known.st_mtime_ns} {known.st_ctime_ns}"


def _memory() -> Path:
    return profile_path().with_name("true_artifacts.json")


def _remembered() -> list[str]:
    """The states of files that were found true; none where that cannot be told."""
    try:
        found = json.loads(_memory().read_text())
    except (OSError, ValueError, RecursionError, RuntimeError):  # RuntimeError: there is no home
        return []
    return [str(state) for state in found] if isinstance(found, list) else []


def _remember(state: str, file: BinaryIO) -> None:
    known = os.fstat(file.fileno())
    if time.time() - max(known.st_mtime, known.st_ctime) < SETTLED_S:
        return
    with contextlib.suppress(OSError, InputError, RuntimeError):  # then it costs as much again
        _memory().parent.mkdir(parents=True, exist_ok=True)
        with replacing(_memory()) as temporary:
            temporary.write_text(json.dumps([*_remembered(), state][-MOST_REMEMBERED:]))
