"""Which windows `perch-bench parity` compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.parity.windows import choose, read, read_chunks
from convert.proof.synthetic import soundscape
from runtime import InputError
from runtime.audio.paths import find_recordings
from runtime.explore.label_files import Labels
from tests.support.recordings import WINDOW, cut, write


def test_all_windows_are_called_as_in_a_run(recordings: Path) -> None:
    chosen = choose(find_recordings(recordings), 100)
    ends = {"a": (5, 10, 15, 20), "b": (5, 10, 15), "c": (5, 10)}
    assert [window.row_id for window in chosen] == [f"{name}_{end}" for name, each in ends.items() for end in each]


def test_they_are_taken_evenly(recordings: Path) -> None:
    chosen = choose(find_recordings(recordings), 3)
    assert [window.row_id for window in chosen] == ["a_10", "b_5", "c_5"]
    (fewer,) = choose(find_recordings(recordings), 1)  # of one recording, not to look into all
    assert fewer.row_id == "b_10"


def test_their_samples_are_read(recordings: Path) -> None:
    chosen = choose(find_recordings(recordings / "b.wav"), 100)
    samples = dict(read(chosen[1:]))
    audio = np.pad(soundscape(1, 12), (0, 3 * WINDOW - 12 * 32_000))
    assert list(samples) == chosen[1:]
    for window, found in samples.items():
        np.testing.assert_allclose(found, audio[window.index * WINDOW :][:WINDOW], atol=1e-4)  # of 16 bits
    assert [len(windows) for windows, _ in read_chunks(chosen, 2)] == [2, 1]


def test_a_recording_that_breaks_off_gives_what_there_is(tmp_path: Path) -> None:
    path = cut(write(tmp_path / "a.wav", soundscape(0, 30)), 0.5)
    chosen = choose(find_recordings(path), 100)
    assert 2 <= len(list(read(chosen))) <= len(chosen)


def test_only_windows_with_labels(recordings: Path) -> None:
    labels = Labels("labels.csv", {"a_10": frozenset({"x"}), "c_5": frozenset(), "d_5": frozenset({"x"})})
    assert [window.row_id for window in choose(find_recordings(recordings), 100, labels)] == ["a_10", "c_5"]
    with pytest.raises(
        InputError, match=r"^labels.csv has no label for any of the 9 windows, which are called a_5 and"
    ):
        choose(find_recordings(recordings), 100, Labels("labels.csv", {"d_5": frozenset()}))


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(InputError, match="none of the recordings can be read"):
        choose(find_recordings(tmp_path), 10)
