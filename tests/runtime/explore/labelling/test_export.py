"""What leaves the page: clips as they were recorded with a table, and selection tables that Raven opens."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile

from runtime.explore.labelling.export import SafeNames
from tests.support.labelling import Page, open_page, write_world


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("world")
    rows, _ = write_world(folder)
    sound, rate = soundfile.read(folder / "site/r1.wav", dtype="float32")
    soundfile.write(folder / "site/r1.wav", np.repeat(sound, 3), 3 * rate)
    page = open_page([rows], folder / "labels.csv")
    page.label("0-0", "banpit3", "=cmd()")
    page.label("0-3", "banpit3")
    page.label("0-5", "banpit3")
    page.label("0-6", "apbsun2")
    page.label("0-7")
    page.label("0-8", answer="unsure")
    yield page
    page.close()


def download(page: Page, **asked: object) -> zipfile.ZipFile:
    made = page.post("export", **asked)
    answer = page.ask("GET", made["url"])
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    return zipfile.ZipFile(io.BytesIO(answer.data))


def test_clips_are_the_windows_as_they_were_recorded(page: Page) -> None:
    packed = download(page, species=["banpit3"], form="wav")
    assert packed.testzip() is None
    table = list(csv.DictReader(io.StringIO(packed.read("clips.csv").decode())))
    assert [(line["file"], line["row_id"], line["species"]) for line in table] == [
        ("clips/r0_5.wav", "r0_5", "=cmd();banpit3"),
        ("clips/r0_20.wav", "r0_20", "banpit3"),
        ("clips/r1_10.wav", "r1_10", "banpit3"),
    ]
    folder = page.desk.journal.path.parent
    for line, rate in zip(table, (32_000, 32_000, 96_000), strict=True):
        samples, own = soundfile.read(io.BytesIO(packed.read(line["file"])), dtype="float32")
        start, end = (round(float(line[name]) * rate) for name in ("start_s", "end_s"))
        expected, _ = soundfile.read(folder / line["recording"], start=start, stop=end, dtype="float32")
        assert own == rate
        np.testing.assert_allclose(samples, expected, atol=2**-23)


def test_raven_has_a_table_for_each_recording(page: Page) -> None:
    packed = download(page, species=["banpit3", "apbsun2"], form="raven")
    assert sorted(packed.namelist()) == ["r0.selections.txt", "r1.selections.txt"]
    lines = [line.split("\t") for line in packed.read("r1.selections.txt").decode().splitlines()]
    selections = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    assert [(each["Selection"], each["Begin Time (s)"], each["End Time (s)"]) for each in selections] == [
        ("1", "5", "10"),
        ("2", "10", "15"),
    ]
    assert selections[0] | {"Selection": "", "File Offset (s)": ""} == {
        **{"Selection": "", "View": "Spectrogram 1", "Channel": "1", "Begin Time (s)": "5", "End Time (s)": "10"},
        **{"Low Freq (Hz)": "0", "High Freq (Hz)": "16000", "Begin Path": "site/r1.wav", "File Offset (s)": ""},
        **{"Class": "banpit3", "Scientific Name": "Hydrornis irena", "Common Name": "", "Labeller": "me"},
    }


def test_recordings_that_are_gone_are_named_and_the_others_exported(page: Page) -> None:
    recording = page.desk.journal.path.parent / "site/r0.wav"
    aside = recording.rename(recording.with_suffix(".aside"))
    page.desk.windows._places.clear()
    try:
        made = page.post("export", species=["banpit3"], form="wav")
    finally:
        aside.rename(recording)
        page.desk.windows._places.clear()
    assert (made["windows"], made["why"]) == (
        1,
        "2 windows left out: r0_5 of site/r0.wav: the recording is not there",
    )


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"species": ["banpit3"], "form": "exe"}, "there is no form 'exe'"),
        ({"species": ["banpit3"], "form": ["wav"]}, "there is no form"),
        ({"species": [], "form": "wav"}, "no labelled window"),
        ({"species": "banpit3", "form": "wav"}, "no labelled window"),
        ({"species": ["nobody", 1], "form": "raven"}, "no labelled window"),
    ],
)
def test_what_cannot_be_exported_is_said(page: Page, asked: dict[str, object], why: str) -> None:
    assert why in page.post("export", 400, **asked)["error"]


def test_names_in_a_zip_are_safe_and_different() -> None:
    names = SafeNames()
    texts = ["a/b_5", "a_b_5", "A/B_5", "../../etc/passwd", "..", "", "C:\\x", "nul.5", "é" * 300, "ü" * 300, ".hidden"]
    made = [names.of(text) for text in texts]
    assert len({name.lower() for name in made}) == len(texts)
    for name in made:
        assert name and len(name) <= 110 and not name.startswith(".")
        assert not set(name) & set('/\\:*?"<>|\0 ')
        assert name.partition(".")[0].lower() != "nul"
