"""The rules by which `perch-bench parity` judges a file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.parity.columns import ColumnMatch
from benchmarks.parity.comparison import HeadComparison
from benchmarks.parity.measurement import FileMeasurement, Setting
from benchmarks.parity.verdict import MANY_WINDOWS, findings, notes, stated_tolerance
from benchmarks.parity.windows import WindowRef
from convert.proof.audio import SYNTHETIC
from convert.source.saved_model import SavedModel
from runtime.model.artifact import Artifact
from runtime.model.heads import Head
from runtime.model.tolerance import FLOAT16, FLOAT32, INT8, NATIVE, SPATIAL, Tolerance

RNG = np.random.default_rng(0)
COUNT = 120
LOGITS = RNG.normal(-3, 2, (COUNT, 40)).astype(np.float32)
NOISE = RNG.normal(0, 1e-4, LOGITS.shape)
WINDOWS = [WindowRef(Path("a.wav"), i, f"a_{5 * i + 5}") for i in range(COUNT)]
STORED = {"windows": 12, "error": 3e-5, "mean_error": 5e-6, "cosine_distance": 1e-9, "common": 12**-0.5}
OTHER = "recordings of mine"
SOURCE = SavedModel(Path("saved_model"), "f" * 64, (), True, {}, None, None)
CPU = Setting("cpu", 2)


def artifact(stored: dict[str, Any] = STORED, audio: str = SYNTHETIC, **options: str) -> Artifact:
    parity = {"audio": audio, "heads": {"label": stored}}
    head = Head("label", (40,), tuple(f"class{i}" for i in range(40)), "ebird2021")
    return Artifact("perch_v1", 32_000, 160_000, True, {"label": head}, "f" * 64, "", {}, options, parity)


def said(differences: np.ndarray, about: Artifact, audio: str = SYNTHETIC, setting: Setting = CPU) -> str:  # type: ignore[type-arg]
    """The findings about a file that is off by so much."""
    comparison = HeadComparison(classes=True)
    comparison.add(LOGITS, (LOGITS + differences).astype(np.float32))
    measured = FileMeasurement(Path("perch.onnx"), about, {"label": ColumnMatch(np.arange(40))})
    measured.compared[setting] = {"label": comparison.result()}
    return "\n".join(map(str, findings(measured, SOURCE, WINDOWS, audio)))


def test_rounding_is_no_finding() -> None:
    assert said(NOISE, artifact()) == ""
    assert said(3 * NOISE, artifact()) == ""


def test_a_stated_tolerance() -> None:
    off = NOISE.copy()
    off[7, 3], off[8, 5] = 0.5, 0.4
    found = said(off, artifact())
    assert found.startswith("label: error")
    assert "exceeds 1e-03" in found
    assert "most in class 'class3' (column 3), then in class 'class5' (column 5), and in window a_40" in found


@pytest.mark.parametrize(
    ("stored", "said_"),
    [
        ({"error": 1e-6}, "error 2.* times what its conversion measured"),
        ({"mean_error": 1e-7}, "mean error .* times what its conversion measured"),
        ({"cosine_distance": 1e-11}, "1 - cosine .* times what its conversion measured"),
    ],
)
def test_ten_times_what_conversion_measured(stored: dict[str, float], said_: str) -> None:
    assert re.match(f"label: {said_}", said(NOISE, artifact({**STORED, **stored})))
    assert said(NOISE, artifact({**STORED, **stored}), setting=Setting("cuda:0", 2)) == ""


def test_on_other_audio_cosines_say_less() -> None:
    strict = {**STORED, "cosine_distance": 1e-11}
    assert said(NOISE, artifact(strict), OTHER) == ""
    assert said(NOISE, artifact(strict, OTHER), OTHER) == ""
    assert stated_tolerance(artifact(), "label", False, same_audio=True) == FLOAT32
    wider = stated_tolerance(artifact(), "label", False, same_audio=False)
    assert (wider.error, wider.cosine_distance) == (FLOAT32.error, pytest.approx(10 * FLOAT32.cosine_distance))


def test_what_all_windows_have_in_common_is_no_rounding() -> None:
    shift = RNG.normal(0, 5e-5, 40)  # half as much as the rounding
    assert "of their errors, which for rounding is at most 24%" in said(NOISE + shift, artifact())
    shallow = {**STORED, "common": 0.5}
    assert said(NOISE + shift, artifact(shallow)) == ""
    assert said(NOISE + shift, artifact(), OTHER) == ""
    assert said(NOISE + shift, artifact(precision="float16")) == ""
    assert said(NOISE / 100 + shift / 100, artifact()) == ""  # of float32's own size


@pytest.mark.parametrize("parity", [{}, {"heads": 3}, {"heads": {"label": {"error": "small", "windows": None}}}])
def test_what_a_file_says_of_itself_may_make_no_sense(parity: dict[str, Any]) -> None:
    assert said(NOISE, replace(artifact(), parity=parity)) == ""


def test_tolerances_of_precisions() -> None:
    assert stated_tolerance(artifact(precision="float16"), "label", True, True) == FLOAT16
    assert stated_tolerance(artifact(head="int8"), "label", True, True) == INT8
    assert stated_tolerance(artifact(), "label", True, True) == Tolerance(
        NATIVE.error, MANY_WINDOWS * NATIVE.cosine_distance
    )
    assert stated_tolerance(artifact(), "label", False, True) == FLOAT32
    assert stated_tolerance(artifact(), "label", False, False) == Tolerance(FLOAT32.error, 10 * FLOAT32.cosine_distance)
    with_space = replace(artifact(head="int8"), heads={"spatial_embedding": Head("spatial_embedding", (16, 4, 8))})
    many = Tolerance(SPATIAL.error, MANY_WINDOWS * SPATIAL.cosine_distance)
    assert stated_tolerance(with_space, "spatial_embedding", True, True) == many


def test_settings_are_named_where_not_all_are_broken() -> None:
    comparisons = [HeadComparison(classes=True) for _ in range(2)]
    for comparison, off in zip(comparisons, (NOISE, NOISE + 1), strict=True):
        comparison.add(LOGITS, (LOGITS + off).astype(np.float32))
    measured = FileMeasurement(Path("perch.onnx"), artifact(), {"label": ColumnMatch(np.arange(40))})
    for size, comparison in zip((1, 12), comparisons, strict=True):
        measured.compared[Setting("cpu", size)] = {"label": comparison.result()}
    (found,) = findings(measured, SOURCE, WINDOWS, SYNTHETIC)
    assert str(found).startswith("label (cpu, batch 12): error")
    measured.failures[Setting("cpu", 3)] = "out of memory"
    assert "all outputs (cpu, batch 3): cannot be run: out of memory" in map(
        str, findings(measured, SOURCE, WINDOWS, SYNTHETIC)
    )


def test_notes() -> None:
    def told(about: Artifact) -> str:
        measured = FileMeasurement(Path("perch.onnx"), about, {"label": ColumnMatch(np.arange(40))})
        return "\n".join(notes(measured, SOURCE))

    assert told(artifact()) == ""
    assert "converted from another SavedModel (eeeeeeeeeeee)" in told(replace(artifact(), saved_model_sha256="e" * 64))
    assert "no mean errors" in told(artifact({"error": 1e-5}))
    unmeasured = replace(artifact(), parity={"measured": False, "reason": "CUDA alone"})
    assert told(unmeasured) == "parity with TensorFlow was not measured (CUDA alone)"
