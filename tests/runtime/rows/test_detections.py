from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest

from runtime import Detections, InputError, Soundscapes, cli, run_soundscapes
from runtime.model.artifact import read_artifact
from runtime.request.detections import DetectionFormat
from runtime.rows.block import Block, Columns
from runtime.rows.finished import Finished
from runtime.rows.formats.choice import choose_format
from runtime.rows.formats.detection_counts import DetectionCounts
from runtime.rows.sinks import FileSink, Target
from tests.support.recordings import cut

LABEL = Columns({"label": (2,)}, {"label": ("a", "b")})
LABELS = Detections(1, format="audacity")


@pytest.fixture(scope="module")
def folder(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings, one of them truncated, in folders of their own."""
    folder = tmp_path_factory.mktemp("sites")
    for site, name in (("north", "b.wav"), ("south", "b.wav")):
        (folder / site).mkdir()
        (folder / site / name).write_bytes((recordings / name).read_bytes())
    cut(folder / "south" / "b.wav", 0.6)
    return folder


@pytest.fixture(scope="module")
def rows(folder: Path, model: Path) -> Soundscapes:
    rows = run_soundscapes(folder, model, workers=1, progress=False)
    assert 0 < rows.count("failed") < len(rows)
    return rows


def expected(rows: Soundscapes, top: int | None, least: float) -> list[tuple[str, float, str, float]]:
    found = []
    for row_id, scores in zip(rows.row_ids, rows["label"]):
        name, _, end = row_id.rpartition("_")
        order = sorted(range(len(scores)), key=lambda i: -scores[i])[:top] if np.isfinite(scores).all() else []
        found += [(name, float(end), rows.classes["label"][i], float(scores[i])) for i in order if scores[i] >= least]
    return found


@pytest.mark.parametrize(("top", "quantile"), [(3, None), (None, 0.98), (2, 0.98)])
def test_csv_holds_what_scores_high(
    tmp_path: Path, folder: Path, rows: Soundscapes, top: int | None, quantile: float | None
) -> None:
    least = None if quantile is None else float(np.nanquantile(rows["label"], quantile))
    path = tmp_path / "detections.csv"
    rows.to_detections(path, Detections(top, least))
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["path", "start_s", "end_s", "class", "scientific_name", "common_name", "score", "recorded_at"]
    wanted = expected(rows, top, -np.inf if least is None else least)
    assert wanted
    found = [
        (Path(path).relative_to(folder).with_suffix("").as_posix(), float(end), name, float(score))
        for path, _, end, name, _, _, score, _ in lines
    ]
    assert [(each[0], each[1], each[2]) for each in found] == [(each[0], each[1], each[2]) for each in wanted]
    np.testing.assert_array_equal(np.float32([each[3] for each in found]), np.float32([each[3] for each in wanted]))
    assert all(float(end) - float(start) == 5 for _, start, end, *_ in lines)


def test_classes_that_the_model_does_not_know_are_not_detected(tmp_path: Path, folder: Path, model: Path) -> None:
    known = read_artifact(model).heads["label"].classes[:3]
    path = tmp_path / "detections.csv"
    run_soundscapes(
        folder / "north",
        model,
        classes=["unknown", *known],
        unmapped=1000.0,
        sink=path,
        detections=Detections(top=4),
        workers=1,
        progress=False,
    )
    with path.open(newline="") as file:
        named = [row["class"] for row in csv.DictReader(file)]
    assert len(named) == 3 * 3
    assert set(named) == set(known)


@pytest.mark.parametrize("form", ["csv", "audacity"])
@pytest.mark.parametrize(
    ("quantile", "told"),
    [
        (0.98, r"(\d+) detections in (\d+) of 4 windows"),
        (
            -1,
            r"(\d+) detections in (4) of 4 windows; every window has one\. 1% of the windows have a score from \S+ on",
        ),
        (2, r"no detections in 4 windows; the highest score is \S+\. .*: try --min-score (\S+) \("),
    ],
)
def test_summary_counts_detections(
    tmp_path: Path, rows: Soundscapes, form: DetectionFormat, quantile: float, told: str
) -> None:
    """Written twice, as when a disk was full the first time; with a threshold where none or every window has one."""
    scores = rows["label"]
    least = float(np.nanquantile(scores, quantile)) if 0 <= quantile <= 1 else quantile * 1e6
    detections, target = Detections(min_score=least, format=form), tmp_path / ("x.csv" if form == "csv" else "x")
    format = choose_format(target, detections)
    for _ in range(2):
        format.write(rows._blocks, target, rows._columns, 0.0)
    assert format.detected is not None
    found = re.match(told, summary := format.detected.summary(detections))
    assert found, summary
    if quantile < 2:
        assert int(found[1]) == format.detected.detections == int((scores >= least).sum())
        assert int(found[2]) == int((scores >= least).any(axis=1).sum())
    else:
        suggested = float(found[1])
        assert np.isclose(suggested, np.quantile(np.nanmax(scores[rows.status == "scored"], axis=1), 0.99), rtol=1e-3)


def test_summary_of_no_window_at_all() -> None:
    assert DetectionCounts().summary(Detections(min_score=1)) == "no detections: no window was scored"


def test_run_tells_of_detections(tmp_path: Path, folder: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", str(model), "--min-score", "1e300", "-o", str(tmp_path / "found.csv")]
    assert cli.main([str(folder / "north"), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "found.csv: no detections in 3 windows; the highest score is" in printed
    assert "3 windows (3 scored, 0 filled, 0 failed)" in printed


def test_tables_of_several_recordings_are_a_folder(
    tmp_path: Path, folder: Path, rows: Soundscapes, model: Path
) -> None:
    raven = Detections(2, format="raven")
    run_soundscapes(folder, model, workers=1, sink=tmp_path / "raven", detections=raven, resume=True, progress=False)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt"))
    assert files == ["raven/north/b.selections.txt", "raven/south/b.selections.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raven"]
    with (tmp_path / files[0]).open(newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    wanted = [each for each in expected(rows, 2, -np.inf) if each[0] == "north/b"]
    assert [(float(row["End Time (s)"]), row["Class"]) for row in table] == [each[1:3] for each in wanted]
    assert [row["Selection"] for row in table] == [str(i + 1) for i in range(len(wanted))]
    assert {row["Begin Path"] for row in table} == {str(folder / "north" / "b.wav")}
    assert all(row["File Offset (s)"] == row["Begin Time (s)"] for row in table)
    with pytest.raises(InputError, match=r"for 2 recordings, but audacity opens one beside each; name a folder"):
        rows.to_detections(tmp_path / "labels.txt", Detections(1))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["b", "x" * 252], "a name of more than 255 bytes; rename the recording"),
        (["鳥" * 84], "a name of more than 255 bytes"),
        (["a/" + "x" * 256 + "/b"], "a name of more than 255 bytes"),
        (["a.txt/b", "a"], "would be a file and a folder at once"),
        (["there/b"], "would be a folder, and a file is there"),
        (["taken"], "would be a file and a folder at once"),
    ],
)
def test_names_that_no_folder_can_hold_are_refused_before_the_work(
    tmp_path: Path, names: list[str], message: str
) -> None:
    target = tmp_path / "labels"
    (target / "taken.txt").mkdir(parents=True)
    (target / "there").touch()
    with pytest.raises(InputError, match=message):
        Target(target, choose_format(target, LABELS), LABEL, 0.0, names)
    assert [path.name for path in tmp_path.iterdir()] == ["labels"]


def test_names_of_any_kind_are_files_of_a_folder(tmp_path: Path) -> None:
    names = ["  ", " a ", "x" * 251, "..", "a/d", "new\nline", os.fsdecode(b"not \xff utf8")]
    for killed in (tmp_path / "labels", tmp_path / "labels" / "a"):  # a run, while it wrote them
        killed.mkdir()
        (killed / ".detections.7.partial").touch()
    target = tmp_path / "labels"
    sink = FileSink(Target(target, choose_format(target, LABELS), LABEL, 0.0, names), {}, False)
    for name in names:
        scores = {"label": np.zeros((1, 2), np.float32)}
        block = Block(f"/in/{name}.wav", [f"{name}_5"], np.zeros(1), np.full(1, 5.0), np.array(["scored"]), scores)
        sink.append(block, Finished(block.path, name, 0, 0, 0, 1, None, None))
    sink.finish([])
    sink.close(keep=False)
    files = {str(path.relative_to(tmp_path / "labels")) for path in (tmp_path / "labels").rglob("*") if path.is_file()}
    assert files == {f"{name}.txt" for name in names}


def test_audacity_labels_of_one_recording(tmp_path: Path, folder: Path, model: Path, rows: Soundscapes) -> None:
    path = tmp_path / "labels.txt"
    arguments = [str(folder / "north" / "b.wav"), "--model", str(model), "--top", "1", "-o", str(path), "--quiet"]
    assert cli.main(arguments) == 0
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    wanted = [each for each in expected(rows, 1, -np.inf) if each[0] == "north/b"]
    assert [float(end) for _, end, _ in lines] == [each[1] for each in wanted]
    assert [text.rpartition(" ")[2] for *_, text in lines] == [f"{each[3]:.3g}" for each in wanted]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.txt"], "a .txt holds detections, which --top or --min-score ask for"),
        (["-o", "x.csv", "--format", "raven"], "format 'raven' is of detections, which need --top"),
        (["-o", "x", "--top", "1"], "cannot tell what to write from the name"),
        (["-o", "x.csv", "--min-score", "nan"], "--min-score is not a number"),
        (["-o", "x.csv", "--top", "0"], "top is 0, but must be at least 1"),
        (["-o", "x.csv", "--top", "1", "--outputs", "label,genus"], "of one output with classes, not label, genus"),
        (["-o", "x.csv", "--top", "1", "--outputs", "embedding"], "of one output with classes, not embedding"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    folder: Path,
    model: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([str(folder), "--model", str(model), *arguments]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
