"""Whether a converted file is unchanged: the SHA-256 of its graph, weights and description are compared with its own.

A flipped bit or exchanged weights change rows and raise no error, and an interrupted run may only be resumed with the
model that it was started with. Hashing takes one to two seconds a gigabyte, once: files that passed are remembered in
the user's cache folder by inode, size and times.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import BinaryIO

from runtime.errors import ArtifactError, InputError, reason, some
from runtime.files import replacing
from runtime.model.artifact import DESCRIPTION, Artifact, description_sha256, fields, read_artifact, read_entries
from runtime.model.profile import profile_path

CHUNK = 2**22
MOST_REMEMBERED = 64
SETTLED_S = 2.0
"""A file written less than this many seconds ago can change again and keep its times, so it is not remembered."""


def read_true_artifact(path: str | Path) -> Artifact:
    """Reads a file's description of itself and checks that the file is unchanged.

    Raises:
        ArtifactError: the file is missing, damaged, changed, or not made by this project.
    """
    artifact = read_artifact(path)
    if (problem := untrue(path, artifact)) is not None:
        raise ArtifactError(problem)
    return artifact


def untrue(path: str | Path, artifact: Artifact) -> str | None:
    """One sentence that says what changed since `perch-convert` wrote the file; None if nothing did."""
    try:
        with open(path, "rb") as file:
            state = _state(file)
            if state in _remembered():
                return None
            entries = read_entries(path)
            if entries.get(DESCRIPTION, digest := description_sha256(entries)) != digest:
                part = "description of itself does not match its"
            elif _graph_sha256(file) != artifact.artifact_sha256:
                part = "graph and weights do not match their"
            else:
                if state == _state(file):
                    _remember(state, file)
                return None
    except OSError as error:
        return f"{path} cannot be read ({reason(error)})"
    teach = f", and teach {some(list(artifact.own_heads))} again" if artifact.own_heads else ""
    return f"{path} was damaged or changed after it was converted: its {part} SHA-256; convert it again{teach}"


def _graph_sha256(file: BinaryIO) -> str:
    """The SHA-256 of all fields but the description, as `convert` computed it before it added the description."""
    digest = hashlib.sha256()
    for field in fields(file):
        if not field.is_metadata:
            file.seek(field.start)
            for start in range(field.start, field.end, CHUNK):
                digest.update(file.read(min(CHUNK, field.end - start)))
    return digest.hexdigest()


def _state(file: BinaryIO) -> str:
    """What identifies a file and changes whenever it is written."""
    stat = os.fstat(file.fileno())
    return f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _memory() -> Path:
    return profile_path().with_name("true_artifacts.json")


def _remembered() -> list[str]:
    """The states of files that passed; none where they cannot be read."""
    try:
        states = json.loads(_memory().read_text())
    except (OSError, ValueError, RecursionError, RuntimeError):  # RuntimeError: there is no home folder
        return []
    return [str(state) for state in states] if isinstance(states, list) else []


def _remember(state: str, file: BinaryIO) -> None:
    stat = os.fstat(file.fileno())
    if time.time() - max(stat.st_mtime, stat.st_ctime) < SETTLED_S:
        return
    with contextlib.suppress(OSError, InputError, RuntimeError):  # then it is hashed again next time
        _memory().parent.mkdir(parents=True, exist_ok=True)
        with replacing(_memory()) as temporary:
            temporary.write_text(json.dumps([*_remembered(), state][-MOST_REMEMBERED:]))
