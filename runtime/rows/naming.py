"""What rows are called, and when their windows start and end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.audio.windows import format_end


@dataclass(frozen=True)
class Naming:
    """Names and times of windows by their indices: `window` and `hop` are in samples, `sample_rate` in Hz."""

    window: int
    hop: int
    sample_rate: int

    def row_ids(self, recording: str, indices: NDArray[np.int64]) -> list[str]:
        """`{recording}_{end}`, the nominal end in seconds."""
        window, hop, rate = self.window, self.hop, self.sample_rate
        return [f"{recording}_{format_end(index, window, hop, rate)}" for index in indices.tolist()]

    def times(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """When the windows start and end, padding included, in seconds from the recording's start."""
        starts = indices * self.hop / self.sample_rate
        return starts, starts + self.window / self.sample_rate
