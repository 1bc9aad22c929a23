"""Sounds of known kinds, through a model, to first labels and a head of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from convert.proof.synthetic import noise_floor, syllable
from runtime import run_soundscapes
from runtime.explore.cli import main
from runtime.explore.evaluation import Evaluation, evaluate
from runtime.explore.label_files import read_labels
from runtime.model.artifact import read_artifact
from tests.support.recordings import RATE, WINDOW
from tests.support.rows_files import write_labels

KINDS, RECORDINGS, WINDOWS = 4, 24, 8


def test_kinds_of_sounds_are_told_apart(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is untrained: its scores know nothing of the kinds, its embeddings hear that they differ."""
    rng = np.random.default_rng(7)
    classes = read_artifact(model).heads["label"].classes[:KINDS]
    songs = []
    for kind in range(KINDS):
        low = 700 * 1.8**kind
        song = [np.append(syllable(rng, low, 1.5 * low), np.zeros(1000)) for _ in range(3)]
        songs.append(np.resize(np.concatenate(song), WINDOW))
    held = rng.random((RECORDINGS * WINDOWS, KINDS)) < 0.25
    for recording in range(RECORDINGS):
        audio = noise_floor(rng, WINDOWS * WINDOW) * rng.uniform(0.02, 0.1)
        for window in range(WINDOWS):
            for kind in np.flatnonzero(held[recording * WINDOWS + window]):
                audio[window * WINDOW : (window + 1) * WINDOW] += np.roll(songs[kind], rng.integers(WINDOW))
        loudness = rng.uniform(0.1, 0.8) / np.abs(audio).max()
        soundfile.write(tmp_path / f"s{recording:02d}.wav", (loudness * audio).astype(np.float32), RATE)
    evaluations: list[Evaluation] = []

    def learn_once(*args: Any) -> Evaluation:
        evaluations.extend([] if evaluations else [evaluate(*args)])
        return evaluations[0]

    monkeypatch.setattr("runtime.explore.evaluation.evaluate", learn_once)
    rows, out = tmp_path / "out.parquet", tmp_path / "predictions.csv"
    found = run_soundscapes(tmp_path, model, outputs=["embedding", "label"], normalize="peak", progress=False)
    found.to_parquet(rows)
    species = {row_id: ";".join(np.array(classes)[kinds]) for row_id, kinds in zip(found.row_ids, held, strict=True)}
    known = write_labels(tmp_path / "known.csv", list(species.items())[: 16 * WINDOWS])
    args = [str(rows), "--labels", str(known), "--precision", "0.8"]
    assert main(["prelabel", *args, "-o", str(out)]) == 0
    said = capsys.readouterr().out
    auc = {name: float(value) for name, value in re.findall(r"^(embedding|raw).* (0\.\d+)$", said, re.MULTILINE)}
    assert auc["embedding"] > max(0.85, auc["raw"] + 0.15)
    error = float(re.search(r"calibration error (0\.\d+)", said)[1])  # type: ignore[index]
    assert error < 0.1
    given = [(row_id, name) for row_id, names in read_labels(out).rows.items() for name in names]
    assert len(given) > 20
    assert np.mean([name in species[row_id] for row_id, name in given]) > 0.7

    # In the model's file they give the same probabilities, beside outputs that have not moved.
    assert main(["teach", *args, "--model", str(model), "-o", str(tmp_path / "mine.onnx")]) == 0
    assert "--normalize peak --outputs label,mine" in capsys.readouterr().out
    unknown = tmp_path / f"s{RECORDINGS - 1}.wav"
    outputs = ["embedding", "label", "mine"]
    both = run_soundscapes(unknown, tmp_path / "mine.onnx", outputs=outputs, normalize="peak", progress=False)
    for name in ("embedding", "label"):
        np.testing.assert_array_equal(both[name], found[name][-WINDOWS:])
    np.testing.assert_allclose(both["mine"], evaluations[0].probabilities_of(both["embedding"]), rtol=0, atol=1e-6)
    assert both.classes["mine"] == evaluations[0].names
    given = both["mine"] >= evaluations[0].thresholds
    assert given.any() and not given.all()
