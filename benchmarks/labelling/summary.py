"""Medians over the seeds, with the least and the greatest."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.labelling.oracle import WAYS, Score
from runtime.explore.tables import format_table

Games = Mapping[str, Sequence[Sequence[Score]]]
"""The scores of each way, seed by seed, round by round."""


def summarize(games: Games) -> dict[str, list[dict[str, Any]]]:
    """The figures of each way, round by round."""
    return {way: [_of_round(seeds, i) for i in range(len(seeds[0]))] for way, seeds in games.items()}


def _of_round(seeds: Sequence[Sequence[Score]], i: int) -> dict[str, Any]:
    scores = [rounds[i] for rounds in seeds]
    given, right = (sum(getattr(score, name) for score in scores) for name in ("given", "right"))
    precise = [(score, score.right / score.given) for score in scores if score.given]
    told = [(score.interval, precision) for score, precision in precise if score.interval is not None]
    gains = [rounds[i].average_precision - rounds[i - 1].average_precision for rounds in seeds] if i else []
    claims = [score.claimed for score, _ in precise if score.claimed is not None]
    return {
        "labels": scores[0].labels,
        "average_precision": _spread(score.average_precision for score in scores),
        "gain": _spread(gains),
        "enough": _spread(score.enough for score in scores),
        "precision": _spread(precision for _, precision in precise),
        "precision_of_all_given": right / given if given else None,
        "recall": _spread(score.right / score.present for score in scores),
        "calibration_error": _spread(
            score.calibration_error for score in scores if score.calibration_error is not None
        ),
        "claimed": _spread(claims),
        "random_share": {
            "tells": len(told),
            "covers": sum(low <= precision <= high for (low, high), precision in told),
            "low": _spread(low for (low, _), _ in told),
            "high": _spread(high for (_, high), _ in told),
        },
    }


def report(ways: Mapping[str, Sequence[Mapping[str, Any]]], recordings: int, seeds: int) -> str:
    """The figures as text for the terminal."""
    lines = [f"Medians of {seeds} seeds, in {recordings} unseen soundscapes:"]
    header = ("labels", "MAP", "gain", "species", "precision", "claimed", "recall", "calibration error")
    for way, rounds in ways.items():
        names = ("average_precision", "gain", "enough", "precision", "claimed", "recall", "calibration_error")
        table = [(each["labels"], *(_middle(each[name]) for name in names)) for each in rounds]
        shares = [each["random_share"] for each in rounds]
        covers, tells = (sum(share[name] for share in shares) for name in ("covers", "tells"))
        lines += ["", f"{way}: {WAYS[way]}", format_table(header, table)]
        lines.append(f"the random share's interval held that precision {covers} of {tells} times")
    return "\n".join(lines)


def _middle(spread: Mapping[str, float] | None) -> float:
    return spread["median"] if spread else float("nan")


def _spread(values: Iterable[float]) -> dict[str, float] | None:
    found = [float(value) for value in values]
    return {"median": statistics.median(found), "least": min(found), "most": max(found)} if found else None
