"""No command writes over what it reads: each says so in one line, and all files stay as they were."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmarks.cli
import convert.cli
import runtime.cli
import runtime.explore.cli
from runtime import Detections, InputError, Soundscapes, run_soundscapes

SAMPLE = "row_id,aakspa1\n"
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "run": runtime.cli.main,
    "explore": runtime.explore.cli.main,
    "convert": convert.cli.main,
    "bench": benchmarks.cli.main,
}
RUN = "run recordings --model perch.onnx"
EXPLORE = "rows.npz --labels labels.csv"


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, recordings: Path, model: Path, saved_model: Path
) -> tuple[Path, Soundscapes]:
    """Everything that commands read, under other names as well."""
    folder = tmp_path_factory.mktemp("overwriting")
    shutil.copytree(recordings, folder / "recordings")
    shutil.copytree(saved_model, folder / "saved_model")
    shutil.copy(model, folder / "perch.onnx")
    (folder / "classes.csv").write_text(SAMPLE)
    (folder / "taxonomy.csv").write_text("primary_label,scientific_name,common_name,class_name\nx,A b,c,Aves\n")
    (folder / "labels.csv").write_text("row_id,species\na_5,x\n")
    result = run_soundscapes(
        folder / "recordings", folder / "perch.onnx", outputs=["label", "embedding"], progress=False
    )
    result.to_npz(folder / "rows.npz")
    result.to_parquet(folder / "rows.html")
    os.link(folder / "recordings" / "b.wav", folder / "recording.csv")
    os.link(folder / "recordings" / "b.wav", folder / "recording.html")
    os.link(folder / "perch.onnx", folder / "model.csv")
    os.link(folder / "perch.onnx", folder / "model.npz")
    os.link(folder / "perch.onnx", folder / "fresh.csv.partial")
    (folder / "rows.csv").symlink_to(folder / "rows.npz")
    (folder / "copy").mkdir()
    shutil.copy(folder / "classes.csv", folder / "copy" / "a.txt")
    return folder, result


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"{RUN} -o recording.csv", "over the recording recordings/b.wav"),
        (f"{RUN} -o model.csv", "-o model.csv would be written over --model perch.onnx"),
        (f"{RUN} -o model.npz", "over --model perch.onnx"),
        (f"{RUN} -o fresh.csv", "unfinished rows fresh.csv.partial would be written over the model"),
        (f"{RUN} -o classes.csv --classes classes.csv", "over --classes classes.csv"),
        (f"{RUN} -o taxonomy.csv --top 1 --taxonomy recordings/../taxonomy.csv", "over --taxonomy"),
        (f"{RUN} -o recordings/b.wav --top 1 --format csv", "over the recording recordings/b.wav"),
        (f"{RUN} -o copy --top 1 --format audacity --classes copy/a.txt", "the sink copy/a.txt would be written over"),
        (f"{RUN} -o new.csv --classes classes.csv --map-report recording.csv", "over the recording"),
        (f"{RUN} -o new.csv --classes classes.csv --map-report new.csv", "are the same file; name two"),
        ("run --model perch.onnx --classes classes.csv --map-report model.csv", "over --model"),
        ("explore search rows.npz --like a_5 -o rows.csv", "over ROWS rows.npz"),
        ("explore search rows.npz --like a_5 -o recording.csv", "over the recording"),
        ("explore search rows.npz --like a_5 --model perch.onnx -o model.csv", "over --model perch.onnx"),
        (f"explore prelabel {EXPLORE} -o rows.csv", "over ROWS rows.npz"),
        (f"explore prelabel {EXPLORE} -o labels.csv", "over --labels labels.csv"),
        (f"explore prelabel {EXPLORE} -o new.csv --next-output rows.csv", "--next-output rows.csv would be"),
        (f"explore prelabel {EXPLORE} -o new.csv --next-output new.csv", "are the same file"),
        ("explore plot rows.html", "over ROWS rows.html"),
        ("explore plot rows.npz -o recording.html", "over the recording"),
        ("explore plot rows.npz -o recording.html --timeline a", "over the recording"),
        ("explore plot rows.npz -o new.html -o new.html", "are the same file"),
        ("convert saved_model -o saved_model/saved_model.pb", "over the SavedModel's saved_model/saved_model.pb"),
        ("convert saved_model -o saved_model/assets/label.csv", "over the SavedModel's saved_model/assets/label.csv"),
        ("convert saved_model -o classes.csv --classes classes.csv", "over --classes classes.csv"),
        ("convert saved_model -o taxonomy.csv --classes classes.csv --taxonomy taxonomy.csv", "over --taxonomy"),
        ("convert saved_model -o recordings/b.wav --audio recordings", "over --audio recordings/b.wav"),
        ("bench parity saved_model perch.onnx --html model.csv", "--html model.csv would be written over FILE.onnx"),
        ("bench parity saved_model perch.onnx --json saved_model/saved_model.pb", "over the SavedModel's"),
        ("bench parity saved_model perch.onnx --audio recordings --json recording.csv", "over --audio"),
        ("bench parity saved_model perch.onnx --labels labels.csv --json labels.csv", "over --labels"),
        ("bench parity saved_model perch.onnx --json new --html new", "are the same file"),
        ("bench deadline saved_model perch.onnx --json model.csv", "over FILE.onnx"),
        ("bench throughput perch.onnx --json model.csv", "over FILE.onnx"),
    ],
)
def test_no_command_writes_over_what_it_reads(
    folder: tuple[Path, Soundscapes],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    message: str,
) -> None:
    monkeypatch.chdir(folder[0])
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    before = contents(folder[0])
    name, *arguments = command.split()
    assert COMMANDS[name](arguments) == 2
    assert message in capfd.readouterr().err
    assert contents(folder[0]) == before


def test_no_rows_are_written_over_what_they_are_of(
    folder: tuple[Path, Soundscapes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, result = folder
    before = contents(place)
    monkeypatch.chdir(tmp_path)
    for write in (result.to_npz, result.to_parquet):
        for name in ("model.npz", "recordings/b.wav"):
            with pytest.raises(InputError, match=r"the rows .* would be written over"):
                write(place / name)
    with pytest.raises(InputError, match=r"the sink .* would be written over the model"):
        run_soundscapes(place / "recordings", place / "perch.onnx", sink=place / "model.csv", progress=False)
    with pytest.raises(InputError, match=r"the sink .* would be written over the classes"):
        run_soundscapes(
            place / "recordings",
            place / "perch.onnx",
            classes=place / "copy" / "a.txt",
            sink=place / "copy",
            detections=Detections(top=1, format="audacity"),
            progress=False,
        )
    assert contents(place) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
