"""Several models in one run: the rows of each are those of a run of its own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from convert.proof.synthetic import soundscape
from runtime import InputError, Model, Soundscapes, load_model, merge_archive, run_archive
from runtime.cli import main
from runtime.workers.stages import Stages
from tests.support.recordings import RATE, write
from tests.support.runs import interrupt, run, write_sample
from tests.support.small_v2 import CODES, NAMES, write_small_v2

BOTH = ("label", "embedding")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [write_small_v2(folder / f"{name}.onnx", seed=seed) for seed, name in enumerate("ab")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    write(folder / "one.wav", soundscape(1, 12))
    write(folder / "two.wav", soundscape(2, 33))
    return folder


@pytest.fixture(scope="module")
def apart(models: list[Path], folder: Path) -> list[Soundscapes]:
    return [run(folder, model, outputs=BOTH, workers=1) for model in models]


def same(together: Soundscapes, apart: list[Soundscapes]) -> None:
    """The rows of both models are the same bits as in runs of their own."""
    assert together.row_ids == apart[0].row_ids
    assert list(together.outputs) == ["a.label", "b.label", "a.embedding", "b.embedding"]
    for name, own in zip("ab", apart, strict=True):
        for output in BOTH:
            np.testing.assert_array_equal(together[f"{name}.{output}"], own[output])


def test_rows_are_the_same_bits_as_in_runs_of_their_own(
    models: list[Path], folder: Path, apart: list[Soundscapes]
) -> None:
    together = run(folder, models, outputs=BOTH, workers=1)
    same(together, apart)
    assert together.classes["b.label"] == NAMES
    same(run(folder, models, engine=Stages, outputs=BOTH, device="cpu", batch_size=2, workers=1), apart)


def test_audio_in_memory_is_scored_by_all(models: list[Path], folder: Path, apart: list[Soundscapes]) -> None:
    loaded = load_model({"x": models[0], "y": models[1]}, "cpu")
    assert set(loaded(np.zeros((1, 160_000), np.float32), "label")) == {"x.label", "y.label"}
    assert "a.onnx, b.onnx: perch_v2 on cpu" in repr(loaded)
    rows = loaded.run(soundscape(1, 12), RATE, outputs=["y.embedding"], progress=False)
    np.testing.assert_allclose(rows["y.embedding"], apart[1]["embedding"][:3], atol=1e-3)


def test_an_interrupted_run_goes_on_with_the_same_models_alone(
    models: list[Path], folder: Path, apart: list[Soundscapes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = tmp_path / "rows.parquet"
    interrupt(folder, models, sink, 1, monkeypatch, outputs=BOTH, workers=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the model's id was"):
        run(folder, models[::-1], outputs=BOTH, sink=sink, resume=True)
    run(folder, models, outputs=BOTH, sink=sink, resume=True, workers=1)
    table = pyarrow.parquet.read_table(sink)
    for name, own in zip("ab", apart, strict=True):
        np.testing.assert_array_equal(table[f"{name}.label"].combine_chunks().values.to_numpy(), own["label"].ravel())
    about = json.loads(table.schema.metadata[b"models"])
    assert {name: each["model_family"] for name, each in about.items()} == {"a": "perch_v2", "b": "perch_v2"}


def test_a_dataset_of_several_models_merges_to_a_plain_runs_file(
    models: list[Path], folder: Path, tmp_path: Path
) -> None:
    run_archive(folder, models, tmp_path / "out", outputs=BOTH, workers=1, progress=False)
    with pytest.raises(InputError, match="holds the rows of another run: the model's id was"):
        run_archive(folder, models[0], tmp_path / "out", outputs=BOTH, progress=False)
    with pytest.raises(InputError, match="blend cannot be given for a dataset"):
        run_archive(folder, models, tmp_path / "out", outputs=BOTH, blend=(1, 2), progress=False)
    merged, plain = tmp_path / "merged.parquet", tmp_path / "plain.parquet"
    options = {"blend": (1, 2), "blend_of": "ranks", "smooth": (1, 2, 1)}
    merge_archive(tmp_path / "out", merged, progress=False, **options)  # type: ignore[arg-type]
    run(folder, models, outputs=BOTH, sink=plain, workers=1, **options)
    assert merged.read_bytes() == plain.read_bytes()
    assert json.loads(pyarrow.parquet.read_schema(plain).metadata[b"options"])["blend"] == [1, 2]


@pytest.fixture(scope="module")
def loaded(models: list[Path]) -> Model:
    return load_model(models, "cpu")


def of_b_wav(loaded: Model, **options: object) -> Soundscapes:
    """A run in this process."""
    return loaded.run(soundscape(1, 12), RATE, progress=False, **options)  # type: ignore[arg-type]


WANTED = ["houspa", "1139490", "Turdus merula"]


def test_classes_are_mapped_in_each_model(loaded: Model) -> None:
    whole = of_b_wav(loaded)
    mapped = of_b_wav(loaded, classes=WANTED, activation="sigmoid")
    assert mapped.unmapped == ["1139490"]
    assert "classes of b.label: 2 exact; 1 absent" in mapped.summary()
    for name in "ab":
        assert mapped.classes[f"{name}.label"] == tuple(WANTED)
        expected = 1 / (1 + np.exp(-whole[f"{name}.label"][:, [3, 5]]))
        np.testing.assert_allclose(mapped[f"{name}.label"][:, [0, 2]], expected, rtol=1e-5)
        assert (mapped[f"{name}.label"][:, 1] == 0).all()


def test_a_model_without_the_classes_is_named(models: list[Path], loaded: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a\.label: the model has none of the names in"):
        of_b_wav(loaded, classes=["amecro"])
    old = write_small_v2(tmp_path / "old.onnx", family="perch_v1")
    with pytest.raises(InputError, match="one of the models is perch_v1"):
        of_b_wav(load_model([models[0], old], "cpu"), logit_scale="perch-hoplite")


def test_a_blend_is_the_mean_of_what_is_activated(loaded: Model, models: list[Path], tmp_path: Path) -> None:
    options = {"classes": WANTED, "activation": "softmax"}
    each = of_b_wav(loaded, **options)
    blended = of_b_wav(loaded, **options, blend=(3, 1), outputs=["label", "b.embedding"])
    assert list(blended.outputs) == ["label", "b.embedding"]
    np.testing.assert_allclose(blended["label"], 0.75 * each["a.label"] + 0.25 * each["b.label"], rtol=1e-6)
    assert "label: 3 a.label + 1 b.label" in blended.summary()
    assert blended.unmapped == ["1139490"]
    lists = of_b_wav(loaded, blend=(1, 1), namespace="ebird2021")  # the models have the same
    assert lists.classes["label"] == CODES
    with pytest.raises(InputError, match=r"a weight for each model: .*; the number of weights given is 3"):
        of_b_wav(loaded, blend=(1, 1, 1))
    with pytest.raises(InputError, match="there is one model here"):
        of_b_wav(load_model(models[0], "cpu"), blend=(1, 1))


def test_a_submission_of_a_blend_has_the_samples_rows(loaded: Model, tmp_path: Path) -> None:
    sample = write_sample(tmp_path / "sample.csv", WANTED, rows=("audio_10", "audio_5", "gone_5"))
    options = {"classes": sample, "blend": (1, 1), "sink": tmp_path / "out.csv"}
    result = of_b_wav(loaded, **options, blend_of="ranks", deadline_s=600)
    with (tmp_path / "out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["row_id", *WANTED]
    assert [row[0] for row in rows] == ["audio_10", "audio_5", "gone_5"]
    values = np.array([row[1:] for row in rows], np.float64)
    assert set(np.round(values[:2, [0, 2]] * 6).ravel()) <= set(range(2, 7))  # means of two ranks of three rows
    assert values[:, 1].tolist() == [0, 0, -1000]
    assert result.dropped == 1


def test_the_command_line_takes_several_models(
    models: list[Path], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", str(models[0]), "--model", f"b2={models[1]}", "--workers", "1"]
    sink = tmp_path / "out.npz"
    assert main([str(folder), *given, "--namespace", "ebird2021", "-o", str(sink), "--quiet"]) == 0
    with np.load(sink) as saved:
        assert json.loads(str(saved["classes"])) == {"a.label": list(CODES), "b2.label": list(CODES)}
    assert main([str(folder), *given, "-o", str(tmp_path / "out.csv"), "--quiet"]) == 2
    assert "a CSV holds one vector a row, not a.label, b2.label" in capsys.readouterr().err
    assert main([str(folder), *given, "--top", "1", "-o", str(tmp_path / "found.csv"), "--quiet"]) == 2
    assert "ask for a.label alone" in capsys.readouterr().err
    assert main([str(folder), *given, "--outputs", "b2.label", "--top", "1", "-o", str(tmp_path / "found.csv")]) == 0
    assert main([*given[:4], "--classes", str(folder / "x"), "--map-report", str(tmp_path / "map.csv")]) == 2


def test_doctor_looks_into_each_model_and_at_all_together(
    models: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--doctor", "--model", str(models[0]), "--model", str(models[1]), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert said.index(f"model {models[0]}") < said.index(f"model {models[1]}") < said.index("all models together")
    assert "outputs: a.label, a.embedding" in said
