"""Files are held against their own fingerprints, once."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from pathlib import Path

import onnx
import pytest

import runtime.model.identity
from runtime import ArtifactError, run_soundscapes
from runtime.cli import main
from runtime.model.artifact import read_artifact
from runtime.model.identity import read_true_artifact, untrue
from runtime.model.profile import VARIABLE
from tests.support.broken import edit_lines, edited, scale


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache" / "profile.json"))


def test_no_flipped_bit_passes(model: Path, tmp_path: Path) -> None:
    artifact = read_artifact(model)
    data, path, chance = model.read_bytes(), tmp_path / "flipped.onnx", random.Random(0)
    description = range(len(data) - 2500, len(data), 5)
    for at in (*description, *(chance.randrange(len(data)) for _ in range(100))):
        flipped = bytearray(data)
        flipped[at] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        with contextlib.suppress(ArtifactError):
            found = read_true_artifact(path)
            assert (found, flipped[: len(data) - 2500]) == (artifact, data[: len(data) - 2500])  # it says no other
    path.write_bytes(data)
    assert read_true_artifact(path) == artifact


def test_other_weights_under_the_same_description_are_refused(
    model: Path, tmp_path: Path, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = next(each.name for each in onnx.load(model).graph.initializer if each.raw_data and each.data_type == 1)
    other = edited(model, tmp_path / "other.onnx", lambda proto: scale(proto, weights))
    assert read_artifact(other) == read_artifact(model)
    arguments = [str(recordings), "--model", str(other), "-o", str(tmp_path / "out.csv")]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "was damaged or changed after it was converted: its graph and weights do not match their SHA-256" in line
    assert main(["--doctor", "--model", str(other)]) == 1
    assert "problem: " in capsys.readouterr().out
    renamed = edited(
        model, tmp_path / "renamed.onnx", lambda proto: edit_lines(proto, "classes.label", lambda it: it.reverse())
    )
    with pytest.raises(ArtifactError, match=r"holds a wrong description|its description of itself does not match"):
        run_soundscapes(recordings, renamed, progress=False)
    assert untrue(edited(model, tmp_path / "own.onnx", lambda proto: None, {}), read_artifact(model)) is None


def test_a_file_found_true_is_not_read_again(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "copy.onnx", []
    path.write_bytes(model.read_bytes())
    hashed = runtime.model.identity._graph_sha256
    monkeypatch.setattr(runtime.model.identity, "_graph_sha256", lambda file: read.append(file) or hashed(file))
    artifact = read_true_artifact(path)
    read_true_artifact(path)
    assert len(read) == 2  # it was only just written, and might be again within a tick of the clock
    later = time.time() + 60
    monkeypatch.setattr(runtime.model.identity.time, "time", lambda: later)
    for _ in range(3):
        assert read_true_artifact(path) == artifact
    assert len(read) == 3
    (state,) = json.loads((tmp_path / "cache" / "true_artifacts.json").read_text())
    assert str(os.stat(path).st_ino) in state
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    times = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ArtifactError, match="damaged or changed"):
        read_true_artifact(path)


@pytest.mark.parametrize("memory", ["", "[[", "{}", "[1, null]", "[" * 10**5])
def test_a_memory_that_is_damaged_or_cannot_be_kept_is_none(model: Path, tmp_path: Path, memory: str) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "true_artifacts.json").write_text(memory)
    assert untrue(model, read_artifact(model)) is None


def test_values_of_the_graph_are_what_is_hashed(model: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.onnx"
    longer.write_bytes(model.read_bytes() + b"\xfa\x3f\x01x")  # a field that no version knows
    assert "graph and weights" in str(untrue(longer, read_artifact(longer)))
