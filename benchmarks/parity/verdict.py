"""What is wrong with a converted file, and where.

A head is judged by three rules:

- The stated tolerance of its precision (`convert.proof.parity`), on the windows of this comparison. On other audio
  than the synthetic soundscapes of conversion ten times as much of 1 - cosine: in a window of silence and clicks, or of
  one tone, a right file's is a hundred times that of others.
  Of an output that conversion found to be ill-conditioned (`convert.proof.rounding`) the tolerance is the multiple of
  what TensorFlow is off itself, as the file says, that was granted then.
- On the CPU, where conversion measured: ten times what it measured and the file says of itself, of the greatest and
  the mean error and, on the same audio, of 1 - cosine; but nothing below what float32 itself rounds by. What a right
  file rounds by differs with the audio and the machine, some two or three times.
- In float32, on the CPU and on synthetic soundscapes, if conversion measured on these: that its errors are rounding.
  In a deep graph rounding differs from window to window, so that of the mean over windows little remains; what a
  changed weight adds is much alike in all windows, and remains though it be smaller than the rounding. So what the
  windows' errors have in common (`HeadParity.common`) must be what chance leaves, with room for half as much again and
  for a fifth more at conversion. Where it was more than chance then, as in a shallow graph, and on other audio, whose
  windows may be more alike, it says nothing.

Of the 248 weight tensors of an untrained Perch v1, each scaled by 1.01, the first rule catches 217 and the second 14 on
12 windows, and the third the smallest of the others on 120. Of 268 in Perch v2's backbone 20 to 30 escape: biases of
squeeze-excite, a hundredth of which moves its outputs by less than rounding does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.parity.comparison import Compared
from benchmarks.parity.measurement import Measured, Setting
from benchmarks.parity.windows import Window
from convert.proof.audio import SYNTHETIC
from convert.proof.parity import FLOAT16, INT8, Tolerance, tolerance
from convert.proof.rounding import widened
from convert.source.saved_model import SavedModel
from runtime.model.artifact import Artifact

MANY_WINDOWS = 2.5
"""Times the 1 - cosine that conversion grants a model of StableHLO. It looks at 12 windows, and the greatest of more is
greater: of an untrained Perch v2, which is right, that of `spatial_embedding` is 1e-6 in 12 windows and 3e-6 in 120."""
OTHER_AUDIO = 10
TIMES_STORED = 10
STORED_MEASURES = {"error": "error", "mean_error": "mean error", "cosine_distance": "1 - cosine"}
LEAST = {"error": 1e-7, "mean_error": 1e-9, "cosine_distance": 1e-11}
"""What of a stored measure counts at least."""
BY_CHANCE, STORED = 1.5, 1.2
"""What windows may have in common, as multiples of what chance leaves and of what was measured at conversion."""
MOST_STORED = 1.25
"""As a multiple of what chance leaves: if more was measured at conversion, rounding itself is alike."""
LEAST_BIAS = 1e-6
"""Of the range; a smaller one is float32's own."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: in which output, in which settings (none: whatever it is run with), and what."""

    head: str
    settings: tuple[Setting, ...]
    text: str

    def __str__(self) -> str:
        settings = f" ({'; '.join(map(str, self.settings))})" if self.settings else ""
        return f"{self.head}{settings}: {self.text}"


def on_same_audio(artifact: Artifact, audio: str) -> bool:
    """Whether conversion measured on such windows, too; of what users have, names alone do not tell."""
    return audio == SYNTHETIC == artifact.parity.get("audio")


def stated(artifact: Artifact, head: str, native: bool, same_audio: bool) -> Tolerance:
    """The tolerance of an output in this file's precision."""
    if artifact.options.get("precision") == "float16":
        found = FLOAT16
    elif _is_int8(artifact, head):
        found = INT8
    else:
        found = tolerance(head, native)
        found = replace(found, cosine_distance=(MANY_WINDOWS if native else 1) * found.cosine_distance)
        found = _widened(found, artifact, head)
    if same_audio:
        return found
    return replace(found, cosine_distance=OTHER_AUDIO * found.cosine_distance, mean_error=None)


def _widened(bound: Tolerance, artifact: Artifact, head: str) -> Tolerance:
    """The tolerance of an output that conversion may have found to be ill-conditioned."""
    told: Any = artifact.parity.get("rounding")
    named = told.get("ill_conditioned") if isinstance(told, Mapping) else None
    own = {key: _figure(told, "heads", head, "itself", key) for key in STORED_MEASURES}
    if not isinstance(named, list) or head not in named or None in own.values():
        return bound
    return widened(bound, **own, many=MANY_WINDOWS)  # type: ignore[arg-type]  # none is None


def findings(measured: Measured, source: SavedModel, windows: Sequence[Window], audio: str) -> list[Finding]:
    """All that is wrong with a file; empty where nothing is. `audio` is what conversion would call the recordings."""
    found = [Finding(name, (), text) for name, columns in measured.columns.items() for text in columns.findings]
    found += [Finding("all outputs", (setting,), f"cannot be run: {why}") for setting, why in measured.failures.items()]
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
            found.append(Finding(name, () if everywhere else tuple(broken), f"{'; '.join(rules)}; {where}"))
    return found


def notes(measured: Measured, source: SavedModel) -> list[str]:
    """What one should know of a file, though it is not wrong."""
    artifact, found = measured.artifact, []
    if artifact.saved_model_sha256 != source.fingerprint:
        found.append(
            f"it was converted from another SavedModel ({artifact.saved_model_sha256[:12]}) than this one "
            f"({source.fingerprint[:12]})"
        )
    if artifact.parity_warning:
        found.append(artifact.parity_warning)
    elif any(_stored(artifact, name, "mean_error") is None for name in measured.heads):
        found.append("it holds no mean errors to compare with: an older version converted it")
    if artifact.ill_conditioned is not None:
        found.append(artifact.ill_conditioned)
    if measured.not_rounded:
        found.append(measured.not_rounded)
    return found


def _broken(
    artifact: Artifact, name: str, compared: Compared, native: bool, on_cpu: bool, same_audio: bool
) -> list[str]:
    """The rules that a head breaks, in words; each of them only if those before hold."""
    found = compared.parity.failures(stated(artifact, name, native, same_audio))
    if on_cpu and not found:
        for key, words in STORED_MEASURES.items():
            stored = _stored(artifact, name, key) if same_audio or key != "cosine_distance" else None
            times = 0.0 if stored is None else getattr(compared.parity, key) / max(stored, LEAST[key])
            if times > TIMES_STORED:
                found.append(f"{words} {getattr(compared.parity, key):.1e} is {times:.0f} times that of its conversion")
    exact = artifact.options.get("precision", "float32") == "float32" and not _is_int8(artifact, name)
    if on_cpu and same_audio and exact and not found and compared.bias > LEAST_BIAS:
        most = _most_common(artifact, name, compared)
        if most is not None and compared.common > most:
            found.append(f"windows have {compared.common:.0%} of their errors in common, rounding at most {most:.0%}")
    return found


def _most_common(artifact: Artifact, name: str, compared: Compared) -> float | None:
    """What the windows' errors may have in common; None where that cannot be told from conversion.

    Of the square measured then on few windows, chance was about 1 over their number, and the rest remains on many.
    """
    stored, windows = _stored(artifact, name, "common"), _stored(artifact, name, "windows")
    if stored is None or not windows or windows < 1 or stored > MOST_STORED * windows**-0.5:
        return None
    rest = (STORED * max(stored, windows**-0.5)) ** 2 - 1 / windows
    return math.sqrt(rest + BY_CHANCE**2 / compared.distinct)


def _where(measured: Measured, name: str, compared: Compared, windows: Sequence[Window]) -> str:
    """The window with the greatest difference, and the two columns, which may have been exchanged."""
    columns = [column_name(measured, name, int(i)) for i in np.argsort(-compared.column_errors, kind="stable")[:2]]
    worst = windows[int(np.argmax(compared.window_errors))]
    return f"most in {', then in '.join(columns)}, and in window {worst.row_id}"


def column_name(measured: Measured, head: str, column: int) -> str:
    """A column's class, or its number, from 0."""
    classes = measured.artifact.heads[head].classes
    return f"class '{classes[column]}' (column {column})" if classes else f"column {column}"


def _is_int8(artifact: Artifact, head: str) -> bool:
    return artifact.options.get("head") == "int8" and bool(artifact.heads[head].classes)


def _stored(artifact: Artifact, head: str, key: str) -> float | None:
    """What conversion measured; None where the file does not say so in a number."""
    return _figure(artifact.parity, "heads", head, key)


def _figure(told: Any, *keys: str) -> float | None:
    """A number in nested mappings; None where there is none, or none that is finite."""
    for key in keys:
        told = told.get(key) if isinstance(told, Mapping) else None
    return float(told) if isinstance(told, (int, float)) and math.isfinite(told) else None
