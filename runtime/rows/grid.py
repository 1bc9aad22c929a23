"""How a run cuts recordings into windows, and these into parts."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.audio.clock import began
from runtime.audio.sites import site_of
from runtime.model.artifact import Artifact
from runtime.remote import Location
from runtime.rows.block import Origin
from runtime.rows.received import Received
from runtime.workers.job import Job


@dataclass(frozen=True)
class Grid:
    """How a run cuts recordings: `window` and `hop` are in samples, `sample_rate` in Hz.

    `part_windows` is how many windows every part but a recording's last has. Where windows are `around_events`, `hop`
    is the step at whose multiples they start. `timezone` and `site_from` are the options of the request.
    """

    window: int
    hop: int
    sample_rate: int
    part_windows: int
    around_events: bool = False
    timezone: str | None = None
    site_from: str | None = None

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
        )

    def origin(self, received: Received, path: Location, below: str) -> Origin:
        """Where a recording comes from; `below` is its path below the run's root.

        One that no worker opened has the time in its name.
        """
        return Origin(received.began or began(None, path.stem, self.timezone), site_of(self.site_from, below))
