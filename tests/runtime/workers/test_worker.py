"""Rows made of what a session computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.model.artifact import read_artifact
from runtime.model.profile import Setup
from runtime.request.request import Request
from runtime.workers.job import make_job
from runtime.workers.worker import rows_of


def test_rows_without_a_score_are_nan_and_the_outputs_stay_as_they_are(model: Path) -> None:
    artifact = read_artifact(model)
    job = make_job(artifact, model, Request(outputs=["label", "embedding"]), "cpu", Setup(1, 1, 2), None)
    outputs = {name: np.ones((3, *artifact.heads[name].shape), np.float32) for name in job.computed}
    outputs["label"][1, 0] = np.inf
    all_readable = rows_of(np.arange(3), np.ones(3, bool), outputs, artifact, job)
    assert all_readable.scored.tolist() == [True, False, True]
    one_is_not = rows_of(np.arange(4), np.array([True, True, False, True]), outputs, artifact, job)
    assert one_is_not.scored.tolist() == [True, False, False, True]
    for rows in (all_readable, one_is_not):
        for values in rows.outputs.values():
            np.testing.assert_array_equal(np.isnan(values).all(axis=1), ~rows.scored)
            assert (values[rows.scored] == 1).all()
    assert outputs["embedding"].min() == 1
    assert not np.isnan(outputs["label"]).any()
