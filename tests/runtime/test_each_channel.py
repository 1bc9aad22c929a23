"""Each channel has the rows that it would have in a file of its own, wherever rows go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from convert.proof.synthetic import soundscape
from runtime import Detections, InputError, Model, load_model
from runtime.archive.merge import merge_archive
from runtime.archive.run import run_archive
from runtime.workers.stages import Stages
from tests.support.recordings import RATE, write
from tests.support.runs import interrupt, run, write_sample

pytestmark = pytest.mark.usefixtures("short_parts")

SECONDS = 27


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of several parts with two channels, one with three that cannot be read in parts, one with one, and
    one that cannot be read at all."""
    folder = tmp_path_factory.mktemp("each") / "recordings"
    folder.mkdir()
    write(folder / "a.wav", np.stack([soundscape(1, SECONDS), soundscape(2, SECONDS)], axis=1))
    write(folder / "b.ogg", np.stack([soundscape(seed, 7) for seed in (3, 4, 5)], axis=1))
    write(folder / "c.flac", soundscape(6, 12))
    (folder / "d.wav").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def loaded(model: Path) -> Model:
    return load_model(model, "cpu")


@pytest.fixture(scope="module")
def expected(folder: Path, loaded: Model) -> tuple[list[str], np.ndarray]:
    """The names and scores of the channels, each alone, in memory."""
    results = [
        loaded.run(each, RATE, f"{path.stem}_ch{channel}")
        for path in sorted(folder.glob("[abc].*"))
        for channel, each in enumerate(soundfile.read(path, dtype="float32", always_2d=True)[0].T, 1)
    ]
    return [row_id for each in results for row_id in each.row_ids], np.concatenate([each["label"] for each in results])


def test_each_channel_has_rows_of_its_own(folder: Path, model: Path, expected: tuple[list[str], np.ndarray]) -> None:
    names, scores = expected
    result = run(folder, model, Stages, channel="each")
    assert result.row_ids == [*names, "d_ch1_5", "d_ch1_10"]
    np.testing.assert_allclose(result["label"][:-2], scores, atol=1e-5)
    assert result.channels == [int(row_id.partition("_ch")[2][0]) for row_id in result.row_ids]
    assert [Path(path).stem for path in result.paths] == [row_id[0] for row_id in result.row_ids]
    assert [failure.path.name for failure in result.failures] == ["d.wav"]
    assert result.to_dataframe()["channel"].tolist() == result.channels


def test_channels_that_no_header_showed_are_missed(
    folder: Path, model: Path, expected: tuple[list[str], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.run.count_channels", lambda paths, *_: [0, 2, 1])
    result = run([folder / f"{name}" for name in ("a.wav", "b.ogg", "c.flac")], model, channel="each", workers=1)
    names, scores = expected
    kept = [row for row, name in enumerate(names) if not name.startswith(("a_ch2", "b_ch3"))]
    assert result.row_ids == [names[row] for row in kept]
    np.testing.assert_allclose(result["label"], scores[kept], atol=1e-5)
    text = "has {} channels, which its header did not show before the run: channel {} was not scored; score it again"
    assert [(each.path.name, each.reason) for each in result.failures] == [
        ("a.wav", text.format(2, 2)),
        ("b.ogg", text.format(3, 3)),
    ]


@pytest.mark.slow
def test_an_archive_counts_channels_again_that_no_header_showed(folder: Path, model: Path, tmp_path: Path) -> None:
    recordings, out = tmp_path / "in", tmp_path / "out"
    recordings.mkdir()
    data = (folder / "a.wav").read_bytes()
    for name in "ab":
        (recordings / f"{name}.wav").write_bytes(data)
    (recordings / "b.wav").write_bytes(bytes(len(data)))  # a copy in progress
    assert run_archive(recordings, model, out, channel="each", progress=False).failed == 1
    (recordings / "b.wav").write_bytes(data)
    again = run_archive(recordings, model, out, channel="each", progress=False, retry_failed=True)
    assert (again.units, again.before, again.ok, again.failed) == (12, 6, 6, 0)
    rows = merge_archive(out, tmp_path / "rows.parquet", progress=False)
    assert not rows.failures
    scores = pq.read_table(tmp_path / "rows.parquet")["label"].to_pylist()
    assert len(scores) == 24 and scores[:12] == scores[12:]


@pytest.mark.slow
def test_an_archive_and_a_run_that_is_resumed_have_the_same_rows(
    folder: Path, model: Path, expected: tuple[list[str], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(folder, model, tmp_path / "plain.parquet", 4, monkeypatch, outputs=("label",), channel="each")
    run(folder, model, channel="each", sink=tmp_path / "plain.parquet", resume=True)
    table = pq.read_table(tmp_path / "plain.parquet")
    assert table.column_names[:3] == ["row_id", "path", "channel"]
    assert table["row_id"].to_pylist()[:-2] == expected[0]
    np.testing.assert_array_equal(np.stack(table["label"].to_numpy()[:-2]), expected[1])
    summary = run_archive(folder, model, tmp_path / "out", channel="each", progress=False)
    assert (summary.units, summary.ok, summary.failed) == (12, 11, 1)
    assert run_archive(folder, model, tmp_path / "out", channel="each", progress=False).before == 12
    merge_archive(tmp_path / "out", tmp_path / "merged.parquet", progress=False)
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "plain.parquet").read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        {"smooth": (1, 2, 1)},
        {"hop_s": 2.5, "pool": "max"},
        {"shifts": (0, 1)},
        {"activation": "sigmoid", "file_scale": 3},
    ],
)
def test_what_combines_windows_stays_within_a_channel(folder: Path, loaded: Model, options: dict[str, Any]) -> None:
    samples = soundfile.read(folder / "a.wav", dtype="float32")[0].T
    result = loaded.run(samples, RATE, channel="each", **options)
    alone = [loaded.run(each, RATE, **options)["label"] for each in samples]
    np.testing.assert_array_equal(result["label"], np.concatenate(alone))


def test_npz_and_detections_say_which_channel(folder: Path, loaded: Model, tmp_path: Path) -> None:
    result = loaded.run(soundfile.read(folder / "a.wav", dtype="float32")[0].T, RATE, "a", channel="each")
    assert result.channels == [1] * 6 + [2] * 6
    result.to_npz(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["channel"].tolist() == result.channels
    result.to_detections(tmp_path / "a.csv", Detections(top=1))
    header, *lines = [line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines()]
    assert [int(line[header.index("channel")]) for line in lines] == result.channels
    result.to_detections(tmp_path / "tables", Detections(top=1, merge_gap_s=1000, min_score=-1000, format="raven"))
    for channel in (1, 2):
        header, *lines = [
            line.split("\t")
            for line in (tmp_path / "tables" / f"a_ch{channel}.selections.txt").read_text().splitlines()
        ]
        assert {line[header.index("Channel")] for line in lines} == {str(channel)}
        assert sum(int(line[-1]) for line in lines) == 6


def test_raven_opens_the_channel_that_was_scored(folder: Path, loaded: Model, tmp_path: Path) -> None:
    result = loaded.run(soundfile.read(folder / "a.wav", dtype="float32")[0].T, RATE, channel="right")
    result.to_detections(tmp_path / "a.selections.txt", Detections(top=1))
    header, *lines = [line.split("\t") for line in (tmp_path / "a.selections.txt").read_text().splitlines()]
    assert {line[header.index("Channel")] for line in lines} == {"2"}


def test_what_has_no_place_for_channels_is_refused(folder: Path, model: Path, tmp_path: Path) -> None:
    sample = write_sample(tmp_path / "sample.csv", ["aldfly"], ("a_5",))
    with pytest.raises(InputError, match="a sample submission, which has one row a window; name a channel"):
        run(folder, model, channel="each", classes=sample)
    with pytest.raises(InputError, match="a hoplite database knows no channels"):
        run(folder, model, channel="each", outputs=["embedding"], sink=f"hoplite:{tmp_path / 'h'}")
    with pytest.raises(InputError, match="for which a deadline has no time"):
        run(folder, model, channel="each", deadline_s=60)
