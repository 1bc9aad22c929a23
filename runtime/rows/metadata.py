"""What describes a run's rows before there are any: their columns, and what makes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from runtime.classes.taxonomy import Taxonomy
from runtime.console.version import __version__
from runtime.model.artifact import Artifact
from runtime.model.ensemble import members_of
from runtime.remote import absolute_path
from runtime.rows.block import Columns
from runtime.workers.job import Job

NOT_SHOWN = ("classes", "class_columns", "file_scale", "blend", "blend_of")
"""Options that the columns themselves show, and those that `Postprocessing` adds."""


def columns_of(artifact: Artifact, job: Job, root: str | Path, taxonomy: Taxonomy | None = None) -> Columns:
    """The columns of the rows that a job makes of the recordings in the folder `root`."""
    heads = artifact.heads
    shapes = {name: heads[name].shape for name in job.outputs}
    classes = {name: heads[name].names(job.request.namespace) for name in job.outputs}
    constants = {}
    for name, class_map in job.class_maps.items():
        shapes[name], classes[name] = (len(class_map.names),), class_map.names
        constants[name] = frozenset(np.flatnonzero(class_map.constant).tolist())
    more = ("recorded_at",) if job.request.site_from is None else ("recorded_at", "site")
    return Columns(shapes, classes, about(artifact, job, root), job.dtypes, taxonomy or Taxonomy(), constants, more)


def about(artifact: Artifact, job: Job, root: str | Path) -> dict[str, str]:
    """What makes the rows: the model, the options, and where the recordings are, as files record it."""
    hop_s = f"{job.hop / artifact.sample_rate:.10g}" if job.max_peaks is None else ""
    models = {prefix.removesuffix("."): _fingerprints(member) for prefix, member in members_of(artifact).items()}
    own = {name: artifact.heads[name].own for name in job.outputs}
    thresholds = {name: each.thresholds for name, each in own.items() if each is not None}
    return {
        **_fingerprints(artifact),
        **({"models": json.dumps(models)} if len(models) > 1 else {}),
        **({"thresholds": json.dumps(thresholds)} if thresholds else {}),
        "perch_onnx": __version__,
        "sample_rate": str(artifact.sample_rate),
        "window_s": f"{artifact.window_s:g}",
        "hop_s": hop_s,
        "root": absolute_path(root) if root else "",
        "options": json.dumps({name: value for name, value in job.options.items() if name not in NOT_SHOWN}),
    }


def _fingerprints(artifact: Artifact) -> dict[str, str]:
    return {
        "artifact_sha256": artifact.artifact_sha256,
        "base_sha256": artifact.base_sha256,
        "saved_model_sha256": artifact.saved_model_sha256,
        "model_family": artifact.family,
    }
