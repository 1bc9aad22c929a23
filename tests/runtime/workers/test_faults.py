"""What can go wrong while a run goes on, provoked for real: the run ends by itself and no good row is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import runtime.request.inputs
import runtime.run
import runtime.workers.headers
from benchmarks.measuring.usage import alive, children
from convert.proof.synthetic import soundscape
from runtime import Interrupted, OutputError, Soundscapes
from runtime.audio.paths import find_recordings
from runtime.model.artifact import Artifact
from runtime.rows.spool import Spool
from runtime.workers.job import Job
from runtime.workers.pool import WorkerProcess, Workers
from tests.support.decoders import crashing_decoder
from tests.support.processes import Killer, Watch, open_files, perch_run, until
from tests.support.recordings import RATE, write
from tests.support.runs import run


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers get a decoder that crashes the process on some recordings, and hangs on others."""
    monkeypatch.syspath_prepend(crashing_decoder(tmp_path / "decoder"))


class Patient(Workers):
    """Times out recordings that hang alone, and no worker of a slow machine."""

    def __init__(self, job: Job, artifact: Artifact) -> None:
        super().__init__(job)

    def is_busy(self, child: WorkerProcess) -> bool:
        return child.task is not None and "hang" in child.task.path.name


@pytest.fixture
def patient_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers are read to the end, however slow the machine is."""
    monkeypatch.setattr(runtime.workers.headers, "MOST_S", 3600.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for i in range(4):
        write(folder / f"good{i}.wav", soundscape(i, 15))
    return folder


@pytest.fixture
def good(folder: Path, model: Path) -> Soundscapes:
    return run(folder, model)


def unharmed(result: Soundscapes, good: Soundscapes) -> None:
    """All rows of good recordings are there, in order, the same bits."""
    of_good = [i for i, row_id in enumerate(result.row_ids) if row_id.startswith("good")]
    assert [result.row_ids[i] for i in of_good] == good.row_ids
    assert set(result.status[of_good]) == {"scored"}
    np.testing.assert_array_equal(result["label"][of_good], good["label"])


@pytest.mark.usefixtures("decoder")
def test_decoder_that_crashes_costs_its_recording_alone(folder: Path, model: Path, good: Soundscapes) -> None:
    for name in ("crash", "good1crash"):
        write(folder / f"{name}.wav", soundscape(9, 10))
    result = run(folder, model, workers=2)
    assert [failure.path.name for failure in result.failures] == ["crash.wav", "good1crash.wav"]
    assert "was killed by signal 11, 2 times" in result.failures[0].reason
    assert result.row_ids[:3] == ["crash_5", "crash_10", "good0_5"]  # as many as its header promises
    assert result.status[:2].tolist() == ["failed"] * 2
    for path in folder.glob("*crash.wav"):
        path.unlink()
    keep = [i for i, row_id in enumerate(result.row_ids) if "crash" not in row_id]
    assert [result.row_ids[i] for i in keep] == good.row_ids
    np.testing.assert_array_equal(result["label"][keep], good["label"])


@pytest.mark.usefixtures("decoder", "patient_headers")
def test_recording_that_hangs_is_given_up(folder: Path, model: Path, good: Soundscapes) -> None:
    write(folder / "hang.wav", soundscape(9, 10))
    result = run(folder, model, engine=Patient, workers=2, recording_timeout_s=1.0)
    assert [failure.reason for failure in result.failures] == ["the worker did not respond for 1 s, 2 times"]
    unharmed(result, good)


@pytest.mark.usefixtures("decoder")
def test_no_worker_outlives_its_parent(tmp_path: Path, folder: Path, model: Path) -> None:
    write(folder / "hang.wav", soundscape(9, 10))
    with perch_run(folder, model, tmp_path / "out.csv", "--workers", "2") as parent:
        until(lambda: any(n.endswith("hang.wav") for w in children(parent.pid) for n in open_files(w)))
        workers = children(parent.pid)
        parent.kill()
        parent.wait()
        until(lambda: not any(alive(worker) for worker in workers))


def test_killed_run_is_taken_up(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(8):
        write(folder / f"{i}.wav", soundscape(i, 60))
    reference = run(folder, model, outputs=("embedding",))
    target, spool = tmp_path / "out.parquet", tmp_path / "out.parquet.partial"
    options = ("--outputs", "embedding", "--workers", "2")
    with perch_run(folder, model, target, *options) as parent:
        until(lambda: spool.exists() and spool.stat().st_size > 8_000)
        parent.kill()
        parent.wait()
    assert not target.exists()
    result = run(folder, model, outputs=("embedding",), sink=target, resume=True)
    assert result.timing.windows < 96
    table = pq.read_table(target)
    assert table["row_id"].to_pylist() == reference.row_ids
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), np.float32), reference["embedding"])


def test_sigterm_keeps_what_is_done(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(4):
        write(folder / f"{i}.wav", soundscape(i, 60))
    write(folder / "z.wav", np.zeros(4 * 3600 * 1000, np.float32), 1000)  # more than anybody waits for
    target = tmp_path / "out.parquet"
    with perch_run(folder, model, target) as parent:
        until(lambda: (spool := tmp_path / "out.parquet.partial").exists() and spool.stat().st_size > 8_000)
        parent.send_signal(signal.SIGTERM)
        _, errors = parent.communicate(timeout=600)
    assert parent.returncode == 143
    assert "the same command with --resume goes on" in errors
    status = pq.read_table(target)["status"].to_pylist()
    assert len(status) == 4 * 12 + 4 * 720
    assert {"scored", "filled"} == set(status)


def test_full_disk_keeps_what_is_done(tmp_path: Path, folder: Path, model: Path) -> None:
    reference = run(folder, model, outputs=("embedding",))
    target = tmp_path / "out.csv"
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
    program = limited + "from runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = [str(folder), "--model", str(model), "-o", str(target), "--outputs", "embedding"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert done.stderr.startswith("perch-run: cannot write to")
    assert "the rows so far are in" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not target.exists()
    result = run(folder, model, outputs=("embedding",), sink=target, resume=True)
    assert 0 < result.timing.windows < len(reference)
    saved = np.loadtxt(target, delimiter=",", skiprows=1, usecols=range(1, 1 + reference["embedding"].shape[1]))
    np.testing.assert_array_equal(saved.astype(np.float32), reference["embedding"])


def test_a_disk_that_is_full_at_once_promises_no_rows(tmp_path: Path, folder: Path, model: Path) -> None:
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    program = limited + "from runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = [str(folder), "--model", str(model), "-o", str(tmp_path / "out.csv"), "--outputs", "embedding"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert done.stderr.endswith("; there are no rows yet: make room, then repeat the command\n")
    assert not list(tmp_path.glob("out*"))


def test_folder_that_vanishes_loses_no_row(
    tmp_path: Path, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = run(folder, model)
    target = tmp_path / "out" / "out.parquet"
    target.parent.mkdir()
    append = runtime.run.FileSink.append

    def vanishing(self: object, *arguments: object) -> None:
        append(self, *arguments)  # type: ignore[arg-type]
        for path in target.parent.glob("*"):
            path.unlink()
        target.parent.rmdir() if target.parent.exists() else None

    monkeypatch.setattr(runtime.run.FileSink, "append", vanishing)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(OutputError, match="cannot write to") as error:
        run(folder, model, sink=target)
    rescued = Path(str(error.value).split("the rows are in ")[1].split(" instead")[0])
    table = pq.read_table(rescued)
    assert table["row_id"].to_pylist() == reference.row_ids
    np.testing.assert_array_equal(np.array(table["label"].to_pylist(), np.float32), reference["label"])


def test_recording_that_is_deleted_fails_alone(
    folder: Path, model: Path, good: Soundscapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = write(folder / "gone.wav", soundscape(9, 15))

    def find_and_delete(sources: object) -> object:
        found = find_recordings(sources)  # type: ignore[arg-type]
        gone.unlink()
        return found

    monkeypatch.setattr(runtime.request.inputs, "find_recordings", find_and_delete)
    result = run(folder, model)
    assert [failure.reason for failure in result.failures] == ["no such file or directory"]
    unharmed(result, good)


def test_recording_that_grows_is_read_as_it_is(folder: Path, model: Path, good: Soundscapes) -> None:
    grows = write(folder / "grows.wav", soundscape(9, 60))
    over = threading.Event()

    def grow() -> None:
        with grows.open("ab") as file:
            while not over.wait(0.01):
                file.write(bytes(RATE))

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        result = run(folder, model)
    finally:
        over.set()
        thread.join()
    assert result.count("scored") == len(result) == len(good) + 12
    unharmed(result, good)


def test_many_files_leave_no_descriptors(tmp_path: Path, model: Path) -> None:
    for i in range(60):
        write(tmp_path / f"{i}.wav", soundscape(0, 1))
    few = run([tmp_path / f"{i}.wav" for i in range(3)], model)
    assert few.count("scored") == 3
    before = len(open_files(os.getpid()))
    counts: list[int] = []
    with Watch(lambda: counts.extend(len(open_files(worker)) for worker in children(os.getpid()))):
        result = run(tmp_path, model, workers=2)
    assert result.count("scored") == 60
    assert len(open_files(os.getpid())) == before
    assert max(counts) < 40


def test_a_worker_computes_in_one_thread(folder: Path, model: Path) -> None:
    threads: list[int] = []

    def look() -> None:
        for worker in children(os.getpid()):
            tasks = Path(f"/proc/{worker}/task").glob("*/stat")
            used = [sum(map(int, task.read_text().rpartition(")")[2].split()[11:13])) for task in tasks]
            threads.append(sum(ticks > 0 for ticks in used))  # those that did anything at all

    write(folder / "long.wav", np.tile(soundscape(0, 60)[::4], 5), 8_000)
    with Watch(look):
        run(folder, model, workers=2)
    assert max(threads) == 1


def test_workers_killed_while_they_load_are_replaced(folder: Path, model: Path, good: Soundscapes) -> None:
    write(folder / "long.wav", np.tile(soundscape(0, 60)[::4], 5), 8_000)
    seen: list[int] = []

    def second(pid: int) -> bool:
        """The first worker at its work, and the one after it as soon as it is there."""
        if pid not in seen and (seen or any(name.endswith("long.wav") for name in open_files(pid))):
            seen.append(pid)
        return pid in seen[:2]

    with Killer(second, times=2) as killer:
        result = run(folder, model, workers=1)
    assert len(killer.killed) == 2
    assert result.failures == []
    unharmed(result, good)


def test_no_worker_left_ends_the_run_with_what_is_done(
    tmp_path: Path, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(3):
        write(folder / f"more{i}.wav", np.tile(soundscape(i, 60)[::4], 2), 8_000)
    mortal = tmp_path / "mortal.onnx"
    mortal.write_bytes(model.read_bytes())
    reference = run(folder, model, outputs=("embedding",))

    def vanish(pid: int) -> bool:
        at_work = any(name.endswith("more1.wav") for name in open_files(pid))
        if at_work:
            mortal.unlink()
        return at_work

    target = tmp_path / "out.parquet"
    with Killer(vanish):
        result = run(folder, mortal, workers=1, outputs=("embedding",), sink=target)
    (message,) = caplog.messages
    assert re.match(r"scoring ended early.*there is no model", message)
    assert result.count("filled") > 0
    assert result.count("scored") >= len(reference) - result.count("filled")
    assert result.failures == []
    mortal.write_bytes(model.read_bytes())
    run(folder, mortal, outputs=("embedding",), sink=target, resume=True)
    rows = pq.read_table(target)["embedding"].to_pylist()
    np.testing.assert_array_equal(np.array(rows, np.float32), reference["embedding"])


@pytest.mark.usefixtures("decoder", "patient_headers")
def test_recording_that_hangs_has_the_rows_it_promises(folder: Path, model: Path) -> None:
    write(folder / "hang.wav", soundscape(9, 32))
    result = run(folder, model, engine=Patient, workers=1, recording_timeout_s=1.0)
    assert [row_id for row_id in result.row_ids if "hang" in row_id] == [f"hang_{end}" for end in range(5, 40, 5)]


def test_interrupted_handing_over_loses_and_doubles_nothing(
    tmp_path: Path, folder: Path, model: Path, good: Soundscapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = Spool._append, []

    def interrupted(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 3:  # in the middle of the second part; the first call says what run it is
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        append(*arguments)  # type: ignore[arg-type]

    target = tmp_path / "out.csv"
    with monkeypatch.context() as patch, pytest.raises(Interrupted) as raised:
        patch.setattr(Spool, "_append", interrupted)
        run(folder, model, sink=target, workers=1)
    assert sum(raised.value.soundscapes.counts.values()) == len(good)
    assert target.read_text().count("\n") == 1 + len(good)
    run(folder, model, sink=target, resume=True)
    good.to_submission(tmp_path / "good.csv")
    assert target.read_bytes() == (tmp_path / "good.csv").read_bytes()


def test_disk_too_small_for_the_file_names_where_the_rows_are(tmp_path: Path, folder: Path, model: Path) -> None:
    target = tmp_path / "out.csv"
    size = len(run(folder, model, outputs=("embedding",)).outputs["embedding"].tobytes())
    limited = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({9 * size}, {9 * size})); "
    hide = "import runtime.rows.formats.csv_file as f; write = f.write_csv; "
    grow = "f.write_csv = lambda *a: (write(*a), a[1].open('ab').write(bytes(10**7))); "
    program = limited + hide + grow + "from runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = [str(folder), "--model", str(model), "-o", str(target), "--outputs", "embedding"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"the rows are in {target}.partial: make room, then go on by `--resume`" in done.stderr
    assert Path(f"{target}.partial").exists()
