"""The blocks of docs/r.md that need no arrow, in R itself."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from runtime import run_soundscapes
from runtime.request.detections import Detections

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("RETICULATE_PYTHON", sys.executable)
BLOCK = re.compile(r'"needs R: tests/docs/test_r_page.py runs it" -->\n```r\n(.*?)^```', re.MULTILINE | re.DOTALL)
READY = 'library(dplyr); library(reticulate); is.numeric(import("numpy")$zeros(2L)) || quit(status = 1)'


def rscript(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RETICULATE_PYTHON": PYTHON, "PYTHONPATH": str(ROOT)}
    return subprocess.run(["Rscript", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_r_gives_what_python_gives(model: Path, recordings: Path, tmp_path: Path) -> None:
    if rscript("-e", READY, cwd=tmp_path).returncode:
        pytest.skip("needs dplyr, and reticulate that takes arrays of this Python's NumPy (RETICULATE_PYTHON)")
    for name, place in {"b.wav": "marsh/20240512_053000.wav", "c.ogg": "wood/20240513_060000.ogg"}.items():
        (tmp_path / "recordings" / place).parent.mkdir(parents=True)
        shutil.copy(recordings / name, tmp_path / "recordings" / place)
    shutil.copy(model, tmp_path / "perch.onnx")
    blocks = BLOCK.findall((ROOT / "docs" / "r.md").read_text())
    assert len(blocks) == 2
    ending = 'write.csv(by_hour, "by_hour.csv", row.names = FALSE); write.csv(rows, "rows.csv", row.names = FALSE)'
    (tmp_path / "page.R").write_text("\n".join([*blocks, ending]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        expected = run_soundscapes("recordings/", "perch.onnx", workers=1, progress=False)
        run_soundscapes(
            "recordings/",
            "perch.onnx",
            sink="detections.csv",
            detections=Detections(top=1),
            site_from="{site}/*",
            workers=1,
            progress=False,
        )
    done = rscript("page.R", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = expected.classes["label"]
    best = [names[column] for column in expected["label"].argmax(axis=1)]
    with (tmp_path / "rows.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["row_id"], row["path"], float(row["start_s"]), row["best"]) for row in rows] == list(
        zip(expected.row_ids, expected.paths, expected.start_s.tolist(), best, strict=True)
    )
    with (tmp_path / "by_hour.csv").open() as lines:
        counts = {(row["site"], row["hour"], row["class"]): int(row["n"]) for row in csv.DictReader(lines)}
    assert counts == Counter(
        ("marsh", "05", name) if "marsh" in path else ("wood", "06", name) for path, name in zip(expected.paths, best)
    )
