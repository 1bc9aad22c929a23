"""Learning beside the page: after every few answers a child process learns anew, and its outcome replaces the last."""

from __future__ import annotations

import contextlib
import queue
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import counted
from runtime.explore.labelling.journal import Journal
from runtime.explore.labelling.learning_protocol import LearnJob, Learnt
from runtime.explore.rows import RowFile
from runtime.workers.child import Child

LEARNER = "runtime.explore.labelling.learner"
"""What the child process runs; not imported here, since scikit-learn takes its time."""


class Learning:
    """Learns in a child process, one at a time. It may be used by several threads.

    Args:
        files: the rows.
        journal: the answers.
        precision: the share of the species given to windows that should be right.
        every: after how many answers to learn again; 0 for never.
        cannot: why nothing can be learnt from these rows; empty if it can.
    """

    def __init__(
        self, files: Sequence[RowFile], journal: Journal, precision: float, every: int, cannot: str = ""
    ) -> None:
        self.learnt: Learnt | None = None
        """The last outcome."""
        self._files, self._journal, self._precision, self._every = files, journal, precision, every
        self._cannot = cannot or ("" if every else "learning is switched off (--learn-every 0)")
        self._error = ""
        self._lines = journal.lines  # when it was last learnt from
        self._number = 0
        self._child: Child | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="perch-label-", ignore_cleanup_errors=True)

    def begin(self) -> None:
        """Learns from the answers that are there already."""
        if self._journal.answers:
            self._start()

    def consider(self) -> None:
        """Learns if enough answers have come since the last time."""
        if self._journal.lines - self._lines >= self._every:
            self._start()

    def close(self) -> None:
        """Ends the child process."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.stop()
        if self._thread is not None:
            self._thread.join()
        self.learnt = None
        self._folder.cleanup()

    def as_json(self) -> dict[str, Any]:
        """What the page shows of it."""
        learnt = self.learnt
        return {
            "running": self._thread is not None,
            "after_labels": 0 if learnt is None else learnt.after,
            "message": self._message(learnt),
            "species": [] if learnt is None else learnt.species,
            "random": None if learnt is None else learnt.random,
            "error": self._error,
        }

    def probe(self, number: int) -> list[dict[str, Any]]:
        """The species that were learnt and their probabilities in a window, highest first.

        Species without enough labels have no probability.
        """
        learnt = self.learnt
        if learnt is None:
            return []
        labels = {each["name"]: each["labels"] for each in learnt.species}
        shown = []
        for i, name in enumerate(learnt.names):
            value = float(learnt.probabilities[i, number])
            probability = value if learnt.enough[i] and not np.isnan(value) else None
            given = probability is not None and probability >= learnt.thresholds[i]
            shown.append({"name": name, "probability": probability, "given": given, "labels": labels[name]})
        return sorted(
            shown, key=lambda each: -1.0 if each["probability"] is None else each["probability"], reverse=True
        )

    def _message(self, learnt: Learnt | None) -> str:
        if self._cannot or self._error:
            return self._cannot or self._error
        if learnt is None:
            due = max(0, self._every - (self._journal.lines - self._lines))
            return "learning" if self._thread is not None else f"learns after {counted(due, 'more answer')}"
        return f"learnt {len(learnt.names)} species from {counted(learnt.after, 'window')}"

    def _start(self) -> None:
        with self._lock:
            if self._closed or self._cannot or self._thread is not None:
                return
            self._lines = self._journal.lines
            thread = threading.Thread(target=self._run, name="learning", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # there are too many; the answer that came is saved in any case
                self._error = f"cannot learn: {error}"
            else:
                self._thread = thread

    def _run(self) -> None:
        while True:
            self._number += 1
            outcome = self._learn(Path(self._folder.name), self._number)
            with self._lock:
                self._child = None
                if isinstance(outcome, Learnt):
                    self.learnt, self._error = _with_change(outcome, self.learnt), ""
                else:
                    self._error = outcome
                if self._closed or self._journal.lines - self._lines < self._every:
                    self._thread = None
                    return
                self._lines = self._journal.lines

    def _learn(self, folder: Path, number: int) -> Learnt | str:
        """The outcome of one child process; as a text if it failed."""
        labels, target = folder / "labels.csv", folder / f"probabilities.{number}.npy"
        inbox: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        try:
            self._journal.copy_to(labels)
            rows = [file.source for file in self._files]
            stamps = [file.stamp for file in self._files]
            job = LearnJob(rows, stamps, labels, str(self._journal.path), self._precision, target)
            with self._lock:
                if self._closed:
                    return ""
                self._child = Child(LEARNER, job, inbox)
            message = inbox.get()[1]
            if isinstance(message, Learnt):
                return replace(message, probabilities=np.load(target, mmap_mode="r"))
            if message is None:
                return "" if self._closed else f"learning {self._child.last_words()}"
            return str(message)
        except OSError as error:
            return f"cannot learn: {error}"
        except Exception as error:  # this thread has nobody else to tell
            return f"cannot learn: {type(error).__name__}: {error}"
        finally:
            if self._child is not None:
                self._child.stop()
            for old in folder.glob("probabilities.*.npy"):
                with contextlib.suppress(OSError):
                    if old != target:
                        old.unlink()


def _with_change(learnt: Learnt, before: Learnt | None) -> Learnt:
    """With how many more windows would be given each species than before; None for the first time."""
    had = {} if before is None else {each["name"]: each["given"] for each in before.species}
    species = [
        {**each, "change": each["given"] - had[each["name"]] if each["name"] in had else None}
        for each in learnt.species
    ]
    return replace(learnt, species=species)
