"""Which engine scores on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.model.artifact import Artifact
from runtime.workers.job import Job
from runtime.workers.pool import Workers
from runtime.workers.stages import Stages
from runtime.workers.supervisor import Engine

EngineFactory = Callable[[Job, Artifact], Engine[Any]]


def engine_for(job: Job, artifact: Artifact) -> Engine[Any]:
    """The engine for a job's device."""
    return Workers(job) if job.device == "cpu" else Stages(job, artifact)
