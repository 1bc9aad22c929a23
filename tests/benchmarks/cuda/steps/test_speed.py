"""Which options `perch-bench cuda` takes for the fastest, and what it says of goals and the ceiling."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cuda.step import Context, Result
from benchmarks.cuda.steps import speed
from benchmarks.cuda.steps.points import Pair
from runtime.model.cuda_options import CudaOptions

RATES = {"nhwc": 2.0, "graph": 1.01, "fuse_bias": 5.0}
"""By which factor an option is said to be faster."""


class Card:
    """Points of a card that does not exist: 1,000 windows/s, times the factors of the options."""

    def __init__(self, context: Context) -> None:
        self.forget = lambda: None

    def measure(self, pairs: Mapping[Pair, CudaOptions], batch: int) -> dict[Pair, Result]:
        return {pair: self._point(*pair, options, batch) for pair, options in pairs.items()}

    def _point(self, model: str, precision: str, options: CudaOptions, batch: int) -> Result:
        if precision == "float16" and options.nhwc:
            return {"error": "no kernel"}
        rate = 1000.0 * batch / 64
        for name, factor in RATES.items():
            rate *= factor if getattr(options, name) else 1
        off = 0.5 if options.fuse_bias else 0.0
        return {
            "model": model,
            "precision": precision,
            "batch": batch,
            "options": asdict(options),
            "load_s": 0.0,
            "first_s": 0.0,
            "off": {"label": off},
            "windows_per_s": {"median": rate},
            "with_copies": rate,
        }


@pytest.fixture
def context(model: Path, tmp_path: Path) -> Context:
    possible = {"arithmetic_alone": 100_000.0, "layer_by_layer": {"256": 80_000.0}}
    done = {"ceiling": {"trials": {"work one": {"float32": possible}}}}
    models = {"one": model, "two": model}
    return Context(models, "cuda:0", None, None, False, time.monotonic() + 60, tmp_path, done, tf32=False)


def test_a_second_call_goes_on_after_outputs_that_were_not_finite(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "Points", Card)
    first = Card(context).measure({("one", "float32"): CudaOptions()}, 64)["one", "float32"]
    point = {**first, "off": {"label": None}, "tried": False, "wrong": ["label"]}  # as JSON holds it
    found = speed.measure(replace(context, begun={"trials": {"one": {"points": [point]}}}), lambda _: None)
    points = [each for trial in found["trials"].values() for each in trial["points"] if "wrong" in each]
    assert {tuple(each["wrong"]) for each in points if each.get("off") == {"label": 0}} == {()}
    assert point in points and len(points) > 3


def test_options_are_kept_that_are_faster_and_right(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "Points", Card)
    kept: list[Result] = []
    result = speed.measure(context, kept.append)
    best = {(each["model"], each["precision"]): each for each in result["best"]}
    usual = asdict(CudaOptions())
    assert best["one", "float32"]["options"] == {**usual, "nhwc": True}
    assert best["two", "float32"]["options"] == {**usual, "nhwc": True}  # as of the first file of its family
    assert best["one", "float16"]["options"] == usual  # a graph gains too little, and fuse_bias is wrong
    assert best["one", "float32"]["windows_per_s"]["median"] == 8000
    assert best["one", "float32"]["share"] == {"arithmetic_alone": 0.08, "layer_by_layer": 0.1}
    goals = {(each["model"], each["precision"]): each["by"] for each in result["goals"]}
    assert goals["one", "float32"] == pytest.approx(8000 / 3000 - 1)
    assert goals["one", "float16"] == pytest.approx(4000 / 9000 - 1)
    said = "\n".join(speed.lines(result))
    assert "one float16, fuse_bias: 5.00 times as fast" in said
    assert "! WRONG: one float16, batch 64, fuse_bias: label" in said
    assert "one float32                       31      62     125" in said

    second = replace(context, tf32=True, begun=kept[-1])
    result = speed.measure(second, kept.append)
    assert {each["precision"] for each in kept[-1]["best"]} == {"float32", "float16", "tf32"}
    assert [each["precision"] for each in result["best"]] == ["float32", "float16", "tf32"] * 2
    assert best["one", "float32"] in result["best"]


def test_what_does_not_fit_into_the_time_is_listed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "Points", Card)
    short: Any = speed.measure(replace(context, until=time.monotonic()), lambda _: None)
    assert short["best"] == []
    assert set(short["trials"]) == {
        f"a run's options: {name} {precision}, batch 64"
        for name in ("one", "two")
        for precision in ("float32", "float16")
    }
    assert all("no time" in trial["skipped"] for trial in short["trials"].values())


def test_wrong_outputs_are_marked_at_every_batch() -> None:
    usual = asdict(CudaOptions())
    graph = {**usual, "graph": True}

    def point(batch: int, rate: float, options: Result, tried: bool, *wrong: str) -> Result:
        about = {"model": "one", "precision": "float16", "batch": batch, "options": options, "tried": tried}
        return {**about, "windows_per_s": {"median": rate}, "with_copies": rate, "wrong": list(wrong)}

    points = [
        point(64, 100, usual, False),
        point(64, 150, graph, True),
        point(64, 120, graph, False),  # measured again: the best of many figures is not the rate of that batch
        point(128, 110, usual, False),
        point(128, 200, graph, False, "label"),
        point(256, 9500, usual, False, "label", "embedding"),
    ]
    table = list(speed.lines({"trials": {"all": {"points": points}}}))
    assert table[:2] == [
        "windows/s, at batch               64     128     256",
        "one float16                      120     110  9,500!",
    ]
    assert "! WRONG: one float16, batch 256, a run's options: label, embedding" in table
    assert "! WRONG: one float16, batch 128, graph: label" in table
