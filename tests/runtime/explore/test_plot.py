"""`perch-explore plot`: what its pages and stills hold; that they open in a browser is seen by hand."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from convert.proof.synthetic import soundscape
from runtime import run_soundscapes
from runtime.explore.cli import main
from runtime.explore.pictures import colors, still
from runtime.explore.pictures.clips import spread
from runtime.explore.pictures.projection import project
from runtime.explore.pictures.sound import Recordings, address, read
from runtime.explore.pictures.spectrogram import power, spectrogram
from runtime.explore.pictures.timeline import find_path
from runtime.explore.rows import RowFile, open_rows
from tests.support.pages import RATE, as_heard, bytes_of, held
from tests.support.recordings import write

HOSTILE = "<img src=x onerror=alert(1)> $\\x$ #1 20190904_051500"
LOADS = re.compile(r"""(?:src|href)\s*=\s*["']?(?!data:)[^"'>\s]|url\(|@import""")


@pytest.fixture(scope="module")
def rows(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of three recordings, one of them with a name that means mischief, one without a time in its name."""
    folder = tmp_path_factory.mktemp("plot")
    (folder / "audio").mkdir()
    write(folder / "audio" / f"{HOSTILE}.wav", soundscape(1, 15))
    write(folder / "audio" / "S02_2024-05-17T23-59-53.flac", soundscape(2, 22))
    write(folder / "audio" / "plain.ogg", soundscape(3, 12))
    found = run_soundscapes(folder / "audio", model, outputs=["embedding", "label"], workers=1, progress=False)
    found.to_parquet(folder / "out.parquet")
    return folder / "out.parquet"


@pytest.fixture(scope="module")
def page(rows: Path) -> Path:
    assert main(["plot", str(rows), "--embed", "4"]) == 0
    return rows.with_suffix(".html")


def test_a_page_holds_its_points_and_some_clips(rows: Path, page: Path) -> None:
    data, file = held(page), open_rows(rows)
    assert data["row_ids"] == file.row_ids.tolist()
    assert [data["recordings"][i]["name"] for i in data["recording"]] == [Path(path).name for path in file.paths]
    label = file.output("label")
    for row, top in zip(label, data["top"], strict=True):
        assert [data["species"][name].split(" (")[-1].rstrip(")") for name, _ in top] == [
            file.classes["label"][i] for i in np.argsort(-row)[:3]
        ]
        np.testing.assert_allclose([score for _, score in top], np.sort(row)[::-1][:3], atol=0.006)
    assert len(data["clips"]) == 4
    for key, clip in data["clips"].items():
        expected = read(Path(file.paths[int(key)]), file.start_s[int(key)], 5)
        assert as_heard(bytes_of(clip["sound"], "audio/mpeg"), expected) > 0.95
        assert Image.open(io.BytesIO(bytes_of(clip["picture"], "image/png"))).size == (200, 160)


def test_a_page_loads_nothing_and_runs_nothing_of_others(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    markup = re.sub(r"<script[^>]*>.*?</script>", "", text, flags=re.DOTALL)
    assert not LOADS.search(markup)
    assert "<img src=x" not in markup + scripts[0] + scripts[-1]
    assert HOSTILE in json.dumps(held(page), ensure_ascii=False).replace("\\\\", "\\")
    assert not re.search(
        r"innerHTML|fetch\(|XMLHttpRequest|import\(|http", scripts[-1].replace("http://www.w3.org/2000/svg", "")
    )


def test_links_lead_to_the_recordings(page: Path) -> None:
    found = {each["name"]: each["address"] for each in held(page)["recordings"]}
    assert found["plain.ogg"] == "audio/plain.ogg"
    assert found[f"{HOSTILE}.wav"].startswith("audio/%3Cimg%20src%3Dx")
    assert address(page.parent / "javascript:alert(1).wav", page) == "javascript%3Aalert%281%29.wav"


def test_components_are_scikit_learns(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.explore.rows.BLOCK_BYTES", 2048)
    file = open_rows(rows)
    found, embedding = project(file), file.output("embedding").astype(np.float64)
    expected = PCA(3).fit(embedding)
    np.testing.assert_allclose(found.explained, expected.explained_variance_ratio_, rtol=1e-6)
    theirs = expected.transform(embedding)
    same = np.sign((found.points * theirs).sum(axis=0))
    np.testing.assert_allclose(found.points * same, theirs, atol=1e-4 * np.abs(theirs).max())
    assert found.count == file.count


def test_points_are_drawn_by_lot_and_variance_is_of_all(rows: Path) -> None:
    file = open_rows(rows)
    every, some = project(file), project(file, most=4)
    assert len(some.rows) == 4
    assert np.all(np.diff(some.rows) > 0)
    np.testing.assert_array_equal(some.rows, project(file, most=4).rows)
    np.testing.assert_array_equal(some.points, every.points[some.rows])
    np.testing.assert_array_equal(some.explained, every.explained)


def test_rows_without_a_score_are_left_out() -> None:
    values = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    values[[1, 4]] = np.nan
    status = np.where(np.isnan(values[:, 0]), "failed", "scored")
    own = {"row_id": np.array([f"a_{i}" for i in range(6)]), "status": status, "embedding": values}
    found = project(RowFile(Path("out.npz"), 6, {"embedding": (2,)}, {}, {}, own))
    assert found.rows.tolist() == [0, 2, 3, 5]
    assert found.count == 4
    assert found.explained.sum() == pytest.approx(1)  # of two dimensions


def test_stills_are_drawn(rows: Path, tmp_path: Path) -> None:
    targets = [tmp_path / "a.png", tmp_path / "b.svg"]
    assert main(["plot", str(rows), "--color", "species", "-o", str(targets[0]), "-o", str(targets[1])]) == 0
    assert np.asarray(Image.open(targets[0]).convert("L")).std() > 10
    assert targets[1].read_text().count("<use ") >= open_rows(rows).count
    assert still.plain("a\n" + "b" * 99) == "a?" + "b" * 41 + "…"
    assert still.plain("b" * 99 + "/a.wav", end=True) == "…" + "b" * 37 + "/a.wav"


def test_frequent_names_have_colours_and_the_rest_share_one() -> None:
    names = [f"s{i}" for i in range(20) for _ in range(20 - i)] + [""] * 3
    found = colors.color(names, "Species")
    assert [category.name for category in found.categories] == [*(f"s{i}" for i in range(12)), "other", "no label"]
    assert len({(category.color, category.marker) for category in found.categories}) == 14
    assert [category.count for category in found.categories] == np.bincount(found.of).tolist()
    assert [found.categories[i].name for i in found.of[-5:]] == ["other", "other", "no label", "no label", "no label"]
    hours = colors.color([f"{i:02}:00" for i in reversed(range(24))], "Hour", in_order=True)
    assert [category.name for category in hours.categories] == [f"{i:02}:00" for i in range(24)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("S01_20190904_051500.ogg", "2019-09-04T05:15:00"),
        ("20190904T0515.wav", "2019-09-04T05:15:00"),
        ("20240518T200000Z.wav", "2024-05-18T20:00:00"),
        ("a/2024-05-17T05-15-59_x.flac", "2024-05-17T05:15:59"),
        ("7019_COR_20190904.ogg", None),
        ("20191304_051500.ogg", None),
        ("20190904_251500.ogg", None),
    ],
)
def test_times_are_read_from_names(name: str, expected: str | None) -> None:
    found = colors.time_of(name)
    assert (found and found.isoformat()) == expected


def test_hours_go_on_through_midnight(rows: Path, tmp_path: Path) -> None:
    assert main(["plot", str(rows), "--color", "hour", "--embed", "0", "-o", str(tmp_path / "a.html")]) == 0
    data = held(tmp_path / "a.html")
    of = {row: data["categories"][i]["name"] for row, i in zip(data["row_ids"], data["category"], strict=True)}
    assert [of[f"S02_2024-05-17T23-59-53_{end}"] for end in (5, 10, 15)] == ["23:00", "23:00", "00:00"]
    assert of["plain_5"] == "no label"


def test_colours_by_tables(rows: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("row_id,species,site\nplain_5,b; a,north\nplain_10,,south\n")
    row_ids = ["plain_5", "plain_10", "plain_15"]
    assert colors.labels(str(table), row_ids) == ["a + b", "nocall", ""]
    assert colors.labels(f"{table}:site", row_ids) == ["north", "south", ""]


def test_recordings_are_found_again(tmp_path: Path) -> None:
    (tmp_path / "new" / "site").mkdir(parents=True)
    for path in ("new/site/a.wav", "new/a.wav", "b.wav"):
        (tmp_path / path).touch()
    recordings = Recordings(tmp_path / "out.parquet", tmp_path / "new")
    assert recordings.find("/old/site/a.wav") == tmp_path / "new" / "site" / "a.wav"
    assert recordings.find("../other/a.wav") == tmp_path / "new" / "a.wav"
    assert recordings.find("b.wav") == tmp_path / "b.wav"
    assert recordings.find("c.wav") is None
    assert recordings.find("bad\0name") is None
    assert recordings.find(r"D:\old\site\a.wav") == tmp_path / "new" / "site" / "a.wav"
    assert Recordings(tmp_path / "out.parquet").find(r"new\site\a.wav") == tmp_path / "new" / "site" / "a.wav"
    for there, known in (("NFC", "NFD"), ("NFD", "NFC")):
        name = unicodedata.normalize(there, f"Höhe{there}.wav")
        (tmp_path / name).touch()
        assert recordings.find(unicodedata.normalize(known, name)) == tmp_path / name


def test_what_cannot_be_heard_is_said(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    (folder / "plain.ogg").write_bytes(b"no sound")
    moved = tmp_path / "out.npz"
    file = open_rows(rows)
    own = {"row_ids": file.row_ids, "paths": [f"gone/{Path(path).name}" for path in file.paths]}
    np.savez(
        moved,
        row_id=np.array(own["row_ids"], str),
        **{"row_ids": np.array(own["row_ids"], str), "path": np.array(own["paths"], str)},
        status=np.full(file.count, "scored"),
        start_s=file.start_s,
        end_s=file.end_s,
        embedding=file.output("embedding"),
        classes=np.array("{}"),
        about=np.array("{}"),
    )
    assert main(["plot", str(moved), "--audio", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "recordings not found: 2" in said
    assert "recordings that cannot be read: 1" in said
    assert held(moved.with_suffix(".html"))["clips"] == {}


def test_windows_with_clips_are_spread() -> None:
    assert spread(np.arange(10), 3).tolist() == [1, 5, 8]
    assert spread(np.arange(10), 20).tolist() == list(range(10))
    assert spread(np.arange(10), 0).tolist() == []


def test_spectrograms_are_small_images() -> None:
    for samples in (soundscape(0, 5), np.zeros(160_000, np.float32)):
        image = spectrogram(power(samples))
        assert image.startswith(b"\x89PNG")
        assert len(image) < 50_000
    tone = np.sin(2 * np.pi * 4000 * np.arange(160_000) / RATE).astype(np.float32)
    shades = np.asarray(Image.open(io.BytesIO(spectrogram(power(tone)))).convert("L"))
    assert shades.mean(axis=1).argmax() == pytest.approx(160 * 3 / 4, abs=1)  # from above, a quarter up


def test_a_timeline(rows: Path, tmp_path: Path) -> None:
    name = "S02_2024-05-17T23-59-53"
    targets = [tmp_path / "a.html", tmp_path / "a.png"]
    assert main(["plot", str(rows), "--timeline", name, "-o", str(targets[0]), "-o", str(targets[1])]) == 0
    data, file = held(targets[0]), open_rows(rows)
    of = [i for i, path in enumerate(file.paths) if Path(path).stem == name]
    assert data["row_ids"] == file.row_ids[of].tolist()
    assert (data["start"], data["end"], data["picture_s"]) == (0, 25, 22)
    tops = [file.classes["label"][i] for i in file.output("label")[of].argmax(axis=1)]
    assert [top[0][0].split(" (")[-1].rstrip(")") for top in data["top"]] == tops
    assert {name.split(" (")[-1].rstrip(")") for name in data["names"]} == set(tops)
    expected = np.concatenate([read(Path(file.paths[of[0]]), start, 5) for start in range(0, 25, 5)])[: 22 * RATE]
    assert as_heard(bytes_of(data["sound"], "audio/mpeg"), expected) > 0.95
    assert Image.open(io.BytesIO(bytes_of(data["picture"], "image/png"))).size == (22 * 50, 160)
    assert np.asarray(Image.open(targets[1]).convert("L")).std() > 10


def test_a_piece_of_a_timeline(rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("runtime.explore.pictures.timeline.MOST_S", 7)
    monkeypatch.setattr("runtime.explore.pictures.timeline.MOST_SOUND_S", 1)
    assert main(["plot", str(rows), "--timeline", HOSTILE, "--from", "6"]) == 0
    assert "goes on to 15 s" in capsys.readouterr().out
    page = rows.with_name(f"out.{HOSTILE}.html")
    data = held(page)
    assert (data["start"], data["end"], data["starts"], data["offset"]) == (6, 13, [5, 10], 0)
    assert data["sound"].startswith("audio/%3Cimg")
    assert "<img src=x" not in page.read_text()


def test_recordings_of_a_timeline_are_found_by_name() -> None:
    paths = ["in/a/x.wav", "in/b/x.wav", "in/b/y.wav"]
    assert find_path(paths, "y") == find_path(paths, "y.wav") == find_path(paths, "/else/y.wav") == "in/b/y.wav"
    assert find_path(paths, "b/x") == "in/b/x.wav"
    apart, windows = unicodedata.normalize("NFD", "in/Höhe.wav"), r"D:\rec\a\x.wav"
    assert find_path([apart, windows], "Höhe") == find_path([apart, windows], "Höhe.wav") == apart
    assert find_path([apart, windows], "x") == find_path([apart, windows], r"a\x.wav") == windows
    assert find_path([apart, windows], windows) == windows


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--color", "weather"], "--color is 'weather'"),
        (["--color", "labels.csv"], "cannot read the labels from labels.csv"),
        (["--color", "{table}:wind"], "has no column 'wind', but row_id, species"),
        (["--color", "{table}"], "names none of the rows: it has z_5"),
        (["-o", "a.pdf"], "end its name in .html, .png or .svg"),
        (["-o", "{folder}/none/a.html"], "cannot write to"),
        (["--embed", "-1"], "--embed is -1"),
        (["--audio", "nowhere"], "there is no folder nowhere"),
        (["--taxonomy", "none.csv"], "cannot read the taxonomy"),
        (["--timeline", "none"], "hold no recording none"),
        (["--timeline", "plain", "--from", "90"], "holds no scored windows"),
        (["--timeline", "plain", "--from", "9", "--to", "3"], "--to must be after --from"),
    ],
)
def test_wrong_use_is_one_line(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("row_id,species\nz_5,a\n")
    given = [arg.format(table=table, folder=tmp_path) for arg in args]
    output = [] if "-o" in args else ["-o", str(tmp_path / "a.html")]
    assert main(["plot", str(rows), *given, *output]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "a.html").exists()


def test_files_that_hold_too_little(
    label_model: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = write(tmp_path / "a.wav", soundscape(1, 5))
    for name, path, said in (
        ("label", label_model, "holds no embedding, but label; run perch-run with"),
        ("embedding", model, "has nothing to plot: its embeddings (1)"),
    ):
        found = run_soundscapes(recording, path, outputs=[name], workers=1, progress=False)
        found.to_parquet(tmp_path / "out.parquet")
        assert main(["plot", str(tmp_path / "out.parquet")]) == 2
        assert said in capsys.readouterr().err
    assert main(["plot", str(tmp_path / "out.parquet"), "--color", "species"]) == 2
    assert main(["plot", str(tmp_path / "out.parquet"), "--timeline", "a"]) == 2
    assert "holds no label" in capsys.readouterr().err
