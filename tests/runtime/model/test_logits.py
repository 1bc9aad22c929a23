from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, softmax

from runtime import run_soundscapes
from runtime.explore.rows import open_rows
from runtime.model.artifact import read_artifact
from runtime.model.logits import Activation, activated

LOGITS = np.float32([[-200, -20, -1, 0, 1, 20, 200], [3, 3, 3, 3, 3, 3, 3]])
CONSTANT = np.array([False, True, False, False, False, True, False])


def test_activations_are_what_they_are_called() -> None:
    np.testing.assert_array_equal(activated(LOGITS, "none"), LOGITS)
    np.testing.assert_allclose(activated(LOGITS, "sigmoid"), expit(LOGITS.astype(float)), rtol=2e-6, atol=1e-37)
    np.testing.assert_allclose(
        activated(LOGITS, "softmax"), softmax(LOGITS.astype(float), axis=1), rtol=1e-5, atol=1e-37
    )
    assert activated(LOGITS, "softmax").dtype == np.float32


def test_constants_stay_as_they_are() -> None:
    for activation in ("sigmoid", "softmax"):
        found = activated(LOGITS, activation, CONSTANT)
        np.testing.assert_array_equal(found[:, CONSTANT], LOGITS[:, CONSTANT])
        np.testing.assert_array_equal(found[:, ~CONSTANT], activated(LOGITS[:, ~CONSTANT], activation))
    everything = np.ones(7, bool)
    np.testing.assert_array_equal(activated(LOGITS, "softmax", everything), LOGITS)


def test_missing_rows_stay_missing() -> None:
    for activation in ("sigmoid", "softmax"):
        with np.errstate(all="raise"):
            found = activated(np.float32([[np.nan, np.nan], [0, 0]]), activation)
        np.testing.assert_array_equal(found, np.float32([[np.nan, np.nan], [0.5, 0.5]]))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_activation_is_of_the_columns_written(
    model: Path, recordings: Path, tmp_path: Path, activation: Activation
) -> None:
    known = read_artifact(model).heads["label"].classes
    options = {"classes": [known[5], "unknown", known[2]], "unmapped": -3.0, "workers": 1, "progress": False}
    outputs = ["label", "genus", "embedding"]
    plain = run_soundscapes(recordings / "b.wav", model, outputs=outputs, **options)  # type: ignore[arg-type]
    sink = tmp_path / "out.parquet"
    run_soundscapes(
        recordings / "b.wav",
        model,
        outputs=outputs,
        activation=activation,
        embedding_dtype="float16",
        sink=sink,
        **options,  # type: ignore[arg-type]
    )
    rows = open_rows(sink)
    constant = np.array([False, True, False])
    np.testing.assert_array_equal(rows.output("label"), activated(plain["label"], activation, constant))
    np.testing.assert_array_equal(rows.output("genus"), activated(plain["genus"], activation))
    np.testing.assert_array_equal(rows.output("embedding"), plain["embedding"].astype(np.float16))
    assert json.loads(rows.about["options"])["activation"] == activation
