"""The order in which rows go out, and what goes out for recordings that were not read."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.proof.synthetic import soundscape
from runtime.audio.paths import FoundRecordings
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.profile import Setup
from runtime.request.request import Request
from runtime.rows.block import Block
from runtime.rows.deadline import UNSCORED_NUMBER_S, UNSCORED_ROW_S, Deadline, FinalWork
from runtime.rows.finished import Finished
from runtime.rows.grid import Grid
from runtime.rows.interpolation import Neighbours
from runtime.rows.metadata import columns_of
from runtime.rows.sample import SampleSubmission
from runtime.rows.table import Table
from runtime.workers.job import Job, make_job
from runtime.workers.protocol import Done, Opened, Rows, Task
from tests.support.recordings import write
from tests.support.runs import run

BOMB = 1_600_000


def table_of(
    recordings: FoundRecordings,
    artifact: Artifact,
    job: Job,
    sample: SampleSubmission | None = None,
    interpolate: bool = False,
) -> Table:
    columns = columns_of(artifact, job, recordings.root)
    return Table(recordings, columns, Grid.of(artifact, job), sample, interpolate)


@pytest.fixture(scope="module")
def artifact(model: Path) -> Artifact:
    return read_artifact(model)


@pytest.fixture(scope="module")
def job(artifact: Artifact, model: Path) -> Job:
    return make_job(artifact, model, Request(), "cpu", Setup(1, 1, 1), None)


def found(folder: Path, count: int, size: int = 2000) -> FoundRecordings:
    paths = tuple(folder / f"{i:04d}.wav" for i in range(count))
    for path in paths:
        path.write_bytes(bytes(size))
    return FoundRecordings(paths, tuple(path.stem for path in paths), folder, 0)


def rows(table: Table, first: int, count: int, scored: bool = True) -> Rows:
    shape = table.columns.shapes["label"]
    return Rows(
        np.arange(first, first + count), {"label": np.zeros((count, *shape), np.float32)}, np.full(count, scored)
    )


class Counted(dict[int, Any]):
    """Counts how often somebody looks."""

    looks = 0

    def get(self, key: int, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)


def asked_too_much(path: Path) -> int:
    raise AssertionError(f"there is no need to ask for the header of {path}")


@pytest.mark.parametrize("good", [None, 399, 0])
def test_broken_recordings_cost_a_look_each(
    tmp_path: Path, artifact: Artifact, job: Job, monkeypatch: pytest.MonkeyPatch, good: int | None
) -> None:
    """However many of them come before one whose length tells theirs, or when none does."""
    recordings = found(tmp_path, 400)
    table = table_of(recordings, artifact, job)
    looks = table._received = table._lengths._received = Counted()
    for i, path in enumerate(recordings.paths):
        task = Task(i, path)
        if i == good:
            table.add(task, rows(table, 0, 3))
        table.add(task, Done(None, 3) if i == good else Done("is broken"))
        list(table.ready())
    list(table.rest(lambda _: None))
    usual = 1 if good is None else 3
    assert table.report.counts["failed"] == usual * (400 if good is None else 399)
    assert looks.looks < 10 * 400


@pytest.mark.parametrize("came", ["nothing", "its length", "rows that are not there"])
def test_a_promise_makes_no_more_rows_than_a_file_can_hold(
    tmp_path: Path, artifact: Artifact, job: Job, came: str
) -> None:
    recordings = found(tmp_path, 2)
    table = table_of(recordings, artifact, job)
    task, parts = Task(0, recordings.paths[0]), -(-BOMB // table.part_windows)
    if came != "nothing":
        table.add(task, Opened(parts, BOMB))
    if came == "rows that are not there":
        for part in range(40):  # of thirteen thousand
            task = Task(0, recordings.paths[0], part, parts)
            table.add(task, rows(table, part * table.part_windows, table.part_windows, scored=False))
            table.add(task, Done("is truncated"))
        table.add(Task(1, recordings.paths[1]), rows(table, 0, 2))
        table.add(Task(1, recordings.paths[1]), Done(None, 2))
    blocks = [block for block, _ in table.ready()] + list(table.rest(lambda _: BOMB))
    count = Counter(block.path for block in blocks for _ in range(len(block)))
    assert count[str(recordings.paths[0])] == table.part_windows
    assert table.report.counts["scored"] == (2 if came == "rows that are not there" else 0)
    assert table.final_work(0).unscored_rows <= 2 * table.part_windows


def test_what_was_decoded_counts_whatever_the_files_size(tmp_path: Path, artifact: Artifact, job: Job) -> None:
    recordings = found(tmp_path, 1, size=10)
    table = table_of(recordings, artifact, job)
    parts, windows = 3, 2 * table.part_windows + 7
    table.add(Task(0, recordings.paths[0]), Opened(parts, windows))
    for part in range(parts):
        task, first = Task(0, recordings.paths[0], part, parts), part * table.part_windows
        table.add(task, rows(table, first, min(table.part_windows, windows - first)))
        table.add(task, Done(None, windows if part == 2 else None))
    assert sum(len(block) for block, _ in table.ready()) == table.report.counts["scored"] == windows


def test_no_header_is_asked_where_a_sample_says_which_rows_there_are(
    tmp_path: Path, artifact: Artifact, job: Job
) -> None:
    recordings = found(tmp_path, 50)
    sample = SampleSubmission(
        [f"{i:04d}_{end}" for i in range(50) for end in (5, 10)], recordings, 32_000, 160_000, 160_000
    )
    table = table_of(sample.recordings, artifact, job, sample)
    table.add(Task(0, recordings.paths[0]), rows(table, 0, 1))
    blocks = list(table.rest(asked_too_much))
    assert table.final_work(1) == FinalWork(1, 99)
    assert [len(block) for block in blocks] == [1]
    assert sum(map(len, sample.arranged(blocks, table.columns))) == 100
    assert sample.counts == {"scored": 1, "filled": 99}


def test_interpolation_looks_at_a_recording_once(
    tmp_path: Path, artifact: Artifact, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many parts it has."""
    recordings = found(tmp_path, 1, size=10**6)
    table = table_of(recordings, artifact, job, interpolate=True)
    task = Task(0, recordings.paths[0])
    table.add(task, Opened(20, 20 * table.part_windows))
    for part in range(20):
        table.add(Task(0, task.path, part, 20), rows(table, part * table.part_windows + 3, 1))
    calls: list[object] = []
    among = Neighbours.among.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(Neighbours, "among", classmethod(lambda cls, pieces: (calls.append(1), among(cls, pieces))[1]))
    list(table.rest(asked_too_much))
    assert table.report.counts == {"scored": 20, "interpolated": 20 * table.part_windows - 20}
    assert len(calls) == 1


def test_time_is_kept_for_every_row_that_is_written(artifact: Artifact, job: Job, tmp_path: Path) -> None:
    columns = columns_of(artifact, job, tmp_path)
    fill, between = (Deadline(0, 1000, 50, interpolate) for interpolate in (False, True))
    others = 10**5
    assert fill.scoring_ends(columns, FinalWork(0)) == 950
    kept_s = 950 - fill.scoring_ends(columns, FinalWork(0, others))
    assert np.isclose(kept_s, others * (UNSCORED_ROW_S + columns.numbers * UNSCORED_NUMBER_S))
    assert fill.scoring_ends(columns, FinalWork(others)) < fill.scoring_ends(columns, FinalWork(0, others))
    assert fill.scoring_ends(columns, FinalWork(0, others, 1000)) < fill.scoring_ends(columns, FinalWork(0, others))
    slow = replace(fill, slowness=2.0)
    assert np.isclose(950 - slow.scoring_ends(columns, FinalWork(0, others)), 2 * kept_s)
    assert between.scoring_ends(columns, FinalWork(0, others)) < fill.scoring_ends(columns, FinalWork(0, others))
    assert between.scoring_ends(columns, FinalWork(0, 10**7)) >= fill.scoring_ends(columns, FinalWork(0, 10**7)) - 250
    assert 0 < between.rows_to_interpolate(columns, FinalWork(0, others), 973) < others
    assert between.rows_to_interpolate(columns, FinalWork(0, others), 999) == 0


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ([None, "a hole", None, "another"], "a hole; another"),
        (["is truncated"] * 4, "is truncated"),
        ([f"hole {part}" for part in range(5)], "hole 0; hole 1; hole 2; and so on in 2 more parts"),
    ],
)
def test_what_is_wrong_with_each_part_is_named(
    tmp_path: Path, artifact: Artifact, job: Job, reasons: list[str | None], said: str
) -> None:
    recordings = found(tmp_path, 2)
    table, many = table_of(recordings, artifact, job), len(reasons)
    for recording in (0, 1):
        table.add(Task(recording, recordings.paths[recording]), Opened(many, many * table.part_windows))
        for part, reason in enumerate(reasons):
            task = Task(recording, recordings.paths[recording], part, many)
            table.add(task, rows(table, part * table.part_windows, table.part_windows))
            table.add(task, Done(reason, many * table.part_windows if part == many - 1 else None))
    assert len(list(table.ready())) == 2 * many
    assert [(failure.path, failure.reason) for failure in table.report.failures] == [
        (path, said) for path in recordings.paths
    ]


def test_the_working_folder_may_be_deleted_during_a_run(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("gone", "in"):
        (tmp_path / folder).mkdir()
    for i in range(3):
        write(tmp_path / "in" / f"{i}.wav", soundscape(i, 5))
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    monkeypatch.chdir(tmp_path / "gone")
    ready = Table.ready

    def then_delete(table: Table) -> Iterator[tuple[Block, Finished]]:
        for each in ready(table):
            yield each
            shutil.rmtree(tmp_path / "gone", ignore_errors=True)

    monkeypatch.setattr(Table, "ready", then_delete)
    result = run(os.path.join("..", "in"), model, workers=1)
    assert not (tmp_path / "gone").exists()
    assert result.counts == {"scored": 3, "failed": 1}
    assert [failure.path for failure in result.failures] == [Path("..", "in", "bad.wav")]
