"""`perch-bench labelling`: an oracle labels a planted world, and what that teaches is tried on unseen recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.labelling import oracle
from benchmarks.labelling.oracle import WAYS, Score, play
from benchmarks.labelling.pool import NAMES, World, deal, make_world
from benchmarks.labelling.summary import summarize
from benchmarks.labelling.world import KINDS, LEAST_S, Kind, soundscape
from benchmarks.measuring.songs import Soundscape
from runtime.explore.random_share import draw

SECONDS, COUNT = 20, 2
SOUNDS = 3


@pytest.fixture(scope="module")
def heard(model: Path) -> World:
    """Two short soundscapes as the tiny model hears them."""
    return make_world(model, COUNT, SECONDS)


@pytest.fixture(scope="module")
def clear(heard: World) -> World:
    """Forty soundscapes of ten windows whose embeddings say what is in them: one of three species, or none."""
    rng = np.random.default_rng(3)
    count, width = 400, heard.rows["embedding"].shape[1]
    truth = np.zeros((count, len(NAMES)), np.bool_)
    truth[np.arange(count), rng.integers(SOUNDS, size=count)] = rng.random(count) < 0.5
    embedding = truth @ rng.standard_normal((len(NAMES), width)) + 0.1 * rng.standard_normal((count, width))
    recordings = np.repeat(np.arange(count // 10), 10)
    ends = np.tile(np.arange(5.0, 51, 5), count // 10)
    rows = heard.rows | {
        "embedding": embedding.astype(np.float32),
        "row_ids": np.array([f"{n:04}_{end:g}" for n, end in zip(recordings, ends, strict=True)]),
        "path": np.array([f"{n:04}.flac" for n in recordings]),
        "start_s": ends - 5,
        "end_s": ends,
        "status": np.repeat("scored", count),
        "recorded_at": np.repeat("", count),
    }
    return World(rows, truth, recordings)


def test_truth_of_a_window_is_what_was_planted_in_it(heard: World) -> None:
    assert heard.truth.shape == (COUNT * SECONDS // 5, len(NAMES))
    for row, (number, start) in enumerate(zip(heard.recordings, heard.rows["start_s"], strict=True)):
        songs = soundscape(int(number), SECONDS).songs
        sung = {n: sum(max(0, min(b, start + 5) - max(a, start)) for a, b in songs[n]) >= LEAST_S for n in NAMES}
        assert dict(zip(NAMES, heard.truth[row].tolist(), strict=True)) == sung
    assert heard.truth.any()


def test_a_planted_sound_is_in_the_samples_when_its_times_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def samples(loud: bool) -> Soundscape:
        song = KINDS["warble"].song
        only = Kind(song if loud else lambda rng: 0 * song(rng), share=1, bout_s=(5, 9))
        monkeypatch.setattr("benchmarks.labelling.world.KINDS", {"warble": only})
        return soundscape(1, SECONDS)

    with_songs, without = samples(loud=True), samples(loud=False)
    assert with_songs.songs == without.songs
    scale = [np.abs(each.samples[:32_000]).max() for each in (with_songs, without)]  # before the first song
    planted = with_songs.samples / scale[0] - without.samples / scale[1]
    sung = np.zeros(len(planted), np.bool_)
    for start, end in with_songs.songs["warble"]:
        sung[round(start * 32_000) : round(end * 32_000)] = True
        assert np.abs(planted[round(start * 32_000) : round(end * 32_000)]).max() > 1
    assert sung.any() and np.abs(planted[~sung]).max() < 1e-3


def test_a_deal_keeps_recordings_whole_and_hides_the_others(clear: World, tmp_path: Path) -> None:
    deals = [deal(clear, seed, 15, tmp_path) for seed in (0, 1)]
    for dealt in deals:
        assert (dealt.file.count, len(dealt.unseen)) == (150, 250)
        assert len(set(dealt.file.paths)) == 15
        shown = dealt.file.output("embedding")
        assert not (shown[:, None, 0] == dealt.unseen[None, :, 0]).any()
    assert set(deals[0].file.paths) != set(deals[1].file.paths)
    assert not set(deals[0].file.row_ids) & set(deals[1].file.row_ids)


def test_every_way_begins_with_the_same_random_windows_and_labels_none_twice(
    clear: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealt = deal(clear, 0, 15, tmp_path)
    asked: list[dict[int, bool]] = []
    teach = oracle._teach
    monkeypatch.setattr(
        oracle, "_teach", lambda dealt, rows, share: asked.append(dict(rows)) or teach(dealt, rows, share)
    )
    shuffled = sorted(range(150), key=lambda row: draw(str(dealt.file.row_ids[row])))
    for way in WAYS:
        asked.clear()
        assert [score.labels for score in play(dealt, way, 50, 20, 0.9)] == [20, 40, 50]
        first, *_, last = asked
        assert list(first) == shuffled[:20] and all(first.values())
        assert {"worth": 20, "random": 50, "species": 20, "species and random": 20 + 4 + 2}[way] == sum(last.values())


def test_a_summary_holds_medians_ranges_gains_and_how_often_the_interval_was_right() -> None:
    def score(labels: int, average: float, right: int, low: float) -> Score:
        return Score(labels, average, 3, 10, right, 20, 0.1, 0.8, (low, 1.0))

    seeds = [[score(25, 0.1 * seed, 5, 0.4), score(50, 0.2 * seed, 9, 0.6 + 0.2 * seed)] for seed in (1, 2, 3)]
    first, second = summarize({"random": seeds})["random"]
    assert first["gain"] is None
    assert second["gain"] == pytest.approx({"median": 0.2, "least": 0.1, "most": 0.3})
    assert second["average_precision"] == pytest.approx({"median": 0.4, "least": 0.2, "most": 0.6})
    assert (second["precision"]["median"], second["precision_of_all_given"], second["recall"]["median"]) == (
        0.9,
        0.9,
        0.45,
    )
    assert (second["random_share"]["tells"], second["random_share"]["covers"]) == (3, 1)


def test_clear_sounds_are_learnt_whatever_is_labelled_and_thresholds_hold_what_was_asked_for(
    model: Path, clear: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.labelling.pool.make_world", lambda path, count: clear)
    monkeypatch.setattr("benchmarks.labelling.command.ROUND", 50)
    target = tmp_path / "labelling.json"
    words = ["labelling", str(model), "--soundscapes", "15", "--unseen", "25", "--labels", "100", "--seeds", "1"]
    assert main([*words, "--json", str(target)]) == 0
    found = json.loads(target.read_text())
    assert (found["command"], found["windows"], found["round"]) == ("labelling", 150, 50)
    for rounds in found["ways"].values():
        assert [each["labels"] for each in rounds] == [50, 100]
        assert rounds[-1]["average_precision"]["median"] > 0.98
        assert rounds[-1]["enough"]["median"] == SOUNDS
        assert rounds[-1]["precision_of_all_given"] > 0.9 and rounds[-1]["recall"]["median"] > 0.5
    assert "most worth labelling" in capsys.readouterr().out
    assert main([*words, "--precision", "1"]) == 2
    assert "--precision is 1" in capsys.readouterr().err
