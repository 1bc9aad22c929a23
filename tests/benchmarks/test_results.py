"""results.md is made from the figures of the commands alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.results import plots
from benchmarks.results.__main__ import DOCS
from benchmarks.results.page import write_results
from runtime.errors import InputError

PHONE = 343
"""What a window of 390 px leaves for a picture on GitHub and on the site, beside a scroll bar."""
ENVIRONMENT = {
    "date": "2026-01-02",
    "processor": "Some Processor",
    "cores": 3,
    "memory_gib": 7.5,
    "system": "Linux x86_64",
    "python": "3.11.1",
    "versions": {"onnxruntime": "1.2.3"},
}
NOISE = {"spread": 1.31, "worst_spread": 1.4, "others": 0.01, "noisy": "the machine is noisy: rounds differ"}


def parts(workers: int) -> dict[str, Any]:
    return {
        "setup": {"workers": workers, "threads": 1, "batch_size": 2},
        "stages_s_a_window": {"decode": 0.004, "graph": 0.021},
        "run_windows_per_s": {"median": 40.25},
        "processes": {"start_up_s": 0.75},
    }


def configuration(workers: int, batch: int, rate: float | None) -> dict[str, Any]:
    return {
        "workers": workers,
        "threads": 1,
        "batch_size": batch,
        "windows_per_s": {"median": rate},
        "times_real_time": rate and rate * 5,
        "memory_bytes": 2**20 * 300,
    }


THROUGHPUT = {
    "environment": ENVIRONMENT,
    "method": "How it was measured.",
    "recordings": 6,
    "device": "cpu",
    "noise": NOISE,
    "files": [
        {
            "file": "somewhere/int8_head.onnx",
            "outputs": ["label"],
            "configurations": [configuration(2, 1, 61.5), configuration(1, 4, 33.0), configuration(1, 1, None)],
            "parts": [parts(1), parts(2)],
        }
    ],
}


def test_page_holds_the_figures_and_the_plots(tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "v2.throughput.json").write_text(json.dumps(THROUGHPUT))
    page = write_results(figures, tmp_path / "results.md").read_text()
    assert "## Perch v2" in page and "## Perch v1" not in page
    assert "2026-01-02, Some Processor, 3 cores, 7.5 GiB; Linux x86_64, Python 3.11.1; onnxruntime 1.2.3." in page
    assert "**Int8 head** (label): the three fastest of 3 setups." in page
    one, two = (f"{workers} {plots.TIMES} 1, batch" for workers in (1, 2))
    assert f"| {two} 1 | 61.5 | 308 | 300 |" in page
    assert f"| {one} 1 | - | - | 300 |" in page
    assert f"| stage, ms per window and process | {one} 2 | {two} 2 |\n| --- | --- | --- |\n" in page
    assert "| decode | 4.00 | 4.00 |\n| graph | 21.00 | 21.00 |\n| files to rows, windows/s | 40.2 | 40.2 |\n" in page
    assert "| start-up, s | 0.75 | 0.75 |" in page
    assert "**The machine is noisy: rounds differ.**" in page
    assert [path.name for path in figures.glob("*.svg")] == ["v2.throughput.svg"]
    assert "](figures/v2.throughput.svg)" in page


def test_a_section_names_its_machine_and_method_where_they_differ(tmp_path: Path) -> None:
    other = {**THROUGHPUT, "environment": {**ENVIRONMENT, "cores": 9}, "method": "Measured in another way."}
    (tmp_path / "v1.throughput.json").write_text(json.dumps(THROUGHPUT))
    (tmp_path / "v2.throughput.json").write_text(json.dumps(other))
    method, first, second = write_results(tmp_path, tmp_path / "results.md").read_text().split("\n## ")[1:]
    assert "How it was measured. Measured in another way." in method
    assert ["cores" in section for section in (method, first, second)] == [False, True, True]
    assert "3 cores" in first and "9 cores" in second


def test_other_machines_are_a_table(tmp_path: Path) -> None:
    (tmp_path / "v2.throughput.json").write_text(json.dumps(THROUGHPUT))
    (tmp_path / "other").mkdir()
    ways = {
        "perch-onnx": {"kind": "measured", "total_minutes": 2.7638, "interval_minutes": [2.7638, 2.7638]},
        "TensorFlow as published": {"kind": "projected", "total_minutes": 100.4, "interval_minutes": [88.58, 111.43]},
        "TensorFlow without XLA": {"kind": "not projected", "total_minutes": 50, "interval_minutes": [10, 90]},
    }
    environment = {**ENVIRONMENT, "processor": "Other Processor"}
    (tmp_path / "other" / "v1.deadline.json").write_text(json.dumps({"environment": environment, "ways": ways}))
    (tmp_path / "other" / "v2.parity.json").write_text(json.dumps({"environment": environment, "passed": False}))
    page = write_results(tmp_path, tmp_path / "results.md").read_text()
    (table,) = re.findall(r"## Other machines.*?\n\n.*?\n\n(.*)", page, re.DOTALL)
    assert [[cell.strip() for cell in line.split("|")[2:-1]] for line in table.splitlines()[2:]] == [
        ["Perch v1", "2.76", "100 (88.6 to 111)", "-", "-"],
        ["Perch v2", "-", "-", "-", "**no**"],
    ]
    assert "| Other Processor, 3 cores, 7.5 GiB (2026-01-02) | Perch v1 |" in table


def test_what_lies_in_docs_is_made_from_the_figures_in_docs(tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    shutil.copytree(DOCS / "figures", figures, ignore=shutil.ignore_patterns("*.svg"))
    assert write_results(figures, tmp_path / "results.md").read_text() == (DOCS / "results.md").read_text()
    for path in figures.glob("*.svg"):
        # Coordinates depend on matplotlib's version, words do not.
        assert words(path) == words(DOCS / "figures" / path.name)
    assert {path.name for path in figures.iterdir()} == {path.name for path in (DOCS / "figures").iterdir()}


def words(picture: Path) -> list[str]:
    return [text for element in ElementTree.parse(picture).iter() if (text := (element.text or "").strip())]


def test_pictures_follow_the_colour_scheme_are_read_on_a_phone_and_do_not_change(tmp_path: Path) -> None:
    series = {(2, 1): {1: 61.5, 2: 60.25}, (1, 2): {2: 33.0}}
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    plots.throughput(first, series)
    plots.throughput(second, series)
    drawing = first.read_text()
    assert drawing == second.read_text()
    style, rest = re.fullmatch("(.*<style.*?</style>)(.*)", drawing, re.DOTALL).groups()  # type: ignore[union-attr]
    light, dark = (dict(re.findall(r"--(\w+): (#\w+)", part)) for part in style.split("prefers-color-scheme: dark"))
    used = set(re.findall(r"var\(--(\w+)\)", rest))
    assert used == light.keys() == dark.keys()
    assert all(light[name] != dark[name] for name in used)
    assert not re.findall("#[0-9a-f]{6}", rest)  # a colour that stays the same on a dark page
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", rest)]
    _, _, width, _ = map(float, ElementTree.fromstring(drawing).attrib["viewBox"].split())
    assert min(sizes) * PHONE / width >= 10


def point(precision: str, batch: int, rate: float, **more: object) -> dict[str, Any]:
    about = {"model": "v1_234", "precision": precision, "batch": batch, "options": {}, "tried": False}
    return {**about, "windows_per_s": {"median": rate}, **more}


def head(share: float | None, error: float | None) -> dict[str, Any]:
    found = {"failures": [] if error else ["error"], "held_to": "its tolerance", "top1_equal": 1, "windows": 2}
    return {**found, "share": share, "error": error, "cosine_distance": error}


CUDA = {
    "device": "cuda:0",
    "card": "Some Card",
    "models": {"v1_234": {"family": "perch_v1", "classes": 234, "graph_for": "cuda"}},
    "environment": ENVIRONMENT,
    "skipped": {"nodes": "the time was over"},
    "steps": {
        "doctor": {"card": {"driver_version": "999.1"}},
        "ceiling": {
            "trials": {
                "product float16": {"flop_per_s": 9e12, "relative_error": None},
                "work v1_234": {"tf32": {"layer_by_layer": {"8": 9000.0}}},
            }
        },
        "speed": {
            "error": "it did not end in its time, so its process was ended",
            "trials": {
                "a": {"points": [point("tf32", 8, 4000.4, wrong=[]), {"error": "it failed"}]},
                "b": {"points": [point("tf32", 8, 5000.0, wrong=["label"]), point("tf32", 1, 700.0, wrong=[])]},
                "c": {"points": [point("tf32", 8, 4500.2, wrong=[]), point("float16", 1, 900.0, wrong=[])]},
            },
        },
        "agreement": {
            "trials": {"v1_234 float16": {"heads": {"a": head(0.5, 0.01), "b": head(None, None)}, "equal": False}}
        },
        "files": {"goal": 0.9},
    },
}


def test_page_shows_a_gpu_whose_measurement_was_cut_short(tmp_path: Path) -> None:
    (tmp_path / "cuda.json").write_text(json.dumps(CUDA))
    page = write_results(tmp_path, tmp_path / "results.md").read_text()
    assert "**Some Card**, driver 999.1: `perch-bench cuda` measured v1_234 there" in page
    assert "CPU provider" not in page and "--quick" not in page
    assert "**V1 234** (perch v1, 234 classes, graph for cuda):" in page
    assert "| batch | tf32 | float16 |\n| --- | --- | --- |\n| 1 | 700 | 900 |\n| 8 | 4,500 | - |\n" in page
    for sentence in ("speed: it did not end in its time", "a: it failed", "nodes: the time was over"):
        assert sentence in page
    assert "| v1 234 float16 | `b` | - | - | 1 of 2 | **not equal** |" in page  # null: it is not finite
    assert "product float16       9.0 TFLOP/s, off by inf" in page
    assert re.findall("^### (.*)", page, re.M) == ["Graph alone", "Card", "Agreement", "Wrong, failed or skipped"]
    shown = words(tmp_path / "cuda.svg")
    assert {"v1 234", "tf32", "float16", "ceiling"} <= set(shown) and "float32" not in shown


def test_without_figures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make results"):
        write_results(tmp_path, tmp_path / "results.md")
    (tmp_path / "v1.parity.json").write_text("{")
    with pytest.raises(InputError, match=r"v1\.parity\.json cannot be read"):
        write_results(tmp_path, tmp_path / "results.md")
