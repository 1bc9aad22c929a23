"""Rows as they come in from workers, until they are put in order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.artifact import Artifact
from runtime.classes import WantedClasses
from runtime.paths import Found
from runtime.recording import Recording
from runtime.soundscapes import Failure, Soundscapes
from runtime.windows import format_end
from runtime.worker import Done, Job, Rows


class Table:
    """Collects the rows of a run, by recording."""

    def __init__(self, found: Found, artifact: Artifact, job: Job, wanted: WantedClasses | None) -> None:
        self._found = found
        self._artifact = artifact
        self._job = job
        self._sample_rows = list(wanted.row_ids or ()) if wanted is not None else []
        self._pieces: list[list[Rows]] = [[] for _ in found.paths]
        self._done: list[Done | None] = [None] * len(found.paths)

    def add(self, recording: int, message: Rows | Done) -> None:
        """Takes what a worker sent about one recording."""
        if isinstance(message, Done):
            self._done[recording] = message
        elif message.first == 0:  # also when a recording is tried again: what came before is void
            self._pieces[recording] = [message]
        else:
            self._pieces[recording].append(message)

    def result(self, headers_until: float, fill: float, timing: Mapping[str, Any]) -> Soundscapes:
        """All rows in order. Headers of recordings that were not reached are read until `headers_until` (monotonic)."""
        row_ids: list[str] = []
        starts: list[int] = []
        for recording in range(len(self._found.paths)):
            starts.append(len(row_ids))
            row_ids += self._row_ids(recording, headers_until)
        if not self._found.paths:
            row_ids = self._sample_rows
        status = np.full(len(row_ids), "filled", "<U6")
        outputs = {name: self._empty(name, len(row_ids)) for name in self._job.outputs}
        for start, end, pieces, done in zip(starts, [*starts[1:], len(row_ids)], self._pieces, self._done):
            if done is not None:
                status[start:end] = "failed"
            for piece in pieces:
                at = slice(start + piece.first, start + piece.first + len(piece.scored))
                status[at] = np.where(piece.scored, "scored", "failed")
                for name, values in piece.outputs.items():
                    outputs[name][at] = values
        return Soundscapes(
            row_ids=row_ids,
            status=status,
            outputs=outputs,
            classes=self._classes(),
            failures=[
                Failure(path, done.failure)
                for path, done in zip(self._found.paths, self._done, strict=True)
                if done is not None and done.failure
            ],
            timing=timing,
            unmapped=self._job.class_map.unmapped if self._job.class_map else [],
            recordings=len(self._found.paths),
            skipped_files=self._found.skipped,
            fill=fill,
        )

    def _row_ids(self, recording: int, headers_until: float) -> list[str]:
        """Row ids of one recording.

        One that was not read, or not to its end, has as many rows as its header promises. Where that promises nothing
        it has those of the sample submission, or else as many as most recordings of the run, or else one.
        """
        done, came = self._done[recording], self._count(recording)
        if done is not None and done.failure is None:
            return self._named(recording, came)
        promised = done.promised if done is not None else self._promised(recording, headers_until)
        if promised is not None:
            return self._named(recording, max(came, promised))
        stem = self._found.paths[recording].stem
        own = [row_id for row_id in self._sample_rows if row_id.rpartition("_")[0] == stem]
        if own and not came:
            return own
        return self._named(recording, max(came, len(own) or self._commonest_count()))

    def _count(self, recording: int) -> int:
        return sum(len(piece.scored) for piece in self._pieces[recording])

    def _commonest_count(self) -> int:
        whole = (self._count(i) for i, done in enumerate(self._done) if done is not None and done.failure is None)
        return max(Counter(whole).items(), key=lambda item: item[1], default=(1, 0))[0]

    def _promised(self, recording: int, headers_until: float) -> int | None:
        if time.monotonic() > headers_until:
            return None
        artifact, path = self._artifact, self._found.paths[recording]
        return Recording(path, artifact.sample_rate, artifact.window_samples, self._job.hop).promised_windows()

    def _named(self, recording: int, count: int) -> list[str]:
        name, window, rate = self._found.names[recording], self._artifact.window_samples, self._artifact.sample_rate
        return [f"{name}_{format_end(k, window, self._job.hop, rate)}" for k in range(count)]

    def _classes(self) -> dict[str, tuple[str, ...]]:
        classes = {name: self._artifact.heads[name].classes for name in self._job.outputs}
        return classes | ({"label": self._job.class_map.names} if self._job.class_map else {})

    def _empty(self, name: str, rows: int) -> NDArray[np.float32]:
        mapped = name == "label" and self._job.class_map is not None
        shape = (len(self._classes()["label"]),) if mapped else self._artifact.heads[name].shape
        return np.full((rows, *shape), np.nan, np.float32)

    @property
    def scored(self) -> int:
        """How many rows were scored."""
        return sum(int(piece.scored.sum()) for pieces in self._pieces for piece in pieces)

    @property
    def columns(self) -> int:
        """How many numbers a row holds."""
        return sum(self._empty(name, 1).size for name in self._job.outputs)
