"""How many windows/s a card computes, from windows on the card to outputs on the card, in each precision.

1. Every file and precision at one batch with the options of a run, so that nothing is without a figure; then, while it
   is loaded, at the largest batches.
2. Options that may be faster, one after another at that batch; one is kept if it is faster and the outputs are right.
3. All batches with the options that were kept, the precisions of a file in turns.
4. Options from which less is expected, and the batches again where one of them was kept.

A figure is the median of the rounds, each the median of its calls; beside it stands the spread of the rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks.cuda.step import Context, Keep, Result, Trials, figure
from benchmarks.cuda.steps.agreement import tolerance_of
from benchmarks.cuda.steps.points import ROUND_S, ROUNDS, Pair, Points
from benchmarks.cuda.steps.precisions import precisions
from benchmarks.cuda.steps.rates import changes, kept_options, named, shown, table, wrong
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.cuda_options import CudaOptions

BATCH, QUICK_BATCH = 64, 2
"""At which options are compared."""
LARGE = (128, 256)
BATCHES, QUICK_BATCHES = (*LARGE, BATCH, 32, 16, 8, 1, 4, 2), (1,)
Changes = Sequence[tuple[str, Mapping[str, Any], tuple[str, ...]]]
CHANGES: Changes = (
    ("nhwc", {"nhwc": True}, ("float16", "tf32")),
    ("graph", {"graph": True}, ("float16", "tf32", "float32")),
    ("fuse_bias", {"fuse_bias": True}, ("float16", "tf32")),
)
LATE_CHANGES: Changes = (
    ("nhwc", {"nhwc": True}, ("float32",)),
    ("exhaustive", {"conv_search": "EXHAUSTIVE"}, ("float16", "tf32", "float32")),
)
"""What is changed and in which precisions, the change from which most is expected first. Of several files of a family
and for the same device, the first stands for all."""
FIRST_S, SWEEP_SHARE = 6.0, 0.4
"""Seconds that a first point is assumed to need, and the share of the step's time that is kept for all batches."""
TIMES, MOST_OFF = 3.0, 0.5
"""Options may move outputs by so many times what their precision does, and by so much of a head's range at most:
weights that are random can amplify the rounding of float16 beyond the tolerance, but not so far."""
SLICE = 1000
"""Classes up to which a file counts as one of a competition's classes."""


Kept = Mapping[Pair, CudaOptions]


@dataclass(frozen=True)
class Goal:
    """What the project wants of an H100: windows/s at whatever batch is fastest."""

    family: str
    sliced: bool | None
    precision: str
    windows_per_s: float

    def fits(self, artifact: Artifact, precision: str) -> bool:
        label = artifact.heads.get("label")
        sliced = label is not None and len(label.classes) <= SLICE
        return (self.family, self.precision) == (artifact.family, precision) and self.sliced in (None, sliced)


GOALS = (
    Goal("perch_v1", None, "float32", 3000),
    Goal("perch_v1", None, "tf32", 5000),
    Goal("perch_v1", None, "float16", 9000),
    Goal("perch_v2", True, "tf32", 2500),
    Goal("perch_v2", False, "float16", 1500),
)


def measure(context: Context, keep: Keep) -> Result:
    """All points, the best of each file and precision, and the goals."""
    speed = _Speed(context, keep)
    speed.at_a_runs_options()
    tries_options = context.on_gpu and not context.quick
    if tries_options:
        speed.with_changes(CHANGES, SWEEP_SHARE)
    before = speed.at_all_batches("batches", {})
    if tries_options:
        speed.with_changes(LATE_CHANGES)
        speed.at_all_batches("batches again", before)
    return speed.result()


class _Speed:
    """The measurement, in its parts."""

    def __init__(self, context: Context, keep: Keep) -> None:
        self.trials = Trials(context, lambda found: keep({**found, **self._summary()}))
        self._context, self._points = context, Points(context)
        self._artifacts = {name: read_artifact(path) for name, path in context.models.items()}
        self._pairs = [(name, each) for name in context.models for each in precisions(context, name)]

    def at_a_runs_options(self) -> None:
        for number, pair in enumerate(self._pairs):
            usual = {pair: CudaOptions()}
            self._measure("a run's options", usual, self._batch(pair), FIRST_S)
            reserve_s = FIRST_S * (len(self._pairs) - number - 1)
            sizes = LARGE if self._measured(pair) and set(LARGE) <= set(self._sizes(pair[0])) else ()
            for size in sizes:
                if not self._fits("a run's options", usual, size, self._needs_s([pair], size), reserve_s):
                    break
            self._points.forget()

    def with_changes(self, changes: Changes, share: float = 0) -> None:
        """Tries options; a share of the time that is left is kept for what follows."""
        reserve_s = share * self._context.left()
        for change, changed, computed_in in changes:
            for pair in self._pairs:
                is_first = pair[1] in computed_in and self._leader(pair) == pair
                if is_first and (options := self._kept(pair)) is not None:
                    needs_s = self._needs_s([pair], self._batch(pair), load=[pair])
                    wanted = {pair: replace(options, **changed)}
                    self._measure(change, wanted, self._batch(pair), needs_s, reserve_s)
                    self._points.forget()

    def at_all_batches(self, what: str, before: Kept) -> Kept:
        """The batches without a figure in the options that were kept, the most valuable first, unless the options are
        those kept before. A file whose share of the time is over stops there, and goes on with what others leave."""
        now = {pair: self._kept(pair) for pair in self._pairs}
        kept = {pair: each for pair, each in now.items() if each is not None and each != before.get(pair)}
        names = list(self._artifacts)
        for number, name in enumerate(names):
            later = len(names) - number - 1
            self._batches(what, name, kept, self._context.left() * later / (later + 1))
        for name in names:
            self._batches(what, name, kept, None)
        return kept

    def _batches(self, what: str, name: str, all_kept: Kept, reserve_s: float | None) -> None:
        """Those of one file. One that does not fit is left for later; without a reserve, it is skipped."""
        kept = {pair: options for pair, options in all_kept.items() if pair[0] == name}
        loaded: set[Pair] = set()
        for size in self._sizes(name):
            wanted = {pair: each for pair, each in kept.items() if not self._has(pair, each, size)}
            if not wanted:
                continue
            needs_s = self._needs_s(list(wanted), size, load=[pair for pair in wanted if pair not in loaded])
            if reserve_s is None:
                self._measure(what, wanted, size, needs_s)
            elif not self._fits(what, wanted, size, needs_s, reserve_s):
                break
            loaded |= set(wanted)
        self._points.forget()

    def _fits(
        self, what: str, wanted: Mapping[Pair, CudaOptions], batch: int, needs_s: float, reserve_s: float
    ) -> bool:
        """Measures if the time allows it; what does not fit is not marked as skipped, so that it may be tried later."""
        if fits := self._context.left() - reserve_s >= needs_s:
            self._measure(what, wanted, batch, needs_s, reserve_s)
        return fits

    def _measure(
        self, what: str, wanted: Mapping[Pair, CudaOptions], batch: int, needs_s: float, reserve_s: float = 0
    ) -> None:
        (model, precision), *others = wanted
        name = f"{what}: {model}{'' if others else f' {precision}'}, batch {batch}"
        self.trials.measure(name, partial(self._points_of, what, wanted, batch), needs_s, reserve_s)

    def _points_of(self, what: str, wanted: Mapping[Pair, CudaOptions], batch: int) -> Result:
        points = self._points.measure(wanted, batch)
        tried = any(what == change for change, *_ in (*CHANGES, *LATE_CHANGES))
        return {"points": [{**each, "tried": tried, "wrong": self._wrong(pair, each)} for pair, each in points.items()]}

    def _has(self, pair: Pair, options: CudaOptions, batch: int) -> bool:
        """Whether a batch has a figure in these options that was not measured only to choose them."""
        points = [each for each in self._measured(pair) if each["batch"] == batch and not each["tried"]]
        return any(replace(CudaOptions(**each["options"]), tf32=options.tf32) == options for each in points)

    def _wrong(self, pair: Pair, point: Mapping[str, Any]) -> list[str]:
        """The outputs that are further off than options may move them, to judge by the first point of the pair."""
        name, precision = pair
        first = next(iter(self._measured(pair)), point)
        wrong = []
        for head, off in point.get("off", {}).items():
            usual = tolerance_of(self._artifacts[name], head, precision).error
            if figure(off) > min(max(usual, TIMES * figure(first["off"][head])), MOST_OFF):
                wrong.append(head)
        return wrong

    def _needs_s(self, pairs: Sequence[Pair], batch: int, load: Sequence[Pair] = ()) -> float:
        """About how many seconds a trial takes, to judge by the first point of each pair."""
        needed = 0.0
        for pair in pairs:
            first = self._measured(pair)[0]
            call_s = batch / first["windows_per_s"]["median"]
            needed += 4 * call_s + (ROUNDS + 1) * max(ROUND_S, call_s)
            needed += first["first_s"] + (first["load_s"] if pair in load else 0)
        return needed

    def _leader(self, pair: Pair) -> Pair:
        """The pair whose options serve this one: of the first file of the family that is made for the same device."""

        def kind(name: str) -> tuple[str, str]:
            artifact = self._artifacts[name]
            return artifact.family, artifact.options.get("device", "cpu")

        return next(
            (name, precision) for name, precision in self._pairs if (kind(name), precision) == (kind(pair[0]), pair[1])
        )

    def _batch(self, pair: Pair) -> int:
        most = QUICK_BATCH if self._context.quick else BATCH
        return most if self._artifacts[pair[0]].free_batch else 1

    def _sizes(self, name: str) -> tuple[int, ...]:
        if not self._artifacts[name].free_batch:
            return ()
        return QUICK_BATCHES if self._context.quick else BATCHES

    def _measured(self, pair: Pair) -> list[Result]:
        """The points of a pair, in the order in which they were measured."""
        points = [point for trial in self.trials.found.values() for point in trial.get("points", ())]
        return [each for each in points if (each.get("model"), each.get("precision")) == pair and "error" not in each]

    def _kept(self, pair: Pair) -> CudaOptions | None:
        """The fastest options of a pair whose outputs are right; those of a run unless others gain something. None if
        it has no point, for then it has failed."""
        if not self._measured(pair):
            return None
        kept = kept_options(self._measured(self._leader(pair)))
        return CudaOptions() if kept is None else replace(CudaOptions(**kept), tf32=CudaOptions().tf32)

    def _all_pairs(self) -> list[Pair]:
        """All that have a point, those of an earlier process, too, file by file."""
        points = [each for trial in self.trials.found.values() for each in trial.get("points", ()) if "model" in each]
        pairs = dict.fromkeys((each["model"], each["precision"]) for each in points)
        return sorted(pairs, key=lambda pair: list(self._artifacts).index(pair[0]))

    def _summary(self) -> Result:
        return {"best": self._best(), "goals": self._goals()}

    def result(self) -> Result:
        """All points, and what they come to."""
        return {**self.trials.result(), **self._summary()}

    def _best(self) -> list[Result]:
        """The fastest right point of each pair, and its share of what the card can do at best."""
        found = []
        for pair in self._all_pairs():
            if points := [each for each in shown(self._measured(pair)).values() if not each["wrong"]]:
                best = max(points, key=lambda each: each["windows_per_s"]["median"])
                found.append({**best, "share": self._share(best)})
        return found

    def _share(self, point: Mapping[str, Any]) -> Result:
        """The part of the rates that `ceiling` found possible; nothing where it found none."""
        trials = self._context.done.get("ceiling", {}).get("trials", {})
        possible = trials.get(f"work {point['model']}", {}).get(point["precision"], {})
        if "layer_by_layer" not in possible:
            return {}
        rate = point["windows_per_s"]["median"]
        shares = {"arithmetic_alone": rate / possible["arithmetic_alone"]}
        if (at_best := possible["layer_by_layer"].get(str(point["batch"]))) is not None:
            shares["layer_by_layer"] = rate / at_best
        return shares

    def _goals(self) -> list[Result]:
        """Each goal that a file is for on a GPU, and by how much it was missed (negative) or exceeded."""
        found = []
        for best in self._best() if self._context.on_gpu else ():
            artifact = self._artifacts[best["model"]]
            for goal in GOALS:
                if goal.fits(artifact, best["precision"]):
                    rate = best["windows_per_s"]["median"]
                    more = {"goal": goal.windows_per_s, "reached": rate, "by": rate / goal.windows_per_s - 1}
                    found.append({"model": best["model"], "precision": best["precision"], **more})
        return found


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A table of all batches, what each change of options did, and the goals."""
    points = [point for trial in result.get("trials", {}).values() for point in trial.get("points", ())]
    good = [point for point in points if "windows_per_s" in point]
    yield from table(good)
    yield from changes(good)
    yield from wrong(good)
    for best in result.get("best", ()):
        shares = [f"{share:.0%} of {what.replace('_', ' ')}" for what, share in best["share"].items()]
        copied = f"{best['with_copies']:,.0f} with copies"
        rate = f"{best['windows_per_s']['median']:,.0f} windows/s at batch {best['batch']}"
        yield f"best {best['model']} {best['precision']}: " + "; ".join([rate, copied, *shares, named(best["options"])])
    for goal in result.get("goals", ()):
        yield (
            f"goal {goal['model']} {goal['precision']}: {goal['reached']:,.0f} of {goal['goal']:,.0f} windows/s "
            f"({goal['by']:+.0%})"
        )
