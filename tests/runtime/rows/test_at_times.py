"""A run at some times of the day gives the rows of a whole run whose windows begin then, and computes no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convert.proof.synthetic import soundscape
from runtime import InputError, Soundscapes, load_model, merge_archive, run_archive
from runtime.audio.mono import MonoReader
from runtime.request.request import Request
from runtime.workers.stages import Stages
from tests.support.deadlines import LONG, ends_when
from tests.support.recorders import guano, write_recorded
from tests.support.recordings import cut, write
from tests.support.runs import interrupt, run, write_sample

pytestmark = pytest.mark.usefixtures("short_parts")

BETWEEN = "08:59:55-09:00:10"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("field")
    write(folder / "20240512_085940.wav", soundscape(1, 41))
    write(folder / "20240513_085950.flac", soundscape(2, 26), 44_100)
    write(folder / "20240513_085952.ogg", soundscape(3, 23))
    write_recorded(folder / "dated.wav", soundscape(4, 11), before=guano("2024-05-12 09:00:02.5"))
    write(folder / "day_20240512_120000.wav", soundscape(5, 6))
    cut(write(folder / "short_20240512_085945.wav", soundscape(6, 30)), 0.6)
    write(folder / "undated.wav", soundscape(7, 6))
    (folder / "unread_undated.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path, model: Path, short_parts: None) -> Soundscapes:
    return run(folder, model, workers=1)


def at(rows: Soundscapes, first: str, end: str, date: str = "") -> list[int]:
    """The rows that begin between two times of a day."""
    times = [time or "" for time in rows.recorded_at]
    return [row for row, time in enumerate(times) if first <= time[11:19] < end and time.startswith(date)]


def check(found: Soundscapes, whole: Soundscapes, rows: list[int]) -> None:
    assert found.row_ids == [whole.row_ids[row] for row in rows]
    assert found.recorded_at == [whole.recorded_at[row] for row in rows]
    assert found.status.tolist() == whole.status[rows].tolist()
    np.testing.assert_array_equal(found["label"], whole["label"][rows])


@pytest.mark.parametrize("engine", [None, Stages])
def test_rows_are_those_of_a_whole_run(
    folder: Path, model: Path, whole: Soundscapes, engine: type[Stages] | None
) -> None:
    rows = at(whole, "08:59:55", "09:00:10")
    assert {whole.status[row] for row in rows} == {"scored", "failed"}
    found = run(folder, model, engine=engine, workers=1, between=BETWEEN)
    check(found, whole, rows)
    assert found.timing.windows == sum(whole.status[row] == "scored" for row in rows)
    assert {failure.path.name for failure in found.failures} == {"short_20240512_085945.wav", "unread_undated.wav"}
    assert (
        "left out: 1 of 8 recordings, without a window at the times asked for\n"
        "left out: 2 of 8 recordings, as neither the file nor its name says when it was recorded"
    ) in found.summary()
    day = run(folder, model, engine=engine, workers=1, between=BETWEEN, dates="2024-05-12")
    check(day, whole, at(whole, "08:59:55", "09:00:10", "2024-05-12"))


def test_recordings_at_other_times_are_not_decoded(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    blocks = MonoReader.blocks

    def noted(self: MonoReader, begin: int = 0) -> Iterator[np.ndarray]:  # type: ignore[type-arg]
        read.append("blocks")
        return blocks(self, begin)

    monkeypatch.setattr(MonoReader, "blocks", noted)
    loaded = load_model(model)
    for name in ("day_20240512_120000", "undated"):
        rows = loaded.run(soundscape(5, 6), 32_000, name=name, between=BETWEEN)
        assert (len(rows), read) == (0, [])
    assert len(loaded.run(soundscape(5, 6), 32_000, name="20240512_090000", between=BETWEEN)) == 2
    assert read


def test_a_resumed_run_and_an_archive_give_the_same_file(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"between": "08:59:55-09:00:10", "outputs": "label"}
    plain, resumed, merged = (tmp_path / f"{name}.parquet" for name in ("plain", "resumed", "merged"))
    run(folder, model, sink=plain, **options)
    assert len(pd.read_parquet(plain)) > 0
    interrupt(folder, model, resumed, 5, monkeypatch, **options)
    rows = run(folder, model, sink=resumed, resume=True, **options)
    assert resumed.read_bytes() == plain.read_bytes()
    assert "left out: 2 of 8 recordings" in rows.summary()
    run_archive(folder, model, tmp_path / "out", progress=False, **options)  # type: ignore[arg-type]
    assert "left out: 2 of 8 recordings" in merge_archive(tmp_path / "out", merged, progress=False).summary()
    assert merged.read_bytes() == plain.read_bytes()


def test_a_run_that_opened_nothing_is_incomplete_whatever_names_say(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says 09:00, its name noon."""
    folder, sink = tmp_path / "in", tmp_path / "rows.csv"
    folder.mkdir()
    write_recorded(folder / "20240512_120000.wav", soundscape(4, 11), before=guano("2024-05-12 09:00:00"))
    with monkeypatch.context() as patch:
        ends_when(patch, lambda _: True)
        rows = run(folder, model, sink=sink, resume=True, between=BETWEEN, **LONG)
    assert "not scored in time: 1 of 1 recording" in rows.summary()
    assert sink.with_name("rows.csv.partial").exists()
    assert len(run(folder, model, sink=sink, resume=True, between=BETWEEN)) == 2


def test_smoothing_does_not_cross_what_is_left_out(folder: Path, model: Path, whole: Soundscapes) -> None:
    """All but ten seconds in the middle."""
    name = "20240512_085940"
    found = run(folder / f"{name}.wav", model, workers=1, between="09:00:00-08:59:50", smooth=(1, 2, 1))
    scores = whole["label"][[row for row, each in enumerate(whole.row_ids) if each.startswith(name)]]
    weights = np.array([1, 2, 1])
    expected = []
    for run_of in (scores[:2], scores[4:]):
        for row in range(len(run_of)):
            near = [k for k in (-1, 0, 1) if 0 <= row + k < len(run_of)]
            expected.append(np.average(run_of[[row + k for k in near]], axis=0, weights=weights[[k + 1 for k in near]]))
    assert len(found) == len(scores) - 2
    np.testing.assert_allclose(found["label"], expected, rtol=1e-4, atol=1e-5)


def test_pooled_rows_are_those_of_a_whole_run(folder: Path, model: Path) -> None:
    options = {"hop_s": 2.5, "pool": "max", "workers": 1}
    whole = run(folder / "20240512_085940.wav", model, **options)
    found = run(folder / "20240512_085940.wav", model, between=BETWEEN, **options)
    check(found, whole, at(whole, "08:59:55", "09:00:10"))


def test_what_needs_all_windows_is_refused(folder: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="on_deadline='interpolate' needs all windows"):
        Request(dates="2024-05-12", on_deadline="interpolate")
    with pytest.raises(InputError, match="between and dates choose windows of a grid"):
        Request(between=BETWEEN, segments="peaks")
    sample = write_sample(tmp_path / "sample.csv", ["aakspa1"], ("undated_5",))
    with pytest.raises(InputError, match="the classes are a sample submission, which says which rows there are"):
        run(folder, model, classes=sample, between=BETWEEN)
