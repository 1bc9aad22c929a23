"""When and where windows were recorded, in all that a run gives."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from convert.proof.synthetic import soundscape
from runtime import Detections, cli, load_model, merge_archive, run_archive
from runtime.workers.stages import Stages
from tests.support.recorders import audiomoth, guano, song_meter, write_recorded
from tests.support.recordings import RATE, write
from tests.support.rows_files import npz_arrays
from tests.support.runs import interrupt, run, write_sample

pytestmark = pytest.mark.usefixtures("short_parts")

NAMED = "20240512_053000.wav"
BEGAN = {
    f"north/{NAMED}": "2024-05-12T05:30:00.000+10:00",
    "north/moth_20240101_000000.wav": "2024-02-28T23:59:52.000+00:00",
    "south/meter.wav": "2024-05-12T04:00:00.000-03:00",
    "south/moth.ogg": None,
    "south/unread_20240512T060000Z.wav": "2024-05-12T06:00:00.000+00:00",
    "x.wav": "2024-05-12T07:00:00.500+10:00",
}
"""When each recording was begun, in the zone +10:00."""
OPTIONS = {"timezone": "+10:00", "site_from": "{site}/*", "outputs": "label"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("field")
    write_recorded(folder / "north" / NAMED, soundscape(1, 11))
    moth = audiomoth("23:59:52 28/02/2024 (UTC)")
    write_recorded(folder / "north" / "moth_20240101_000000.wav", soundscape(2, 26), before=moth)
    write_recorded(folder / "south" / "meter.wav", soundscape(3, 6), behind=song_meter("2024-05-12 04:00:00-03:00"))
    write(folder / "south" / "moth.ogg", soundscape(4, 7))
    (folder / "south" / "unread_20240512T060000Z.wav").write_bytes(b"RIFF")
    write_recorded(folder / "x.wav", soundscape(5, 5), before=guano("2024-05-12 07:00:00.5"))
    return folder


def expected(path: str, folder: Path, start_s: float) -> tuple[str | None, str | None]:
    """The time and the site of a row."""
    below = Path(path).relative_to(folder)
    began = BEGAN[below.as_posix()]
    site = None if below.parent == Path() else below.parent.name
    if began is None:
        return None, site
    return (datetime.fromisoformat(began) + timedelta(seconds=start_s)).isoformat(timespec="milliseconds"), site


def check(rows: pd.DataFrame, folder: Path) -> None:
    assert rows["path"].nunique() == len(BEGAN)
    for path, start_s, time, site in rows[["path", "start_s", "recorded_at", "site"]].itertuples(index=False):
        found = (None if pd.isna(time) else time, None if pd.isna(site) else site)
        assert found == expected(path, folder, start_s), path


@pytest.mark.parametrize("engine", [None, Stages])
def test_rows_say_when_and_where(folder: Path, model: Path, engine: type[Stages] | None) -> None:
    rows = run(folder, model, engine=engine, workers=1, hop_s=2.5, **OPTIONS)
    check(rows.to_dataframe(), folder)
    table = rows.to_arrow()
    assert table.schema.names == ["row_id", "path", "start_s", "end_s", "status", "recorded_at", "site", "label"]
    assert table["recorded_at"].to_pylist() == rows.recorded_at
    assert table["site"].to_pylist() == rows.site
    assert (rows.timeless, rows.siteless) == (1, 1)
    assert "recorded_at is unknown in 1 of 6 recordings: neither the file nor its name says it" in rows.summary()
    assert "site is unknown in 1 of 6 recordings: their paths do not match --site-from" in rows.summary()


def test_every_file_says_when_and_where(folder: Path, model: Path, tmp_path: Path) -> None:
    arguments = [str(folder), "--model", str(model), "--timezone", "+10:00", "--site-from", "{site}/*", "--quiet"]
    for name, more in (("a.parquet", []), ("a.npz", []), ("a.csv", ["--top", "1"])):
        assert cli.main([*arguments, *more, "-o", str(tmp_path / name)]) == 1  # one cannot be read
    rows = pd.read_parquet(tmp_path / "a.parquet")
    check(rows, folder)
    saved, texts = npz_arrays(tmp_path / "a.npz"), rows.fillna("")
    for name in ("recorded_at", "site"):
        assert saved[name].tolist() == texts[name].tolist()
    with (tmp_path / "a.csv").open(newline="") as file:
        found = {(row["path"], float(row["start_s"]), row["recorded_at"], row["site"]) for row in csv.DictReader(file)}
    scored = rows[rows["status"] == "scored"].fillna("")
    assert found == set(scored[["path", "start_s", "recorded_at", "site"]].itertuples(index=False, name=None))
    run(folder, model, sink=tmp_path / "raven", detections=Detections(top=1, format="raven", merge_gap_s=0), **OPTIONS)
    with (tmp_path / "raven" / "meter.selections.txt").open(newline="") as file:
        (first, *_) = csv.DictReader(file, delimiter="\t")
    assert (first["Recorded At"], first["Site"]) == ("2024-05-12T04:00:00.000-03:00", "south")


def test_a_resumed_run_and_an_archive_give_the_same_file(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, resumed, merged = (tmp_path / f"{name}.parquet" for name in ("whole", "resumed", "merged"))
    run(folder, model, sink=whole, **OPTIONS)
    check(pd.read_parquet(whole), folder)
    interrupt(folder, model, resumed, 3, monkeypatch, **OPTIONS)
    rows = run(folder, model, sink=resumed, resume=True, **OPTIONS)
    assert resumed.read_bytes() == whole.read_bytes()
    assert rows.timeless == 1
    summary = run_archive(folder, model, tmp_path / "out", progress=False, **OPTIONS)  # type: ignore[arg-type]
    assert summary.timeless == 1
    said = merge_archive(tmp_path / "out", merged, progress=False).summary()
    assert merged.read_bytes() == whole.read_bytes()
    assert "recorded_at is unknown in 1 of 6 recordings" in said
    assert "site is unknown in 1 of 6" in said


def test_rows_of_a_sample_submission_and_of_memory_say_it_too(folder: Path, model: Path, tmp_path: Path) -> None:
    rows = ("x_5", "meter_10", "absent_5", f"{NAMED[:-4]}_10", "x_10")
    sample = write_sample(tmp_path / "sample.csv", ["aakspa1"], rows)
    found = run(folder, model, classes=sample, **{**OPTIONS, "outputs": "label"})
    assert found.recorded_at == [
        "2024-05-12T07:00:00.500+10:00",
        "2024-05-12T04:00:05.000-03:00",
        None,
        "2024-05-12T05:30:05.000+10:00",
        "2024-05-12T07:00:05.500+10:00",
    ]
    assert found.site == [None, "south", None, "north", None]
    samples = soundscape(1, 11)
    loaded = load_model(model).run(samples, RATE, name=NAMED[:-4], outputs=("label",), timezone="+10:00")
    assert loaded.recorded_at[1] == "2024-05-12T05:30:05.000+10:00"


def test_windows_around_events_say_when_they_begin(folder: Path, model: Path) -> None:
    rows = run(folder / "north", model, workers=1, segments="peaks", timezone="+10:00")
    assert len(rows) > 0
    for path, start_s, time in zip(rows.paths, rows.start_s.tolist(), rows.recorded_at):
        assert time == expected(path, folder, start_s)[0]


def test_without_options_only_the_time_is_there(folder: Path, model: Path, tmp_path: Path) -> None:
    run(folder / "north", model, sink=tmp_path / "a.parquet", workers=1)
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.names == ["row_id", "path", "start_s", "end_s", "status", "recorded_at", "label"]
    assert table["recorded_at"].to_pylist()[:2] == ["2024-05-12T05:30:00.000", "2024-05-12T05:30:05.000"]
