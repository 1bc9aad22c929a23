"""Whole models of Perch's family, from JAX to ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.proof.synthetic import soundscape
from tests.support.audio_models import MODELS
from tests.support.jax_modules import assert_equal_to_jax

SAMPLES = 9_600


def windows(batch: int) -> np.ndarray[Any, Any]:
    return np.stack([soundscape(seed, 1)[:SAMPLES] for seed in range(batch)])


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    """To 1e-4 of the greatest number: in quiet bands logarithms multiply the noise of sums."""
    assert_equal_to_jax(MODELS[name], (1, SAMPLES), close=1e-4, inputs=windows)
