"""This machine's profile: what a run takes from it, and what it makes of one that does not hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime import InputError, OutputError, run_soundscapes
from runtime.cli import main
from runtime.cores import usable_cores
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.ensemble import combined
from runtime.model.profile import VARIABLE, Setup, profile_path, read_profile, write_profile
from runtime.request.request import Request
from runtime.rows.spool import Spool
from runtime.workers.setup import choose_setup

FASTEST = Setup(2, 1, 4)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache" / "profile.json"))
    return tmp_path / "cache" / "profile.json"


@pytest.fixture(scope="module")
def artifact(model: Path) -> Artifact:
    return read_artifact(model)


def test_several_artifacts_and_devices_share_the_file(path: Path) -> None:
    assert write_profile("a", "cpu", FASTEST, 60.0) == path
    write_profile("a", "cuda:0", Setup(4, 1, 64), 500.0)
    write_profile("b", "cpu", Setup(1, 2, 8), 10.0)
    write_profile("a", "cpu", Setup(1, 1, 1), 50.0)
    found = {(of, device): read_profile(of, device) for of in "ab" for device in ("cpu", "cuda:0")}
    setups = {key: profile.setup for key, profile in found.items() if profile is not None}
    assert setups == {("a", "cpu"): Setup(1, 1, 1), ("a", "cuda:0"): Setup(4, 1, 64), ("b", "cpu"): Setup(1, 2, 8)}
    assert [entry.name for entry in path.parent.iterdir()] == ["profile.json"]


@pytest.mark.parametrize(
    ("of", "changed"),
    [
        ("runtime.model.profile.processor", lambda: "another processor"),
        ("runtime.model.profile.usable_cores", lambda: usable_cores() + 1),
        ("runtime.model.profile.ort.__version__", "0.1"),
    ],
)
def test_another_machine_has_none(monkeypatch: pytest.MonkeyPatch, of: str, changed: object) -> None:
    write_profile("a", "cpu", FASTEST, 60.0)
    monkeypatch.setattr(of, changed)
    assert read_profile("a", "cpu") is None


def damage(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    """A change of the only entry."""

    def changed(text: str) -> str:
        entries = json.loads(text)
        change(entries["a"]["cpu"])
        return json.dumps(entries)

    return changed


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: '{"a": 5}',
        lambda text: "\x00" * 10,
        lambda text: "[" * 100_000,
        damage(lambda entry: entry.pop("setup")),
        damage(lambda entry: entry["setup"].pop("threads")),
        damage(lambda entry: entry["setup"].update(workers=0)),
        damage(lambda entry: entry["setup"].update(workers=10**9)),
        damage(lambda entry: entry["setup"].update(workers=float("inf"))),
        damage(lambda entry: entry["setup"].update(workers="many")),
        damage(lambda entry: entry["setup"].update(more=1)),
        damage(lambda entry: entry.update(date="yesterday")),
        damage(lambda entry: entry.update(windows_per_s=None)),
    ],
)
def test_damaged_file_is_as_none_and_is_replaced(path: Path, harm: Callable[[str], str]) -> None:
    write_profile("a", "cpu", FASTEST, 60.0)
    path.write_text(harm(path.read_text()))
    assert read_profile("a", "cpu") is None
    write_profile("a", "cpu", FASTEST, 60.0)
    profile = read_profile("a", "cpu")
    assert profile is not None
    assert profile.setup == FASTEST


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert profile_path() == tmp_path / "x" / "perch-onnx" / "profile.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert profile_path() == Path.home() / ".cache" / "perch-onnx" / "profile.json"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert profile_path() == tmp_path / "local" / "perch-onnx" / "profile.json"


def test_what_cannot_be_written_is_named(path: Path) -> None:
    path.parent.write_text("in the way")
    assert read_profile("a", "cpu") is None
    with pytest.raises(OutputError, match=r"cannot write .*profile\.json"):
        write_profile("a", "cpu", FASTEST, 60.0)


def test_profile_is_taken_as_a_whole_or_not_at_all(artifact: Artifact) -> None:
    cores = usable_cores()
    assert choose_setup(artifact, "cpu", Request()) == (Setup(cores, 1, 2), "default")
    write_profile(artifact.artifact_sha256, "cpu", Setup(3, 5, 7), 60.0)
    setup, why = choose_setup(artifact, "cpu", Request())
    assert setup == Setup(3, 5, 7)
    assert why.startswith("measured on this machine by perch-bench throughput on 20")
    assert choose_setup(artifact, "cpu", Request(workers=1)) == (Setup(1, 1, 2), "as asked")
    assert choose_setup(artifact, "cpu", Request(batch_size=9)) == (Setup(cores, 1, 9), "as asked")
    assert choose_setup(artifact, "cpu", Request(threads=cores)) == (Setup(1, cores, 2), "as asked")
    assert choose_setup(artifact, "cpu", Request(threads=cores * 2))[0].workers == 1
    assert choose_setup(artifact, "cuda:0", Request(batch_size=8)) == (Setup(cores, 1, 8), "as asked")


def test_graph_for_one_window_has_batches_of_one(artifact: Artifact) -> None:
    fixed = replace(artifact, free_batch=False)
    for one in (fixed, combined({"a": artifact, "b": fixed})):
        for device in ("cpu", "cuda:0"):
            assert choose_setup(one, device, Request())[0].batch_size == 1


def test_run_uses_it_and_says_so(artifact: Artifact, model: Path, recordings: Path) -> None:
    write_profile(artifact.artifact_sha256, "cpu", Setup(1, 2, 3), 60.0)
    result = run_soundscapes(recordings / "c.ogg", model, progress=False)
    timing = result.timing
    assert (timing.workers, timing.threads, timing.batch_size) == (1, 2, 3)
    assert "workers 1, threads 2, batch 3: measured on this machine by perch-bench" in result.summary()
    asked = run_soundscapes(recordings / "c.ogg", model, workers=1, progress=False)
    assert (asked.timing.threads, asked.timing.batch_size) == (1, 2)
    assert "workers 1, threads 1, batch 2: as asked" in asked.summary()


def test_resumed_run_goes_on_as_it_began(
    artifact: Artifact, model: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile that was written, or lost, since the run began changes none of its rows."""
    target = tmp_path / "out.csv"
    kept = Spool.close
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "close", lambda self, keep: kept(self, keep=True))
        run_soundscapes(recordings, model, sink=target, batch_size=5, threads=2, progress=False)
    target.unlink()
    write_profile(artifact.artifact_sha256, "cpu", FASTEST, 60.0)
    with pytest.raises(InputError, match="batch_size was 5 and is 4"):
        run_soundscapes(recordings, model, sink=target, resume=True, batch_size=4, progress=False)
    resumed = run_soundscapes(recordings, model, sink=target, resume=True, progress=False)
    assert (resumed.timing.threads, resumed.timing.batch_size) == (2, 5)
    assert resumed.timing.setup == "as in the run that is resumed"
    assert resumed.timing.windows == 0
    assert target.exists()


def test_doctor_shows_it(artifact: Artifact, model: Path, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor = ["--doctor", "--device", "cpu", "--model", str(model)]
    assert main(doctor) == 0
    shown = capsys.readouterr().out
    assert f"a run on cpu takes workers {usable_cores()}, threads 1, batch 2: default" in shown
    assert f"no profile of this model in {path}; `perch-bench throughput {model}` makes one" in shown
    write_profile(artifact.artifact_sha256, "cpu", FASTEST, 60.0)
    assert main(doctor) == 0
    shown = capsys.readouterr().out
    assert "a run on cpu takes workers 2, threads 1, batch 4: measured on this machine" in shown
    assert f"profile: {path}, 60.0 windows/s" in shown
