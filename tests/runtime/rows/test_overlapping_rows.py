"""Rows of several windows each, by every way there is, against a plain computation from the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.proof.synthetic import soundscape
from runtime import InputError, Model, load_model
from runtime.audio.recording import Recording
from runtime.rows.soundscapes import Soundscapes
from runtime.workers.engines import EngineFactory
from runtime.workers.stages import Stages
from tests.support.deadlines import LONG, ends_when, windows_came
from tests.support.recordings import RATE, WINDOW, cut, write
from tests.support.runs import interrupt, run, write_sample

Rows = dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]
"""By way and by row, the label and the embedding."""
OUTPUTS = ("label", "embedding")
LENGTHS = {"a": 23, "b": 35.5, "c": 3}
POOL = {"hop_s": 2.5, "pool": "max", "activation": "sigmoid"}
WAYS = {
    "max": POOL,
    "mean": {"hop_s": 1.25, "pool": "mean"},
    "shifts": {"shifts": (0, 0.5, -0.5), "activation": "sigmoid"},
    "shifts on a hop": {"hop_s": 4, "shifts": (0, 0.02, -3), "normalize": "peak"},
}


@pytest.fixture(scope="module")
def loaded(model: Path) -> Model:
    return load_model(model, "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlap")
    for seed, (name, seconds) in enumerate(LENGTHS.items()):
        write(folder / f"{name}.wav", soundscape(seed, 40)[: round(seconds * RATE)])
    return folder


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.audio.recording.PART_S", 20.0)


def plain(loaded: Model, folder: Path, way: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The label and the embedding of each row."""
    options = WAYS[way]
    hop, shifts = options.get("hop_s", 5.0), options.get("shifts", ())
    rows = {}
    for name, seconds in LENGTHS.items():
        samples = np.concatenate(list(Recording(folder / f"{name}.wav", RATE, WINDOW).samples()))
        row_hop = hop if shifts else 5.0
        count = 1 + max(0, int(np.ceil((seconds - 5) / row_hop)))
        last = (count - 1) * row_hop
        for row in range(count):
            own = row * row_hop
            if shifts:
                starts = [min(max(own + shift, 0), last) for shift in shifts]
            else:
                starts = [start for start in np.arange(0, last + 0.1, hop) if abs(start - own) <= 2.5]
            cuts = [samples[round(start * RATE) :][:WINDOW] for start in starts]
            if options.get("normalize") == "peak":
                cuts = [0.25 * (each - each.mean()) / np.abs(each - each.mean()).max() for each in cuts]
            given = loaded(np.stack([np.pad(each, (0, WINDOW - len(each))) for each in cuts]), OUTPUTS)
            label = 1 / (1 + np.exp(-given["label"])) if "activation" in options else given["label"]
            label = label.max(axis=0) if options.get("pool") == "max" else label.mean(axis=0)
            rows[f"{name}_{own + 5:g}"] = label, given["embedding"].mean(axis=0)
    return rows


@pytest.fixture(scope="module")
def expected(loaded: Model, folder: Path) -> Rows:
    return {way: plain(loaded, folder, way) for way in WAYS}


def in_memory(loaded: Model, folder: Path, **options: object) -> Soundscapes:
    """Rows of the second recording's samples."""
    samples = np.concatenate(list(Recording(folder / "b.wav", RATE, WINDOW).samples()))
    options = {"name": "b", "outputs": OUTPUTS, "progress": False, **options}
    return loaded.run(samples, RATE, **options)  # type: ignore[arg-type]


def same(result: Soundscapes, rows: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    assert result.row_ids == list(rows)
    assert set(result.status) == {"scored"}
    for place, output in enumerate(OUTPUTS):
        np.testing.assert_allclose(result[output], [each[place] for each in rows.values()], atol=2e-4)


@pytest.mark.parametrize("way", WAYS)
def test_rows_of_audio_in_memory_are_those_of_the_windows_that_overlap(
    way: str, folder: Path, loaded: Model, expected: Rows
) -> None:
    result = in_memory(loaded, folder, **WAYS[way])
    same(result, {row_id: row for row_id, row in expected[way].items() if row_id.startswith("b_")})


@pytest.mark.parametrize(("way", "windows", "engine"), [("max", 27, None), ("shifts on a hop", 42, Stages)])
def test_rows_of_files_are_the_same_bits(
    way: str, windows: int, engine: EngineFactory | None, folder: Path, model: Path, loaded: Model, expected: Rows
) -> None:
    result = run(folder, model, engine, outputs=OUTPUTS, workers=2, **WAYS[way])
    same(result, expected[way])
    timing, hop_s = result.timing, 5 if way == "max" else 4
    assert (timing.windows, timing.rows) == (windows, len(result))
    assert f"{windows} windows for {len(result)} rows" in result.summary()
    assert timing.times_real_time == pytest.approx(timing.windows_per_s * len(result) * hop_s / windows)
    if engine is None:
        alone = in_memory(loaded, folder, **WAYS[way])
        of_b = [row_id in alone.row_ids for row_id in result.row_ids]
        for output in OUTPUTS:
            np.testing.assert_array_equal(result[output][of_b], alone[output])


def test_an_interrupted_run_goes_on(
    tmp_path: Path, folder: Path, model: Path, expected: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = tmp_path / "out.npz"
    interrupt(folder, model, sink, 2, monkeypatch, **POOL)
    with pytest.raises(InputError, match=r"hop_s was 2.5 and is 1.25; pool was max and is mean"):
        run(folder, model, outputs=OUTPUTS, sink=sink, resume=True, **{**POOL, "pool": "mean", "hop_s": 1.25})
    run(folder, model, outputs=OUTPUTS, sink=sink, resume=True, **POOL)
    rows = expected["max"]
    with np.load(sink) as file:
        assert file["row_ids"].tolist() == list(rows)
        np.testing.assert_allclose(file["label"], [label for label, _ in rows.values()], atol=2e-4)


def test_a_deadline_leaves_rows_that_neighbours_fill(
    folder: Path, loaded: Model, expected: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"on_deadline": "interpolate", **LONG, **POOL}
    rows = {row_id: row for row_id, row in expected["max"].items() if row_id.startswith("b_")}
    same(in_memory(loaded, folder, **options), rows)
    ends_when(monkeypatch, lambda table: windows_came(table) >= 3)
    result = in_memory(loaded, folder, **options)
    assert result.row_ids == list(rows)
    assert {"scored", "interpolated"} == set(result.status)
    for row_id, status, label in zip(result.row_ids, result.status, result["label"]):
        if status == "scored":
            np.testing.assert_allclose(label, rows[row_id][0], atol=2e-4)


def test_rows_at_some_times_have_the_windows_around_them_too(folder: Path, loaded: Model) -> None:
    every, some = (
        in_memory(loaded, folder, name="20240512_053050", between=between, **POOL) for between in (None, "05:31-05:32")
    )
    assert some.start_s.tolist() == [10, 15, 20, 25, 30, 35][: len(some)] and len(some) == len(every) - 2
    np.testing.assert_array_equal(some["label"], every["label"][2:])


def test_a_sample_submission_has_the_pooled_rows(tmp_path: Path, folder: Path, loaded: Model, expected: Rows) -> None:
    sample = write_sample(tmp_path / "sample.csv", list(loaded.classes["label"][:3]), rows=("b_10", "b_5", "b_100"))
    result = loaded.run(  # type: ignore[call-arg]
        np.concatenate(list(Recording(folder / "b.wav", RATE, WINDOW).samples())),
        RATE,
        name="b",
        classes=sample,
        progress=False,
        **POOL,  # type: ignore[arg-type]
    )
    assert (result.row_ids, result.lacking) == (["b_10", "b_5", "b_100"], 1)
    for row, row_id in enumerate(("b_10", "b_5")):
        np.testing.assert_allclose(result["label"][row], expected["max"][row_id][0][:3], atol=2e-4)


def test_what_cannot_be_read_does_not_count(tmp_path: Path, model: Path, loaded: Model) -> None:
    """Samples that are not finite at 11 s, and nothing after 33 s of 50."""
    audio = soundscape(5, 50)
    audio[11 * RATE] = np.nan
    path = cut(write(tmp_path / "a.wav", audio, subtype="FLOAT"), 33 / 50)
    result = run(path, model, hop_s=2.5, pool="max")
    readable = [start for start in np.arange(0, 28, 2.5) if start not in (7.5, 10)]
    cuts = np.stack([audio[round(start * RATE) :][:WINDOW] for start in readable])
    scores = dict(zip(readable, loaded(cuts, ["label"])["label"]))
    assert result.status.tolist() == ["scored"] * 7 + ["failed"] * 3
    assert len(result.failures) == 1
    for start, label in zip(result.start_s[:7], result["label"]):
        near = [score for at, score in scores.items() if abs(at - start) <= 2.5]
        assert len(near) == {0: 2, 5: 2, 10: 1, 30: 1}.get(start, 3)
        np.testing.assert_allclose(label, np.max(near, axis=0), atol=2e-4)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"pool": "max", "hop_s": 3}, "hop_s is 3, but pool needs one that goes into the window of 5 s twice or more"),
        ({"pool": "mean", "hop_s": 5}, "without a remainder, such as 2.5"),
        ({"shifts": (0, 5)}, "shifts are 0, 5, but each must be less than the hop of 5 s in size"),
    ],
)
def test_hops_and_shifts_that_do_not_fit_the_window_are_refused(
    options: dict, problem: str, folder: Path, model: Path
) -> None:
    with pytest.raises(InputError, match=problem):
        run(folder, model, **options)
