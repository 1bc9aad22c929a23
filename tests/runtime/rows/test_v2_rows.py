"""What Perch v2's files bring to a run: several class lists, heads of any shape, a scale for logits."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from convert.proof.synthetic import soundscape
from runtime import InputError, Soundscapes
from runtime.audio.recording import Recording, count_part_windows
from runtime.cli import main
from runtime.model.artifact import read_artifact
from runtime.model.session import Session
from tests.support.recordings import RATE, WINDOW, write
from tests.support.runs import interrupt, run, write_sample
from tests.support.small_v2 import CODES, NAMES, SPATIAL, write_small_v2

ALL = ("label", "embedding", "spatial_embedding", "spectrogram")
UNMEASURED = {"measured": False, "reason": "the module runs on CUDA alone"}


@pytest.fixture(scope="module")
def v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_v2(tmp_path_factory.mktemp("v2") / "v2.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder")
    for i in range(4):
        write(folder / f"r{i}.wav", soundscape(i, 10))
    (folder / "bad.wav").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def reference(folder: Path, v2: Path) -> Soundscapes:
    return run(folder, v2, outputs=ALL)


def header(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return next(csv.reader(file))


def test_columns_are_named_in_the_namespace_asked_for(tmp_path: Path, folder: Path, v2: Path) -> None:
    for namespace, names in ((None, NAMES), ("inat2024_fsd50k", NAMES), ("ebird2021", CODES)):
        result = run(folder, v2, namespace=namespace)
        assert result.classes["label"] == names
        result.to_submission(tmp_path / "memory.csv")
        run(folder, v2, namespace=namespace, sink=tmp_path / "sink.csv")
        assert header(tmp_path / "memory.csv") == header(tmp_path / "sink.csv") == ["row_id", *names]
    result.to_npz(tmp_path / "rows.npz")
    with np.load(tmp_path / "rows.npz") as saved:
        assert json.loads(str(saved["classes"]))["label"] == list(CODES)
    result.to_parquet(tmp_path / "rows.parquet")
    field = pq.read_schema(tmp_path / "rows.parquet").field("label")
    assert json.loads(field.metadata[b"classes"]) == list(CODES)


def test_submission_of_codes_is_filled_from_the_list_that_knows_them(
    tmp_path: Path, folder: Path, v2: Path, reference: Soundscapes
) -> None:
    sample = write_sample(tmp_path / "sample.csv", ["eurbla", "1139490", "comrav"])
    found = run(folder, v2, classes=sample)
    assert found.namespace == "ebird2021"
    assert "classes were looked up first in the model's list ebird2021" in found.summary()
    assert found.unmapped == ["1139490"]
    assert found.classes["label"] == ("eurbla", "1139490", "comrav")
    np.testing.assert_array_equal(found["label"][:, [0, 2]], reference["label"][:, [5, 2]])
    assert "the model's list" not in run(folder, v2, classes=["Speech"]).summary()
    by_name = run(folder, v2, classes=sample, namespace="inat2024_fsd50k")  # found there by their scientific names
    np.testing.assert_array_equal(by_name["label"], found["label"])
    with pytest.raises(InputError, match=r"none of the names .* \(ebird2021\)$"):
        run(folder, v2, classes=["Speech"], namespace="ebird2021")


def test_unknown_namespace_is_refused_with_those_there_are(folder: Path, v2: Path, model: Path) -> None:
    with pytest.raises(
        InputError, match=r"namespace is 'ebird2022', .* label the model has inat2024_fsd50k, ebird2021$"
    ):
        run(folder, v2, namespace="ebird2022")
    with pytest.raises(InputError, match="of embedding the model has no class list"):
        run(folder, v2, namespace="ebird2021", outputs=("embedding",))
    both = run(folder, model, namespace="ebird2021_genera", outputs=("label", "genus"))
    heads = read_artifact(model).heads  # each head's own list, where it has none of that name
    assert both.classes == {"label": heads["label"].classes, "genus": heads["genus"].classes}


def test_heads_of_any_shape_are_what_the_model_gives(folder: Path, v2: Path, reference: Soundscapes) -> None:
    windows = [window.samples for window in Recording(folder / "r0.wav", RATE, WINDOW).windows()]
    expected = Session(v2)(np.stack([samples for samples in windows if samples is not None]), ALL)
    first = reference.row_ids.index("r0_5")
    for name, values in zip(ALL, expected, strict=True):
        np.testing.assert_allclose(reference[name][first : first + 2], values, atol=1e-5)
        assert np.isnan(reference[name][reference.status == "failed"]).all()
    assert reference["spatial_embedding"].shape == (len(reference), *SPATIAL)


def test_heads_of_any_shape_go_to_files(tmp_path: Path, folder: Path, v2: Path, reference: Soundscapes) -> None:
    reference.to_npz(tmp_path / "rows.npz")
    reference.to_parquet(tmp_path / "memory.parquet")
    run(folder, v2, outputs=ALL, sink=tmp_path / "sink.parquet")
    scored = reference.status == "scored"
    with np.load(tmp_path / "rows.npz") as saved:
        for name in ALL:
            np.testing.assert_array_equal(saved[name], reference[name])
    for file in ("memory.parquet", "sink.parquet"):
        table = pq.read_table(tmp_path / file)
        for name in ALL:
            shape = json.loads(table.schema.field(name).metadata[b"shape"])
            rows = table[name].drop_null().combine_chunks().flatten().to_numpy().reshape(-1, *shape)
            np.testing.assert_array_equal(rows, reference[name][scored])
            assert table[name].is_null().to_pylist() == (~scored).tolist()


@pytest.mark.parametrize("name", ["spatial_embedding", "spectrogram"])
def test_csv_of_what_is_no_vector_is_refused_in_one_line(
    tmp_path: Path, folder: Path, v2: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    arguments = [str(folder), "--model", str(v2), "--outputs", name, "-o", str(tmp_path / "rows.csv")]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"a CSV holds one vector a row, not {name}; write a .parquet or .npz" in line
    assert not list(tmp_path.iterdir())


def test_frontend_of_v1_is_a_head_like_any_other(tmp_path: Path, folder: Path, model: Path) -> None:
    reference = run(folder, model, outputs=("frontend", "label"))
    interrupt(folder, model, tmp_path / "rows.parquet", 2, pytest.MonkeyPatch(), outputs=("frontend", "label"))
    run(folder, model, outputs=("frontend", "label"), sink=tmp_path / "rows.parquet", resume=True)
    rows = pq.read_table(tmp_path / "rows.parquet")["frontend"].drop_null().combine_chunks().flatten()
    shape = read_artifact(model).heads["frontend"].shape
    expected = reference["frontend"][reference.status == "scored"]
    np.testing.assert_array_equal(rows.to_numpy().reshape(-1, *shape), expected)


def test_rows_of_another_namespace_or_scale_are_not_taken_up(
    tmp_path: Path, folder: Path, v2: Path, reference: Soundscapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "rows.parquet"
    interrupt(folder, v2, target, 2, monkeypatch, outputs=ALL, namespace="ebird2021", logit_scale="perch-hoplite")
    with pytest.raises(
        InputError, match="namespace was ebird2021 and is not given; logit_scale was perch-hoplite and is"
    ):
        run(folder, v2, outputs=ALL, sink=target, resume=True)
    run(folder, v2, outputs=ALL, sink=target, resume=True, namespace="ebird2021", logit_scale="perch-hoplite")
    table = pq.read_table(target)
    assert json.loads(table.schema.metadata[b"options"])["logit_scale"] == "perch-hoplite"
    rows = table["label"].drop_null().combine_chunks().flatten().to_numpy().reshape(-1, len(CODES))
    scored = reference["label"][reference.status == "scored"]
    np.testing.assert_allclose(rows, 0.97 * scored.astype(float) - 10, rtol=1e-6)
    places = table["spatial_embedding"].drop_null().combine_chunks().flatten().to_numpy()
    np.testing.assert_array_equal(places, reference["spatial_embedding"][reference.status == "scored"].reshape(-1))


def test_logit_scale_is_for_scores_alone(tmp_path: Path, folder: Path, v2: Path, reference: Soundscapes) -> None:
    wanted = {"classes": ["houspa", "1139490"], "unmapped": -3, "fill": -77, "outputs": ("label",)}
    result = run(folder, v2, logit_scale="perch-hoplite", **wanted)
    scored = result.status == "scored"
    assert (result["label"][scored, 1] == -3).all()
    expected = 0.97 * reference["label"][scored, 3].astype(float) - 10
    np.testing.assert_allclose(result["label"][scored, 0], expected, rtol=1e-6)
    result.to_submission(tmp_path / "rows.csv")
    rows = np.genfromtxt(tmp_path / "rows.csv", delimiter=",", skip_header=1)[:, 1:]
    assert (rows[~scored] == -77).all()


def test_logit_scale_that_cannot_be_applied_is_refused(folder: Path, v2: Path, model: Path) -> None:
    with pytest.raises(InputError, match="logit_scale is 'softmax', but must be None or 'perch-hoplite'"):
        run(folder, v2, logit_scale="softmax")
    with pytest.raises(InputError, match="output 'label', which is not among embedding"):
        run(folder, v2, logit_scale="perch-hoplite", outputs=("embedding",))
    with pytest.raises(InputError, match="made for perch_v2, and this model is perch_v1; leave it out"):
        run(folder, model, logit_scale="perch-hoplite")


def test_interpolated_scores_are_on_the_scale(folder: Path, v2: Path, reference: Soundscapes) -> None:
    both = {"deadline_s": 3600, "on_deadline": "interpolate", "workers": 1}
    result = run(folder, v2, logit_scale="perch-hoplite", **both)
    scored = result.status == "scored"
    expected = 0.97 * reference["label"][scored].astype(float) - 10
    np.testing.assert_allclose(result["label"][scored], expected, rtol=1e-6)


def test_parity_that_was_not_measured_is_said_once_a_run(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unmeasured = write_small_v2(tmp_path / "cuda.onnx", parity=UNMEASURED)
    run(folder, unmeasured, workers=2)
    assert caplog.messages == [f"{unmeasured}: parity with TensorFlow was not measured (the module runs on CUDA alone)"]


def test_commands_say_that_parity_was_not_measured(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unmeasured = str(write_small_v2(tmp_path / "cuda.onnx", parity=UNMEASURED))
    recording = str(folder / "r0.wav")
    for namespace, names in (("inat2024_fsd50k", NAMES), ("ebird2021", CODES)):
        options = ["--quiet", "--workers", "2", "--logit-scale", "perch-hoplite", "--namespace", namespace]
        assert main([recording, "--model", unmeasured, "-o", str(tmp_path / "rows.csv"), *options]) == 0
        printed = capsys.readouterr()
        assert printed.err.count("was not measured") == len(printed.err.splitlines()) == 1
        assert printed.err.startswith("perch-run: ")
        assert header(tmp_path / "rows.csv") == ["row_id", *names]
    assert main(["--doctor", "--device", "cpu", "--model", unmeasured]) == 0
    report = capsys.readouterr().out
    assert report.count("parity with TensorFlow was not measured (the module runs on CUDA alone)") == 1
    assert "spatial_embedding 2x2x8; parity not measured" in report
    assert "label         6, classes of inat2024_fsd50k and ebird2021; parity not measured" in report


def test_parts_of_large_rows_are_short() -> None:
    hop = 5 * RATE
    assert count_part_windows(RATE, hop) == 120
    assert count_part_windows(RATE, hop, 16 * 4 * 1536 * 4) == 120
    assert count_part_windows(RATE, hop // 10, 16 * 4 * 1536 * 4) == 128
    assert count_part_windows(RATE, hop, 10**9) == 1
