"""How a run cuts recordings into windows, and these into parts."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.model.artifact import Artifact
from runtime.workers.job import Job


@dataclass(frozen=True)
class Grid:
    """How a run cuts recordings: `window` and `hop` are in samples, `sample_rate` in Hz.

    `part_windows` is how many windows every part but a recording's last has. Where windows are `around_events`, `hop`
    is the step at whose multiples they start.
    """

    window: int
    hop: int
    sample_rate: int
    part_windows: int
    around_events: bool = False

    @classmethod
    def of(cls, artifact: Artifact, job: Job) -> Grid:
        """How the workers of a job cut recordings."""
        around_events = job.max_peaks is not None
        return cls(artifact.window_samples, job.hop, artifact.sample_rate, job.part_windows, around_events)
