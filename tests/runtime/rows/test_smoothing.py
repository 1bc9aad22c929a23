from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.proof.synthetic import soundscape
from runtime import run_soundscapes
from runtime.rows.block import Block, Columns
from runtime.rows.smoothing import smoothed
from tests.support.recordings import write

COLUMNS = Columns({"label": (3,), "embedding": (2,)}, {"label": ("a", "b", "c"), "embedding": ()})
RNG = np.random.default_rng(0)


def block(path: str, scores: NDArray[np.float32]) -> Block:
    count = len(scores)
    status = np.where(np.isnan(scores).any(axis=1), "failed", "scored").astype("<U12")
    outputs = {"label": scores, "embedding": np.ones((count, 2), np.float32)}
    times = 5.0 * np.arange(count)
    return Block(path, [f"{path}_{i}" for i in range(count)], times, times + 5, status, outputs)


def reference(scores: NDArray[np.float32], weights: list[float]) -> NDArray[np.float64]:
    """Row by row, as it is defined."""
    reach, found = len(weights) // 2, np.full(scores.shape, np.nan)
    for row in range(len(scores)):
        there = [
            (weights[k + reach], scores[row + k].astype(np.float64))
            for k in range(-reach, reach + 1)
            if 0 <= row + k < len(scores) and np.isfinite(scores[row + k]).all()
        ]
        if np.isfinite(scores[row]).all():
            found[row] = sum(w * values for w, values in there) / sum(w for w, _ in there)
    return found


@pytest.mark.parametrize("weights", [[1, 2, 1], [0.1, 0.2, 0.4, 0.2, 0.1], [0, 1, 3], [1, 1, 1, 1, 1, 1, 1]])
def test_rows_become_the_weighted_mean_of_their_recording(weights: list[float]) -> None:
    one, two = (RNG.standard_normal((count, 3)).astype(np.float32) for count in (11, 4))
    one[5] = np.nan
    one[:, 2] = two[:, 2] = -7.3  # a class that the model does not know
    one[5, 2] = np.nan
    parts = [block("one", one[i:j]) for i, j in ((0, 4), (4, 5), (5, 6), (6, 11))] + [block("two", two)]
    found = list(smoothed(parts, COLUMNS, weights))
    assert [each.row_ids for each in found] == [each.row_ids for each in parts]
    scores = np.concatenate([each.outputs["label"] for each in found])
    expected = np.concatenate([reference(one, weights), reference(two, weights)])
    np.testing.assert_allclose(scores, expected, rtol=0, atol=2e-6)
    assert (scores[~np.isnan(scores[:, 2]), 2] == np.float32(-7.3)).all()
    assert all((each.outputs["embedding"] == 1).all() for each in found)


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_weights_may_reach_beyond_a_recording(rows: int) -> None:
    scores, weights = RNG.standard_normal((rows, 3)).astype(np.float32), [1, 2, 3, 4, 3, 2, 1]
    (found,) = smoothed([block("short", scores)], COLUMNS, weights)
    np.testing.assert_allclose(found.outputs["label"], reference(scores, weights), rtol=0, atol=2e-6)


def test_without_weights_nothing_changes() -> None:
    parts = [block("one", np.ones((2, 3), np.float32))]
    assert list(smoothed(parts, COLUMNS, None)) == parts


def test_smoothing_goes_across_the_parts_of_a_recording_and_not_beyond(
    tmp_path: Path, label_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.audio.recording.PART_S", 10.0)
    for name, seconds in (("a", 33), ("b", 12)):
        write(tmp_path / f"{name}.wav", soundscape(len(name) + seconds, seconds))
    plain = run_soundscapes(tmp_path, label_model, workers=1, progress=False)
    weights = [1.0, 2.0, 1.0]
    expected = np.concatenate([reference(plain["label"][:7], weights), reference(plain["label"][7:], weights)])
    kept = run_soundscapes(tmp_path, label_model, workers=1, smooth=weights, progress=False)
    np.testing.assert_allclose(kept["label"], expected, rtol=0, atol=1e-5)
    sink = tmp_path / "out.csv"
    run_soundscapes(tmp_path, label_model, workers=1, smooth=weights, sink=sink, progress=False)
    written = np.loadtxt(sink, np.float32, delimiter=",", skiprows=1, usecols=range(1, 4))
    np.testing.assert_array_equal(written, kept["label"][:, :3])
