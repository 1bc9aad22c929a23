"""From files to rows: how near a run comes to the slower of decoding alone and the card alone.

On a CPU the same processes do it, decoders and one scorer, which shows that they work but says nothing of a card.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.cuda.recordings import DISTINCT, FORMATS, by_format, enough
from benchmarks.cuda.step import Context, Keep, Result, Trials
from benchmarks.cuda.steps.precisions import Precision, file_for, options_for, variants
from benchmarks.throughput.full_run import RunPlan, lead, time_full_run
from benchmarks.throughput.workers import WorkerConfig, Workers, measured_outputs
from runtime.errors import counted
from runtime.model import cuda
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.profile import Setup
from runtime.workers.setup import default_batch

GOAL = 0.9
"""Of the slower of the two."""
DECODERS = (16, 8, 4, 2, 1)
MAIN = "ogg"
"""The format with which every number of decoders and every model is tried first."""
SECONDS, SHORT_S, QUICK_S = 3.0, 0.8, 0.2
"""How long a run scores; how long a part of it alone is timed; and either, to see that it works."""
START_S = {"cpu": 6.0, "cuda": 8.0}
"""Seconds that a run is assumed to need before it scores, until one has been timed."""


def measure(context: Context, keep: Keep) -> Result:
    """Times runs, the most telling first."""
    if context.on_gpu:
        cuda.forbid_tf32()  # in the processes that are started here, as in those of a run
    counts = [count for count in DECODERS if count <= (os.cpu_count() or 1)][: 1 if context.quick else None]
    kinds = (MAIN,) if context.quick else (MAIN, *(kind for kind in FORMATS if kind != MAIN))
    audio = "synthetic, of a minute at 32 kHz" if context.audio is None else str(context.audio)
    trials = Trials(context, keep, {"goal": GOAL, "audio": audio, "decoders": counts})
    distinct = 1 if context.quick else DISTINCT
    recordings = by_format(kinds, context.audio, context.scratch / "recordings", distinct)
    first, *others = [_Runs(*pair, recordings, context, trials) for pair in variants(context)]
    order = [(first, kind, counts[0]) for kind in kinds]
    if not context.quick:
        order += [(each, MAIN, counts[0]) for each in others if each.name == first.name]
        order += [(first, MAIN, count) for count in counts]
        order += [(each, MAIN, counts[0]) for each in others]
        order += [(first, kind, count) for kind in kinds for count in counts]
    for runs, kind, count in dict.fromkeys(order):
        runs.measure(kind, counts, count)
    return trials.result()


@dataclass(frozen=True, eq=False)
class _Runs:
    """The runs of one file and precision."""

    name: str
    precision: Precision
    recordings: Mapping[str, Sequence[Path]]
    context: Context
    trials: Trials

    def measure(self, kind: str, counts: Sequence[int], count: int) -> None:
        """A run over recordings of a format with so many decoders, and before it what it is compared with."""
        card = self.trials.measure(f"{self._title} alone", self._card_alone, self._needs_s(SHORT_S))
        several = counts if kind == MAIN else counts[:1] if count == counts[0] else counts[1:]
        title = f"decoding {kind} alone, decoders: {', '.join(map(str, several))}"
        decoding = self.trials.measure(title, lambda: self._decoding_alone(kind, several))
        card_rate, card_rate_from = self._card_rate(card)
        bounds = [card_rate, decoding.get("windows_per_s", {}).get(str(count))]
        known = [float(bound) for bound in bounds if bound]
        seconds = QUICK_S if self.context.quick else SECONDS if count == counts[0] else SECONDS / 2

        def run() -> Result:
            return self._run(kind, count, min(known, default=100.0) * seconds)

        title = f"{self._title}, {kind}, {counted(count, 'decoder')}"
        found = self.trials.measure(title, run, self._needs_s(seconds))
        if len(known) == len(bounds) and "windows_per_s" in found:
            share = found["windows_per_s"] / min(known)
            found |= {"bounds": known, "card_rate_from": card_rate_from, "share": share}

    def _card_rate(self, alone: Result) -> tuple[float | None, str]:
        """What the card does at best in a run's batch with its options, and which step measured it: this one, with
        copies, or `speed`, without."""
        about = {"model": self.name, "precision": self.precision, "batch": self._batch}
        about |= {"options": asdict(options_for(self.precision))}
        trials = self.context.done.get("speed", {}).get("trials", {}).values()
        points = [point for trial in trials for point in trial.get("points", ()) if "windows_per_s" in point]
        rates = [point["windows_per_s"]["median"] for point in points if about.items() <= point.items()]
        here = alone.get("windows_per_s")
        there = max(rates, default=None)
        return (there, "speed") if there is not None and there > (here or 0.0) else (here, "files")

    @property
    def _title(self) -> str:
        return f"{self.name} {self.precision}"

    @property
    def _path(self) -> Path:
        return file_for(self.context, self.name, self.precision)

    @property
    def _artifact(self) -> Artifact:
        return read_artifact(self.context.models[self.name])

    @property
    def _batch(self) -> int:
        return _batch(self.context.models[self.name], self.context.device)

    def _needs_s(self, seconds: float) -> float:
        """For a process that starts and then works for so long."""
        if self.context.quick:
            return 0.0
        took = [found["took_s"] - found["scoring_s"] for found in self.trials.found.values() if "scoring_s" in found]
        return seconds + max(took, default=START_S["cuda" if self.context.on_gpu else "cpu"])

    def _workers(self, kind: str, count: int) -> Workers:
        config = WorkerConfig(self._path, self.context.device, 1, tuple(self.recordings[kind]), {})
        return Workers(config, count)

    def _card_alone(self) -> Result:
        """One process that computes windows which lie in memory, in as many threads as a run, copies to the card and
        back included."""
        seconds, batch = QUICK_S if self.context.quick else SHORT_S, self._batch
        with self._workers(MAIN, 1) as processes:
            processes.work("lanes", 1, batch, 0.0)
            rate, _ = processes.work("lanes", 1, batch, seconds)
        return {"windows_per_s": rate, "batch": batch, "outputs": list(measured_outputs(self._artifact))}

    def _decoding_alone(self, kind: str, counts: Sequence[int]) -> Result:
        """As many processes as a run has decoders, which turn files into windows and do nothing with them."""
        seconds = QUICK_S if self.context.quick else SHORT_S
        with self._workers(kind, counts[0]) as processes:
            rates = {str(count): processes.work("windows", count, 1, seconds)[0] for count in counts}
        return {"windows_per_s": rates}

    def _run(self, kind: str, count: int, windows: float) -> Result:
        started, artifact, batch = time.monotonic(), self._artifact, self._batch
        setup = Setup(count, 1, batch)
        windows += lead(setup)
        paths = enough(self.recordings[kind], windows, artifact, self.context.scratch / f"{kind}-links")
        outputs = measured_outputs(artifact)
        run = time_full_run(RunPlan(paths, self._path, outputs, self.context.device, setup, staged=True))
        return {
            "model": self.name,
            "precision": self.precision,
            "format": kind,
            "decoders": count,
            "batch": batch,
            "windows_per_s": run.windows_per_s,
            "windows": run.windows,
            "start_up_s": run.start_up_s,
            "scoring_s": run.windows / run.windows_per_s,
            "took_s": time.monotonic() - started,
            "complaint": run.complaint,
        }


@cache
def _batch(model: Path, device: str) -> int:
    """That of a run. Asking for it starts a process which loads CUDA, so it is asked once."""
    return default_batch(read_artifact(model), device)


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A line for each run, then what failed or was skipped."""
    trials = result.get("trials", {})
    yield f"{'windows/s':<32}{'files to rows':>14}{'decoding alone':>16}{'card alone':>12}{'of the slower':>15}"
    for name, found in trials.items():
        if "share" in found:
            card, decoding = found["bounds"]
            met = "" if found["share"] >= GOAL else f", goal {GOAL:.0%}"
            met += ", card as in speed" if found.get("card_rate_from") == "speed" else ""
            yield f"{name:<32}{found['windows_per_s']:>14.0f}{decoding:>16.0f}{card:>12.0f}{found['share']:>15.0%}{met}"
        if found.get("complaint"):
            yield f"  {found['complaint']}"
