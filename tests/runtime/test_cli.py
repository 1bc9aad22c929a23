"""The two commands as a user runs them: exit codes, one clear line for each mistake, signals."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import tensorflow as tf

import convert.cli
from convert.proof.synthetic import soundscape
from runtime.cli import main
from runtime.request.values import parse_seconds
from runtime.rows.sinks import FileSink
from tests.support.processes import until
from tests.support.recordings import write


def perch_run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def perch_convert(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "convert", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_times() -> None:
    assert [parse_seconds(text) for text in ("85m", "1.5h", "300s", "300")] == [5100, 5400, 300, 300]


def test_run_writes_and_sums_up(tmp_path: Path, recordings: Path, model: Path) -> None:
    output = tmp_path / "scores.csv"
    done = perch_run(recordings, "--model", model, "-o", output)
    assert done.returncode == 0
    (note,) = done.stderr.splitlines()
    assert note.startswith(f"perch-run: {recordings / 'a.flac'}: is far quieter in channel 1 than in channel 2")
    assert "9 rows (9 scored, 0 filled, 0 failed)" in done.stdout
    assert "scored, but check them: 1 recording\n" in done.stdout
    assert "windows/s" in done.stdout
    assert len(list(csv.reader(output.read_text().splitlines()))) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
    quiet = perch_run(
        recordings, "--model", model, "-o", tmp_path / "out.npz", "--outputs", "label,embedding", "--quiet"
    )
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", f"{note}\n")
    with np.load(tmp_path / "out.npz") as saved:
        assert saved["embedding"].shape == (9, 24)


def test_failed_recordings_are_listed_and_exit_1(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "good.wav", soundscape(0, 10))
    (folder / "bad.ogg").write_bytes(b"no audio")
    (folder / "notes.txt").touch()
    done = perch_run(folder, "--model", model, "-o", tmp_path / "out.csv")
    assert done.returncode == 1
    assert "4 rows (2 scored, 0 filled, 2 failed)" in done.stdout
    assert "skipped 1 other file" in done.stdout
    assert "could not be read completely: 1 of 2 recordings" in done.stdout
    assert f"{folder / 'bad.ogg'}: cannot be decoded" in done.stderr


def test_what_is_passed_over_is_told(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good.aif", "closed/b.wav", "$RECYCLE.BIN/c.wav", "p.m4a"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "in" / name, soundscape(0, 5), format="AIFF" if name == "good.aif" else "WAV")
    monkeypatch.setattr("runtime.audio.extensions._has_pyav", lambda: False)
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if isinstance(folder, str) and Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert main([str(tmp_path / "in"), "--model", str(model), "-o", str(tmp_path / "out.csv")]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"perch-run: skipped 1 unreadable folder: {tmp_path}/in/closed (permission denied)\n"
    assert "1 row (1 scored, 0 filled, 0 failed)" in printed.out
    assert "skipped 1 hidden or system folder ($RECYCLE.BIN)" in printed.out
    assert "skipped recordings in formats that cannot be read: 1 .m4a: `pip install av`" in printed.out
    shutil.rmtree(tmp_path / "in" / "closed")
    shutil.rmtree(tmp_path / "in" / "$RECYCLE.BIN")
    (tmp_path / "in" / "good.aif").unlink()
    assert main([str(tmp_path / "in"), "--model", str(model), "-o", str(tmp_path / "out.csv")]) == 2
    assert "can be read as things are: 1 .m4a: `pip install av`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{in}", "--model", "{tmp}/missing.onnx", "-o", "{tmp}/o.csv"], "there is no model at"),
        (["{in}", "--model", "{in}/b.wav", "-o", "{tmp}/o.csv"], "cannot be loaded as ONNX"),
        (["{tmp}/nowhere", "--model", "{model}", "-o", "{tmp}/o.csv"], "there is no file or folder"),
        (["{in}", "--model", "{model}", "-o", "{tmp}/no/such/o.csv"], "cannot write to"),
        (["{in}", "--model", "{model}", "-o", "/proc/o.csv"], "cannot write to /proc"),
        (["{in}", "--model", "{model}", "-o", "{tmp}/o.txt"], "end it in .csv, .parquet or .npz"),
        (
            ["{in}", "--model", "{model}", "-o", "{tmp}/o.csv", "--outputs", "label,embedding"],
            "write a .parquet or .npz",
        ),
        (["{in}", "--model", "{model}", "-o", "{tmp}/o.csv", "--classes", "{tmp}/bad.csv"], "not 'row_id'"),
        (["{in}", "--model", "{foreign}", "-o", "{tmp}/o.csv"], "not made by perch-convert"),
    ],
)
def test_mistakes_get_one_line(
    tmp_path: Path,
    recordings: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "bad.csv").write_text("id,amecro\nx_5,0\n")
    foreign = tmp_path / "foreign.onnx"
    proto = onnx.load(model)
    del proto.metadata_props[:]
    onnx.save(proto, foreign)
    places = {"in": recordings, "tmp": tmp_path, "model": model, "foreign": foreign}
    assert main([argument.format(**places) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not list(tmp_path.glob("o.*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_keeps_what_is_done(tmp_path: Path, model: Path, number: signal.Signals, code: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.wav", soundscape(0, 5))
    soundfile.write(folder / "b.wav", np.zeros(10 * 3600 * 1000, np.int16), 1000)  # ten hours
    output = tmp_path / "out.csv"
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", str(folder), "--model", str(model), "-o", str(output), "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    spool = tmp_path / "out.csv.partial"
    until(lambda: spool.exists() and b"a_5" in spool.read_bytes())
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) == 2
    os.killpg(process.pid, number)  # as a terminal does
    _, errors = process.communicate(timeout=600)
    assert process.returncode == code
    assert "interrupted" in errors
    assert "Traceback" not in errors
    rows = list(csv.reader(output.read_text().splitlines()))
    assert len(rows) == 1 + 1 + 7200
    assert rows[1][0] == "a_5"
    assert "-1000" not in rows[1]
    assert set(rows[-1][1:]) == {"-1000"}
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_rows_that_cannot_be_written_are_rescued(
    tmp_path: Path, recordings: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    finish = FileSink.finish

    def vanish(self: FileSink, *arguments: object, **options: object) -> None:
        shutil.rmtree(folder)
        finish(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(FileSink, "finish", vanish)
    assert main([str(recordings), "--model", str(model), "-o", str(folder / "o.npz")]) == 2
    message = capsys.readouterr().err
    assert "cannot write to" in message
    rescued = Path(message.split("the rows are in ")[1].split(" instead")[0])
    with np.load(rescued) as saved:
        assert len(saved["row_ids"]) == len(saved["label"]) == 9


def write_another(folder: Path) -> None:
    """A SavedModel of something else."""
    module = tf.Module()
    signature = [tf.TensorSpec([None, 7], name="inputs")]
    module.plus_one = tf.function(lambda inputs: {"y": inputs + 1}, input_signature=signature)
    tf.saved_model.save(module, str(folder), signatures=module.plus_one.get_concrete_function())


def cut_weights(folder: Path) -> None:
    weights = folder / "variables" / "variables.index"
    weights.write_bytes(weights.read_bytes()[:20])


def test_convert_refuses_what_is_no_perch_model(
    tmp_path: Path, saved_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, other = tmp_path / "x.onnx", tmp_path / "other"

    def refused(*arguments: object) -> str:
        assert convert.cli.main([*map(str, arguments)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        return line

    write_another(other)
    assert "its input is float32 (None, 7), not float32 [batch, 160000]" in refused(other, "-o", target)
    cut_weights(other)
    assert "TensorFlow cannot load" in refused(other, "-o", target)
    shutil.rmtree(other / "variables")
    assert "has no weights" in refused(other, "-o", target)
    (other / "variables").mkdir()
    (other / "variables" / "variables.index").touch()
    (other / "saved_model.pb").write_bytes(b"\xff" * 100)
    assert "is damaged" in refused(other, "-o", target)
    assert "is not a SavedModel: it has no saved_model.pb" in refused(tmp_path, "-o", target)
    assert "there is no folder" in refused(tmp_path / "none", "-o", target)
    assert "has no output logits; it has" in refused(saved_model, "-o", target, "--outputs", "logits")
    assert "cannot write to" in refused(saved_model, "-o", tmp_path / "no" / "x.onnx")
    assert not target.exists()


@pytest.mark.slow
def test_what_tensorflow_says_of_a_model_that_it_cannot_load_is_hushed(tmp_path: Path) -> None:
    write_another(tmp_path / "other")
    cut_weights(tmp_path / "other")
    assert "TensorFlow cannot load" in one_line(perch_convert(tmp_path / "other", "-o", tmp_path / "x.onnx"))


@pytest.mark.parametrize("module", ["runtime", "convert"])
def test_help_teaches(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "examples:" in done.stdout
    assert "exit codes:" in done.stdout


def test_a_missing_model_is_told_before_tensorflow_is_loaded(tmp_path: Path) -> None:
    script = "import sys; from convert.cli import main; print(main(sys.argv[1:]), 'tensorflow' in sys.modules)"
    command = [sys.executable, "-c", script, str(tmp_path / "none"), "-o", str(tmp_path / "x.onnx")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "2 False\n"
    assert "there is no folder" in ended.stderr
