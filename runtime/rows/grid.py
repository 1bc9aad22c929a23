"""How a run cuts recordings into windows, and these into parts."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from runtime.audio.clock import began
from runtime.audio.sites import site_of
from runtime.audio.times import Times, times_of
from runtime.model.artifact import Artifact
from runtime.remote import Location
from runtime.rows.block import Origin
from runtime.rows.received import Received
from runtime.workers.job import Job


@dataclass(frozen=True)
class Grid:
    """How a run cuts recordings: `window` and `hop` are in samples, `sample_rate` in Hz.

    `part_windows` is how many windows every part but a recording's last has. Where windows are `around_events`, `hop`
    is the step at whose multiples they start. `timezone`, `site_from`, `between` and `dates` are the request's options.
    """

    window: int
    hop: int
    sample_rate: int
    part_windows: int
    around_events: bool = False
    timezone: str | None = None
    site_from: str | None = None
    between: str | None = None
    dates: str | None = None

    @classmethod
    def of(cls, artifact: Artifact, job: Job) -> Grid:
        """How the workers of a job cut recordings."""
        around_events = job.max_peaks is not None
        request = job.request
        return cls(
            window=artifact.window_samples,
            hop=job.hop,
            sample_rate=artifact.sample_rate,
            part_windows=job.part_windows,
            around_events=around_events,
            timezone=request.timezone,
            site_from=request.site_from,
            between=request.between,
            dates=request.dates,
        )

    @functools.cached_property
    def times(self) -> Times | None:
        """When windows begin that have rows; None if all have."""
        return times_of(self.between, self.dates)

    def wanted(self, began: datetime | None, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of these windows that have rows, in a recording that was begun then."""
        if self.times is None:
            return indices
        return indices[self.times.among(began, indices * self.hop / self.sample_rate)]

    def origin(self, received: Received, path: Location, below: str) -> Origin:
        """Where a recording comes from; `below` is its path below the run's root.

        One that no worker opened has the time in its name.
        """
        return Origin(received.began or began(None, path.stem, self.timezone), site_of(self.site_from, below))
