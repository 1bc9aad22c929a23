"""Makes results.md and its plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.cuda.steps.rates import named
from benchmarks.labelling.oracle import WAYS
from benchmarks.measuring.songs import shown_soundscape
from benchmarks.results import gpu, plots
from benchmarks.results.learning import draw_learning
from benchmarks.results.measure import COMMANDS, LABELLING, MODELS, TIMELINE, TIMELINE_MODEL
from benchmarks.results.sonogram import Lane, draw_timeline
from runtime.errors import InputError
from runtime.files import replacing

TEMPLATE = "results.md.jinja"
GPU = "cuda"
"""The figures of `perch-bench cuda`, which someone with a GPU measured and put there."""
NAMES = {"v1": "Perch v1", "v2": "Perch v2"}


def write_results(figures: Path, target: Path) -> Path:
    """Writes the page, and its plots into the folder of the figures; returns the page's path.

    Raises:
        InputError: there are no figures, or they cannot be used.
        OutputError: it cannot be written.
    """
    models = _read(figures)
    timeline, labelling = (_load(figures / f"{name}.json") for name in (TIMELINE, LABELLING))
    measured = _load(figures / f"{GPU}.json")
    if not models and all(found is None for found in (timeline, labelling, measured)):
        raise InputError(f"there are no figures in {figures}; `make results` measures them")
    _plot(figures, models)
    if timeline is not None:
        _draw_timeline(figures / f"{TIMELINE}.svg", timeline)
    if labelling is not None:
        draw_learning(figures / f"{LABELLING}.svg", labelling["ways"], labelling["precision"])
    if measured is not None and (speeds := gpu.speeds(measured)):
        gpu.draw(figures / f"{GPU}.svg", speeds)
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"power": _power, "share": _share, "rank": _rank, "minutes": _minutes}
    templates.filters["options"] = named
    templates.filters["file"] = lambda path: Path(path).stem.replace("_", " ")
    template = templates.get_template(TEMPLATE)
    page = template.render(
        models=models,
        names=NAMES,
        figures=figures.name,
        environments=_environments(models),
        machines=[found for folder in sorted(figures.glob("*/")) if (found := _read(folder))],
        timeline=timeline,
        timeline_model=NAMES[TIMELINE_MODEL],
        labelling=labelling,
        ways=WAYS,
        gpu=None if measured is None else gpu.view(measured),
    )
    with replacing(target) as temporary:
        temporary.write_text(page)
    return target


def _read(figures: Path) -> dict[str, dict[str, Any]]:
    """The figures of a machine, by model and command, as far as they exist."""
    models = {}
    for model in MODELS:
        loaded = {command: _load(figures / f"{model}.{command}.json") for command in COMMANDS}
        if found := {command: results for command, results in loaded.items() if results is not None}:
            models[model] = found
    return models


def _environments(models: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The machines, days and versions that figures are of, each once."""
    environments: list[dict[str, Any]] = []
    for results in (results for commands in models.values() for results in commands.values()):
        if results["environment"] not in environments:
            environments.append(results["environment"])
    return environments


def _load(path: Path) -> dict[str, Any] | None:
    """The figures of a file; None if there is none."""
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); run `make results` again") from None


def _draw_timeline(path: Path, found: dict[str, Any]) -> None:
    shown = shown_soundscape()
    lanes = [Lane(name, each["probabilities"], each["songs"]) for name, each in found["species"].items()]
    if {lane.name: list(lane.songs) for lane in lanes} != shown.rounded_songs:
        raise InputError(f"{TIMELINE}.json was measured on other songs than are made now; run `make results` again")
    middles = [start + found["window_s"] / 2 for start in found["starts"]]
    draw_timeline(path, shown.samples, middles, found["hop_s"], lanes)


def _plot(folder: Path, models: dict[str, dict[str, Any]]) -> None:
    races = []
    for model, commands in models.items():
        if parity := commands.get("parity"):
            heads = parity["files"][0]["heads"]
            errors = {name: (head["window_errors"], head["tolerance"]["error"]) for name, head in heads.items()}
            plots.errors(folder / f"{model}.parity.svg", errors)
        if deadline := commands.get("deadline"):
            bars = [_bar(name, way) for name, way in deadline["ways"].items() if way["kind"] != "not projected"]
            races.append(plots.Race(NAMES[model], bars, deadline["deadline_s"] / 60))
        if throughput := commands.get("throughput"):
            plots.throughput(folder / f"{model}.throughput.svg", _series(throughput["files"][0]))
    if races:
        plots.deadline(folder / "deadline.svg", races)


def _bar(name: str, way: dict[str, Any]) -> plots.Bar:
    low, high = way["interval_minutes"]
    projected = way["kind"] == "projected" and low is not None and high is not None
    return plots.Bar(name, way["total_minutes"], (low, high) if projected else None)


def _series(file: dict[str, Any]) -> dict[tuple[int, int], dict[int, float]]:
    """Windows/s by batch size, for each number of workers and threads."""
    series: dict[tuple[int, int], dict[int, float]] = {}
    for each in file["configurations"]:
        if each["windows_per_s"]["median"] is not None:
            setup = each["workers"], each["threads"]
            series.setdefault(setup, {})[each["batch_size"]] = each["windows_per_s"]["median"]
    return {setup: dict(sorted(series[setup].items())) for setup in sorted(series, reverse=True)}


def _power(value: float | None) -> str:
    """`1.2e-05`, or a dash for None."""
    return "-" if value is None else f"{value:.1e}"


def _share(value: float | None) -> str:
    """`12.3%`, or a dash for None."""
    return "-" if value is None else f"{value:.1%}"


def _minutes(way: dict[str, Any]) -> str:
    """`2.76`; `100 (88.6 to 111)` if it is projected, a dash if it could not be."""
    if way["kind"] == "not projected":
        return "-"
    low, high = way["interval_minutes"]
    interval = f" ({low:.3g} to {high:.3g})" if way["kind"] == "projected" and low is not None else ""
    return f"{way['total_minutes']:.3g}{interval}"


def _rank(value: float | None) -> str:
    """`0.99983`, or a dash for None."""
    return "-" if value is None else f"{value:.5f}"
