"""Measures what the timeline shows: when species sing in a made-up soundscape, by classifiers taught on others like it.

It goes the way of `perch-run` and `perch-explore prelabel`: embeddings of windows, labels of some recordings, and the
species of another recording's windows.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.measuring.environment import environment
from benchmarks.measuring.figures import write_json
from benchmarks.measuring.songs import SPECIES, Soundscape, shown_soundscape, soundscape
from convert import SAMPLE_RATE
from runtime import run_soundscapes
from runtime.console.terminal import Parser
from runtime.explore import metrics
from runtime.explore.evaluation import evaluate
from runtime.explore.label_files import Labels
from runtime.explore.names import pure
from runtime.explore.rows import RowFile, open_runs
from runtime.model.artifact import read_artifact

HOP_S = 2.5
LABELLED = 120
"""Soundscapes to learn from."""
SHOWN = "shown"
"""The name of the soundscape in the picture."""
LEAST_S = 1.0
"""A window holds a species if so much of its songs is in it."""


def measure_timeline(model: Path, labelled: int = LABELLED) -> dict[str, Any]:
    """The probability of each species in each window of the shown soundscape, and how it was found."""
    taught = {f"{seed:03}": soundscape(seed) for seed in range(1, labelled + 1)}
    shown = shown_soundscape()
    with tempfile.TemporaryDirectory(prefix="perch-timeline-") as made:
        folder, rows = Path(made), Path(made, "rows.npz")
        for name, each in (taught | {SHOWN: shown}).items():
            soundfile.write(folder / f"{name}.wav", each.samples, SAMPLE_RATE)
        run_soundscapes(folder, model, outputs=["embedding"], hop_s=HOP_S, sink=rows)
        (file,) = files = open_runs([rows], "embedding")
        evaluation = evaluate(files, _labels(file, taught), precision=0.9)
        here = [pure(path).stem == SHOWN for path in file.paths]
        probabilities = evaluation.probabilities_of(file.output("embedding")[here])
        starts = file.start_s[here].tolist()
    scores = metrics.class_roc_auc(evaluation.probe.scores, evaluation.truth)
    return {
        "model_family": read_artifact(model).family,
        "recordings": labelled,
        "windows": len(evaluation.truth),
        "starts": starts,
        "hop_s": HOP_S,
        "window_s": file.end_s[0] - file.start_s[0],
        "species": {
            name: {
                "songs": shown.rounded_songs[name],
                "roc_auc": float(scores[i]),
                "probabilities": probabilities[:, i].round(4).tolist(),
            }
            for name in SPECIES
            for i in [evaluation.names.index(name)]
        },
        "environment": environment(),
    }


def _labels(file: RowFile, taught: dict[str, Soundscape]) -> Labels:
    """Which species sing in each window of these soundscapes."""
    rows = {}
    for row_id, path, start, end in zip(file.row_ids, file.paths, file.start_s, file.end_s, strict=True):
        if each := taught.get(pure(path).stem):
            rows[row_id] = frozenset(name for name in SPECIES if each.sung_s(name, start, end) >= LEAST_S)
    return Labels("the songs planted", rows)


def main() -> None:
    """Measures with a model and writes the figures."""
    parser = Parser(prog="python -m benchmarks.results.timeline", description=main.__doc__)
    parser.add_argument("model", type=Path, metavar="FILE.onnx", help="the model that makes embeddings")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where to write the figures")
    args = parser.parse_args()
    found = measure_timeline(args.model)
    write_json(args.json, "timeline", found)
    for name, species in found["species"].items():
        print(f"{name}: ROC-AUC {species['roc_auc']:.3f} in soundscapes that its classifier has not seen")


if __name__ == "__main__":
    main()
