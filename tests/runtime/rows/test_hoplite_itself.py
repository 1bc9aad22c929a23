"""perch-hoplite itself reads what `-o hoplite:` writes. `make hoplite` installs it into an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import run_soundscapes

ROOT = Path(__file__).parents[3]
SECONDS = {"ogg": 7, "wav": 12}
"""How long the recordings are."""
PYTHON = ROOT / ".venv-hoplite" / "bin" / "python"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="needs perch-hoplite: run `make hoplite`")


def by_hoplite(*arguments: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([PYTHON, *arguments], cwd=cwd, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings at 32 kHz, so that nothing is resampled, in folders of two depths, and what is none."""
    folder = tmp_path_factory.mktemp("hoplite") / "field"
    for name in ("20240512_053000+1000.wav", "north/c.WAV", "south/d.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(recordings / "b.wav", folder / name)
    shutil.copy(recordings / "c.ogg", folder / "south")
    (folder / "south" / "notes.txt").write_text("wind")
    return folder


@pytest.fixture(scope="module")
def found(folder: Path, model: Path) -> Any:
    """What perch-hoplite finds in the database of a run."""
    options = ["--outputs", "embedding", "--normalize", "peak", "--site-from", "{site}/*", "--quiet"]
    by_hoplite("-m", "runtime", "field", "--model", model, "-o", "hoplite:database", *options, cwd=folder.parent)
    reader = ROOT / "tests" / "support" / "hoplite_reader.py"
    return json.loads(by_hoplite(reader, folder.parent / "database", model).splitlines()[-1])


def test_rows_are_those_of_a_run(found: Any, folder: Path, model: Path) -> None:
    expected = run_soundscapes(folder, model, outputs=["embedding"], normalize="peak", workers=1, progress=False)
    ends = [float(row_id.rpartition("_")[2]) for row_id in expected.row_ids]
    paths = [Path(path).relative_to(folder).as_posix() for path in expected.paths]
    assert [(window["recording"], window["offsets"]) for window in found["windows"]] == [
        (path, [end - 5, end]) for path, end in zip(paths, ends, strict=True)
    ]
    np.testing.assert_array_equal(found["embeddings"], expected["embedding"].astype(np.float16))
    products = np.array(found["embeddings"]) @ found["embeddings"][3]
    assert sorted(products[found["nearest"]]) == sorted(products)[-2:]


def test_projects_deployments_times_and_sites(found: Any) -> None:
    below = "field (1 folder down)"
    names = ("project", "deployment", "recording", "datetime", "site")
    recordings = dict.fromkeys(tuple(window[name] for name in names) for window in found["windows"])
    assert list(recordings) == [
        ("field", "field", "20240512_053000+1000.wav", "2024-05-12 05:30:00+10:00", None),
        (below, "north", "north/c.WAV", "None", "north"),
        (below, "south", "south/c.ogg", "None", "south"),
        (below, "south", "south/d.wav", "None", "south"),
    ]


def test_hoplite_finds_the_recordings_and_has_their_windows(found: Any) -> None:
    assert sorted(found["sources"]) == sorted({window["recording"] for window in found["windows"]})
    assert found["after"] == len(found["windows"])


def test_hoplite_embeds_queries_with_the_same_file(found: Any) -> None:
    """Where it reads the same samples: it does not pad a recording's end."""
    ends = [(each["offsets"][1], SECONDS[each["recording"][-3:].lower()]) for each in found["windows"]]
    whole = [i for i, (end, length) in enumerate(ends) if end <= length]
    rows, queries = (np.array(found[name])[whole] for name in ("embeddings", "queries"))
    assert len(whole) == 7
    assert np.abs(rows - queries).max() < 1e-3 * np.ptp(rows)  # the database rounds to float16
