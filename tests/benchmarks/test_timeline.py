"""The timeline shows what was computed of the soundscape it shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measuring.songs import SPECIES, shown_soundscape
from benchmarks.results.page import write_results
from benchmarks.results.svg import HUES
from benchmarks.results.timeline import LEAST_S, measure_timeline
from runtime.errors import InputError


def bars(drawing: str, color: str) -> list[tuple[float, bool]]:
    """The height of each bar of a colour, in points, and whether it is pale."""
    found = re.findall(rf'<path d="([^"]*)"[^>]* style="fill: var\(--{color[1:]}\)([^"]*)"', drawing)
    heights = [np.ptp(np.array(re.findall(r"[\d.]+", path), float).reshape(-1, 2)[:, 1]) for path, _ in found]
    return [(float(height), "opacity" in style) for height, (_, style) in zip(heights, found, strict=True)]


@pytest.mark.slow
def test_windows_with_a_song_are_more_probable_and_bars_are_as_tall_as_computed(model: Path, tmp_path: Path) -> None:
    found = measure_timeline(model, labelled=12)
    shown = shown_soundscape()
    assert list(found["species"]) == list(SPECIES)
    assert (found["recordings"], found["windows"], len(found["starts"])) == (12, 12 * 23, 23)
    probabilities = np.array([each["probabilities"] for each in found["species"].values()])
    sung = np.array(
        [[shown.sung_s(name, start, start + 5) >= LEAST_S for start in found["starts"]] for name in SPECIES]
    )
    assert probabilities[sung].mean() > 2 * probabilities[~sung].mean()

    (tmp_path / "timeline.json").write_text(json.dumps(found))
    page = write_results(tmp_path, tmp_path / "results.md").read_text()
    assert f"]({tmp_path.name}/timeline.svg)" in page
    drawing = (tmp_path / "timeline.svg").read_text()
    for hue, lane in zip(HUES, probabilities, strict=False):
        heights, pale = zip(*bars(drawing, hue), strict=True)
        assert heights == pytest.approx(lane * heights[lane.argmax()] / lane.max(), abs=0.15)  # a tenth of a point
        assert list(pale) == (lane < 0.5).tolist()


def test_a_timeline_measured_on_another_soundscape_is_refused(tmp_path: Path) -> None:
    songs = shown_soundscape().rounded_songs
    songs["caw"][0][0] += 0.5
    species = {name: {"songs": each, "roc_auc": 0.9, "probabilities": [0.5]} for name, each in songs.items()}
    figures = {"starts": [0.0], "hop_s": 2.5, "window_s": 5.0, "windows": 1, "recordings": 1, "species": species}
    (tmp_path / "timeline.json").write_text(json.dumps(figures))
    with pytest.raises(InputError, match="measured on other songs"):
        write_results(tmp_path, tmp_path / "results.md")
