"""An archive on a Ray cluster of several nodes, some of which are killed: each unit is done, and counts once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from benchmarks.stress.nodes import Nodes, parts, ray_nodes, wait_for
from convert.proof.synthetic import soundscape
from runtime import InputError, PerchError, archive_status, merge_archive
from runtime.archive import ray_cluster
from runtime.archive.preparation import prepare
from runtime.request.archive import ArchiveOptions
from runtime.request.request import Request
from tests.support.archives import OUTPUTS, fill
from tests.support.recordings import write
from tests.support.runs import run

# Ray forks where JAX, which other tests loaded into this process, warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
RECORDINGS, SECONDS = 10, 60


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ray_nodes() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def all_nodes(nodes: Nodes) -> None:
    nodes.fill()


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of a minute; one cannot be read."""
    folder = tmp_path_factory.mktemp("ray") / "minutes"
    folder.mkdir()
    for i in range(RECORDINGS):
        write(folder / f"{i:02d}.wav", soundscape(i, SECONDS))
    (folder / "no_sound.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def rows_file(minutes: Path, model: Path) -> bytes:
    """The file of a plain run."""
    path = minutes.parent / "plain.parquet"
    run(minutes, model, outputs=OUTPUTS, sink=path)
    return path.read_bytes()


def start(
    minutes: Path, model: Path, out: Path, *ray: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "runtime", minutes, "--model", model, "--outputs", ",".join(OUTPUTS)]
    return subprocess.Popen(
        [*command, "-o", f"{out}/", *ray],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def commands() -> Iterator[str]:
    """The command lines of all processes."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            yield " ".join(process.cmdline())


def end(process: subprocess.Popen[str], code: int = 1) -> str:
    """The summary of a run that ends by itself; its code is 1 as one recording cannot be read."""
    output, errors = process.communicate(timeout=180)
    assert process.returncode == code, errors
    assert "no_sound.wav" in errors
    assert "raylet" not in output + errors  # Ray has a lot to say of what is killed
    return output


def check(out: Path, rows_file: bytes) -> None:
    """Every unit is done, and the merged rows are the bytes of a plain run."""
    status = archive_status(out)
    assert (status.left, status.failed) == (0, 1)
    merged = out.parent / f"{out.name}.parquet"
    assert len(merge_archive(out, merged).failures) == 1
    assert merged.read_bytes() == rows_file


def test_actors_on_several_nodes_give_the_bytes_of_a_plain_run(
    nodes: Nodes, minutes: Path, model: Path, rows_file: bytes, tmp_path: Path
) -> None:
    summary = fill(minutes, model, tmp_path / "out", ray=nodes.address)
    assert (summary.failed, summary.left, summary.interrupted) == (1, 0, False)
    assert summary.setup.startswith(f"2 actors on the Ray cluster at {nodes.address}, threads 1")
    check(tmp_path / "out", rows_file)
    again = fill(minutes, model, tmp_path / "out", ray=nodes.address)
    assert (again.before, again.ok) == (summary.ok + 1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["actor", "node"])
def test_units_of_what_is_killed_in_the_middle_of_a_group_are_done_by_others(
    killed: str, nodes: Nodes, minutes: Path, model: Path, rows_file: bytes, tmp_path: Path
) -> None:
    process = start(minutes, model, tmp_path / "out", "--ray", nodes.address)
    with nodes.busy_actor() as actor:
        if killed == "actor":
            actor.kill()
        else:
            nodes.kill_node_of(actor)
    assert "1 actor lost on the way; others did its units" in end(process)
    check(tmp_path / "out", rows_file)


@pytest.mark.slow
def test_a_driver_that_is_killed_and_started_again_ends_with_every_row(
    nodes: Nodes, minutes: Path, model: Path, rows_file: bytes, tmp_path: Path
) -> None:
    process = start(minutes, model, tmp_path / "out", "--ray", nodes.address)
    wait_for(lambda: parts(tmp_path / "out"))
    process.kill()
    process.communicate()
    wait_for(lambda: not nodes.actors())
    before = archive_status(tmp_path / "out")
    assert before.left > 0 and before.ok > 0
    output = end(start(minutes, model, tmp_path / "out", "--ray", "auto"))
    assert f"2 actors on the Ray cluster at {nodes.address}" in output
    assert f"{before.ok + before.failed} before" in output
    check(tmp_path / "out", rows_file)


@pytest.mark.slow
def test_where_there_is_no_cluster_one_is_started_and_ctrl_c_commits_what_is_done_and_ends_it(
    minutes: Path, model: Path, rows_file: bytes, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as elsewhere:
        process = start(minutes, model, tmp_path / "out", "--ray", environment={"RAY_TMPDIR": elsewhere})
        wait_for(lambda: parts(tmp_path / "out"))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        wait_for(lambda: not any(elsewhere in command for command in commands()))
    assert process.returncode == 130
    assert "on a Ray cluster on this machine" in output
    assert "the same command goes on" in errors and "Traceback" not in errors
    status = archive_status(tmp_path / "out")
    assert f"{status.ok + status.failed} of {RECORDINGS + 1} units done" in output
    assert status.left > 0
    end(start(minutes, model, tmp_path / "out"))  # without Ray
    check(tmp_path / "out", rows_file)


def test_groups_hold_each_unit_once_and_no_more_rows_than_a_part(
    minutes: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ArchiveOptions()
    archive, _ = prepare(minutes, model, tmp_path / "out", Request(outputs=OUTPUTS, progress=False), options)
    row_bytes = sum(archive.artifact.head(name).row_bytes for name in OUTPUTS)
    monkeypatch.setattr(ray_cluster, "PART_BYTES", 10 * row_bytes)
    groups = list(ray_cluster.groups_of(archive, actors=1))
    ids = [unit.id for group in groups for unit, _ in group]
    assert ids == [unit.id for unit in archive.manifest.units()]
    assert max(sum(unit.work for unit, _ in group) for group in groups) < 20
    assert len(groups) > 10


def test_a_node_that_cannot_take_part_says_why(
    nodes: Nodes, minutes: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: object
) -> None:
    monkeypatch.setattr("runtime.archive.ray_cluster.__version__", "0.0")
    with pytest.raises(PerchError, match=r"no node .* can take part: .*perch-onnx is .* there, and 0\.0 where"):
        fill(minutes, model, tmp_path / "out", ray=nodes.address)


def test_an_address_where_no_cluster_answers_is_refused_in_one_sentence(
    minutes: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"no Ray cluster answers at 127\.0\.0\.1:1$"):
        fill(minutes, model, tmp_path / "out", ray="127.0.0.1:1")
    with pytest.raises(InputError, match="cannot connect to a Ray cluster at nowhere: "):
        fill(minutes, model, tmp_path / "out", ray="nowhere")


def test_without_ray_installed_one_sentence_says_how_to_get_it(
    minutes: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="Ray is not installed: `pip install ray`"):
        fill(minutes, model, tmp_path / "out", ray="auto")


def test_a_run_without_ray_never_imports_it(minutes: Path, model: Path, tmp_path: Path) -> None:
    arguments = [str(minutes), "--model", str(model), "-o", f"{tmp_path}/out/", "--quiet"]
    program = f"import sys; from runtime.cli import main; main({arguments!r}); print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n"
    assert len(parts(tmp_path / "out")) == 2
