"""The audio that models are compared on: the user's recordings, or synthetic soundscapes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert import SAMPLE_RATE, WINDOW_SAMPLES
from convert.proof import synthetic
from runtime.audio.paths import find_recordings
from runtime.audio.recording import Recording
from runtime.errors import InputError

SYNTHETIC = "synthetic soundscapes"
"""How a converted file describes the audio it was compared on if there were no recordings."""
FIRST_SEED = 1000


@dataclass(frozen=True)
class ProofAudio:
    """Windows of 5 s at 32 kHz to compare on, from a recording or a folder of them; synthetic if `path` is None."""

    path: str | Path | None

    @property
    def description(self) -> str:
        """The audio in the words of a converted file."""
        return SYNTHETIC if self.path is None else f"recordings of {Path(self.path).name}"

    def exactly(self, count: int) -> NDArray[np.float32]:
        """`count` windows, `float32 [count, 160000]`, repeated if there are fewer.

        Raises:
            InputError: no recording can be read.
        """
        return np.resize(self.at_most(count), (count, WINDOW_SAMPLES))

    def at_most(self, count: int) -> NDArray[np.float32]:
        """`count` windows, or as many as there are: about equally many of each recording, from its start.

        Raises:
            InputError: no recording can be read.
        """
        if self.path is None:
            return synthetic.windows(FIRST_SEED, count, WINDOW_SAMPLES)
        recordings = find_recordings(self.path)
        if not recordings.paths:
            raise InputError(recordings.nothing(self.path))
        windows: list[NDArray[np.float32]] = []
        failures: list[str] = []
        share = -(-count // len(recordings.paths))
        for path in recordings.paths:
            recording = Recording(path, SAMPLE_RATE, WINDOW_SAMPLES)
            readable = (window.samples for window in recording.windows() if window.samples is not None)
            windows += itertools.islice(readable, min(share, count - len(windows)))
            if recording.failure:
                failures.append(f"{path} {recording.failure}")
            if len(windows) >= count:
                break
        if not windows:
            silent = f"{recordings.paths[0]} holds only stretches of silence that were not recorded"
            problem = failures[0] if failures else silent
            raise InputError(f"no recording in {self.path} could be read to compare on: {problem}")
        return np.stack(windows)
