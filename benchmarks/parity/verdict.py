"""What is wrong with a converted file, and where.

A head is judged by three rules:

- The stated tolerance of its precision (`runtime.model.tolerance`), on the windows of this comparison. On recordings
  other than the synthetic soundscapes of conversion, ten times as much 1 - cosine is tolerated: in a window of silence
  and clicks, or of a single tone, that of a correct file is a hundred times what it is in others. For an output that
  conversion found to be ill-conditioned (`convert.proof.rounding`), the tolerance is what conversion granted: a
  multiple of TensorFlow's own error, which the file states.
- On the CPU, where conversion measures: at most ten times the greatest and mean error that the file states for itself
  and, on the same audio, ten times its 1 - cosine; but never less than the rounding of float32. The rounding of a
  correct file varies with the audio and the machine by a factor of two or three.
- In float32, on the CPU, on synthetic soundscapes, if conversion measured on these too: the errors are rounding. In a
  deep graph rounding differs from window to window, so that little of it is left in the mean over windows. A changed
  weight shifts all windows much alike, and so remains in the mean even if it is smaller than the rounding. What the
  windows' errors have in common (`HeadParity.common`) may therefore be only what chance leaves, plus half as much again
  and a fifth of the value at conversion. The rule says nothing where that value was more than chance at conversion, as
  in a shallow graph, nor on other audio, whose windows may be more alike.

Of the 248 weight tensors of an untrained Perch v1, each scaled by 1.01, the first rule catches 217 and the second 14 on
12 windows, and the third catches the smallest of the others on 120. Of 268 tensors in Perch v2's backbone, 20 to 30
escape: biases of squeeze-excite, where a change of a hundredth moves the outputs by less than rounding does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.parity.comparison import HeadDifferences
from benchmarks.parity.measurement import FileMeasurement, Setting
from benchmarks.parity.windows import WindowRef
from convert.proof.audio import SYNTHETIC
from convert.proof.parity import tolerance
from convert.proof.rounding import widened
from convert.source.saved_model import SavedModel
from runtime.model.artifact import Artifact
from runtime.model.tolerance import FLOAT16, INT8, Tolerance

MANY_WINDOWS = 2.5
"""Times the 1 - cosine that conversion tolerates for a model in StableHLO. Conversion looks at 12 windows, and the
greatest of more windows is greater: for `spatial_embedding` in a correct conversion of an untrained Perch v2 it is 1e-6
in 12 windows and 3e-6 in 120."""
OTHER_AUDIO = 10
TIMES_STORED = 10
STORED_MEASURES = {"error": "error", "mean_error": "mean error", "cosine_distance": "1 - cosine"}
LEAST = {"error": 1e-7, "mean_error": 1e-9, "cosine_distance": 1e-11}
"""A stored figure counts as at least this, the rounding of float32 itself."""
BY_CHANCE, STORED = 1.5, 1.2
"""What errors may have in common, as multiples of what chance leaves and of the value at conversion."""
MOST_STORED = 1.25
"""As a multiple of what chance leaves. A greater value at conversion means that rounding itself is alike in windows."""
LEAST_BIAS = 1e-6
"""Relative to the range; a smaller bias is the rounding of float32."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with an output, in words; without `settings` it is wrong whatever the file is run with."""

    head: str
    settings: tuple[Setting, ...]
    text: str

    def __str__(self) -> str:
        settings = f" ({'; '.join(map(str, self.settings))})" if self.settings else ""
        return f"{self.head}{settings}: {self.text}"


def on_same_audio(artifact: Artifact, audio: str) -> bool:
    """Whether conversion measured on the same audio; certain for synthetic soundscapes only."""
    return audio == SYNTHETIC == artifact.parity.get("audio")


def stated_tolerance(artifact: Artifact, head: str, native: bool, same_audio: bool) -> Tolerance:
    """The tolerance of an output in the precision of this file."""
    if artifact.options.get("precision") == "float16":
        bound = FLOAT16
    elif _is_int8(artifact, head):
        bound = INT8
    else:
        bound = tolerance(head, native)
        bound = replace(bound, cosine_distance=(MANY_WINDOWS if native else 1) * bound.cosine_distance)
        bound = _widened(bound, artifact, head)
    if same_audio:
        return bound
    return replace(bound, cosine_distance=OTHER_AUDIO * bound.cosine_distance, mean_error=None)


def _widened(bound: Tolerance, artifact: Artifact, head: str) -> Tolerance:
    """The tolerance of an output that conversion may have found to be ill-conditioned."""
    rounding: Any = artifact.parity.get("rounding")
    named = rounding.get("ill_conditioned") if isinstance(rounding, Mapping) else None
    own = {key: _figure(rounding, "heads", head, "itself", key) for key in STORED_MEASURES}
    if not isinstance(named, list) or head not in named or None in own.values():
        return bound
    return widened(bound, **own, many=MANY_WINDOWS)  # type: ignore[arg-type]  # none of them is None


def findings(measured: FileMeasurement, source: SavedModel, windows: Sequence[WindowRef], audio: str) -> list[Finding]:
    """All that is wrong with a file. `audio` describes the recordings as conversion describes its own."""
    wrong = [Finding(name, (), text) for name, columns in measured.columns.items() for text in columns.findings]
    wrong += [Finding("all outputs", (setting,), f"cannot be run: {why}") for setting, why in measured.failures.items()]
    native, same_audio = source.stablehlo is not None, on_same_audio(measured.artifact, audio)
    for name in measured.heads:
        broken = {
            setting: rules
            for setting, heads in measured.compared.items()
            if (rules := _broken(measured.artifact, name, heads[name], native, setting.device == "cpu", same_audio))
        }
        if broken:
            setting, rules = next(iter(broken.items()))
            where = _where(measured, name, measured.compared[setting][name], windows)
            everywhere = len(broken) == len(measured.compared) and not measured.failures
            wrong.append(Finding(name, () if everywhere else tuple(broken), f"{'; '.join(rules)}; {where}"))
    return wrong


def notes(measured: FileMeasurement, source: SavedModel) -> list[str]:
    """What to know about a file, though it is not wrong."""
    artifact = measured.artifact
    lines: list[str] = []
    if artifact.saved_model_sha256 != source.fingerprint:
        lines.append(
            f"it was converted from another SavedModel ({artifact.saved_model_sha256[:12]}) than this one "
            f"({source.fingerprint[:12]})"
        )
    if artifact.parity_warning:
        lines.append(artifact.parity_warning)
    elif any(_stored(artifact, name, "mean_error") is None for name in measured.heads):
        lines.append("it states no mean errors to compare with: an older version of perch-convert made it")
    if artifact.ill_conditioned is not None:
        lines.append(artifact.ill_conditioned)
    if measured.not_rounded:
        lines.append(measured.not_rounded)
    return lines


def _broken(
    artifact: Artifact, name: str, compared: HeadDifferences, native: bool, on_cpu: bool, same_audio: bool
) -> list[str]:
    """The rules that a head breaks, in words; a rule is tried only if those before it hold."""
    broken = compared.parity.failures(stated_tolerance(artifact, name, native, same_audio))
    if on_cpu and not broken:
        for key, words in STORED_MEASURES.items():
            stored = _stored(artifact, name, key) if same_audio or key != "cosine_distance" else None
            times = 0.0 if stored is None else getattr(compared.parity, key) / max(stored, LEAST[key])
            if times > TIMES_STORED:
                broken.append(
                    f"{words} {getattr(compared.parity, key):.1e} is {times:.0f} times what its conversion measured"
                )
    exact = artifact.options.get("precision", "float32") == "float32" and not _is_int8(artifact, name)
    if on_cpu and same_audio and exact and not broken and compared.bias > LEAST_BIAS:
        most = _most_common(artifact, name, compared)
        if most is not None and compared.common > most:
            broken.append(
                f"windows share {compared.common:.0%} of their errors, which for rounding is at most {most:.0%}"
            )
    return broken


def _most_common(artifact: Artifact, name: str, compared: HeadDifferences) -> float | None:
    """The most that the windows' errors may have in common; None if conversion does not tell.

    The square of the value at conversion is about 1 / windows by chance; the rest of it remains on more windows.
    """
    stored, windows = _stored(artifact, name, "common"), _stored(artifact, name, "windows")
    if stored is None or not windows or windows < 1 or stored > MOST_STORED * windows**-0.5:
        return None
    rest = (STORED * max(stored, windows**-0.5)) ** 2 - 1 / windows
    return math.sqrt(rest + BY_CHANCE**2 / compared.distinct)


def _where(measured: FileMeasurement, name: str, compared: HeadDifferences, windows: Sequence[WindowRef]) -> str:
    """The window with the greatest difference, and the two worst columns, which may have been swapped."""
    columns = [column_name(measured, name, int(i)) for i in np.argsort(-compared.column_errors, kind="stable")[:2]]
    worst = windows[int(np.argmax(compared.window_errors))]
    return f"most in {', then in '.join(columns)}, and in window {worst.row_id}"


def column_name(measured: FileMeasurement, head: str, column: int) -> str:
    """A column's class, or its number, from 0."""
    classes = measured.artifact.heads[head].classes
    return f"class '{classes[column]}' (column {column})" if classes else f"column {column}"


def _is_int8(artifact: Artifact, head: str) -> bool:
    return artifact.options.get("head") == "int8" and bool(artifact.heads[head].classes)


def _stored(artifact: Artifact, head: str, key: str) -> float | None:
    """What conversion measured; None if the file does not state a number."""
    return _figure(artifact.parity, "heads", head, key)


def _figure(value: Any, *keys: str) -> float | None:
    """A finite number in nested mappings; None if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
