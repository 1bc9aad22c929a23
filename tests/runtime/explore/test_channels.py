"""`perch-explore plot` where rows are of one channel of a recording."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.proof.synthetic import soundscape
from runtime import run_soundscapes
from runtime.errors import InputError
from runtime.explore.cli import main
from runtime.explore.pictures.sound import read
from runtime.explore.pictures.spectrogram import power, spectrogram
from runtime.explore.rows import RowFile, open_rows
from tests.support.pages import RATE, as_heard, bytes_of, held


@pytest.fixture(scope="module")
def stereo(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Rows of a recording with a song of its own in each channel, by how its channels were scored."""
    folder = tmp_path_factory.mktemp("stereo")
    songs = np.stack([soundscape(1, 10), 0.2 * soundscape(2, 10)], axis=1)
    soundfile.write(folder / "st.wav", songs, RATE, subtype="FLOAT")
    files = {}
    for channel in ("each", 2, "loudest"):
        found = run_soundscapes(
            folder / "st.wav",
            model,
            outputs=["embedding", "label"],
            channel=channel,  # type: ignore[arg-type]
            workers=1,
            progress=False,
        )
        files[str(channel)] = folder / f"{channel}.parquet"
        found.to_parquet(files[str(channel)])
    return files


@pytest.mark.parametrize(("how", "channels"), [("each", [1, 1, 2, 2]), ("2", [2, 2]), ("loudest", [1, 1])])
def test_a_page_shows_and_plays_the_channel_that_was_scored(
    stereo: dict[str, Path], how: str, channels: list[int]
) -> None:
    rows, page = open_rows(stereo[how]), stereo[how].with_suffix(".html")
    assert main(["plot", str(rows.source)]) == 0
    clips = held(page)["clips"]
    assert len(clips) == len(channels)
    for i, channel in enumerate(channels):
        expected = read(Path(rows.paths[i]), rows.start_s[i], 5, channel=channel)
        assert as_heard(bytes_of(clips[str(i)]["sound"], "audio/mpeg"), expected) > 0.95
        assert bytes_of(clips[str(i)]["picture"], "image/png") == spectrogram(power(expected))
    assert main(["plot", str(rows.source), "--embed", "1"]) == 0
    assert f"the sound of the other {len(channels) - 1}, with all channels" in page.read_text()


def test_a_timeline_is_of_one_channel(stereo: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows = open_rows(stereo["each"])
    timeline = ["plot", str(rows.source), "--timeline", "st"]
    assert main([*timeline, "--channel", "2"]) == 0
    assert "st.wav, channel 2: 2 windows from 0 to 10 s" in capsys.readouterr().out
    data = held(rows.source.with_name("each.st_ch2.html"))
    assert (data["row_ids"], data["until"]) == (["st_ch2_5", "st_ch2_10"], [5, 10])
    expected = np.concatenate([read(Path(rows.paths[0]), start, 5, channel=2) for start in (0, 5)])
    assert as_heard(bytes_of(data["sound"], "audio/mpeg"), expected) > 0.95
    for args, said in (
        ([], "st.wav has rows of channel 1 and 2; say with --channel which to plot"),
        (["--channel", "3"], "st.wav has rows of channel 1 and 2, not 3"),
    ):
        assert main([*timeline, *args]) == 2
        assert said in capsys.readouterr().err
    assert main(["plot", str(rows.source), "--channel", "2"]) == 2
    assert "--channel is for --timeline" in capsys.readouterr().err


def test_a_timeline_of_loudest_channels_says_what_it_plays(
    stereo: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(stereo["loudest"]), "--timeline", "st"]) == 0
    assert "the spectrogram and sound are of all channels" in capsys.readouterr().out
    assert main(["plot", str(stereo["loudest"]), "--timeline", "st", "--channel", "1"]) == 2
    assert "has rows of the loudest channel of each window; leave --channel out" in capsys.readouterr().err


def test_a_row_that_names_no_channel_is_refused() -> None:
    about = {"options": json.dumps({"channel": "each"})}
    own = {"row_id": np.array(["a_ch2_5", "a_5", "20240513_053000_5"], object)}
    rows = RowFile(Path("out.npz"), 3, {}, {}, about, own)
    assert rows.channel(0) == 2
    for row, name in ((1, "a_5"), (2, "20240513_053000_5")):
        with pytest.raises(InputError, match=f"--channel each, but its row {name} names no channel"):
            rows.channel(row)
