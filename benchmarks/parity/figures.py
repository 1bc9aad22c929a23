"""All figures of a comparison as plain data, for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.parity.result import FileResult, ParityResult
from benchmarks.parity.summary import by_head, summarise, window_errors, worst_columns
from benchmarks.parity.verdict import column_name, on_same_audio, stated_tolerance


def figures(result: ParityResult) -> dict[str, Any]:
    """All figures of a comparison."""
    source, windows = result.measurement.source, result.measurement.windows
    return {
        "passed": result.passed,
        "saved_model": str(source.path),
        "saved_model_sha256": source.fingerprint,
        "audio": result.audio,
        "unread_windows": result.unread,
        "windows": [window.row_id for window in windows],
        "files": [_file(result, file) for file in result.files],
    }


def _file(result: ParityResult, file: FileResult) -> dict[str, Any]:
    measured, native = file.measured, result.measurement.source.stablehlo is not None
    artifact = measured.artifact
    return {
        "file": str(measured.path),
        "artifact_sha256": artifact.artifact_sha256,
        "model_family": artifact.family,
        "options": dict(artifact.options),
        "passed": not file.findings,
        "findings": [
            {"head": each.head, "settings": [one._asdict() for one in each.settings], "finding": each.text}
            for each in file.findings
        ],
        "notes": list(file.notes),
        "heads": {
            name: {
                **asdict(summary),
                "tolerance": asdict(stated_tolerance(artifact, name, native, on_same_audio(artifact, result.audio))),
                "window_errors": window_errors(measured, name).tolist(),
                "worst_columns": [
                    {"column": column_name(measured, name, i), "error": error}
                    for i, error in worst_columns(measured, name)
                ],
            }
            for name, summary in by_head(measured).items()
        },
        "settings": [
            {**setting._asdict(), "heads": {name: asdict(summarise(compared)) for name, compared in heads.items()}}
            for setting, heads in measured.compared.items()
        ],
        "worst_windows": [
            {
                "row_id": each.window.row_id,
                "head": each.head,
                "error": each.error,
                "tensorflow": each.tensorflow,
                "onnx": each.onnx,
            }
            for each in file.worst
        ],
        "float64": asdict(measured.rounding) if measured.rounding else None,
        "quality": [asdict(each) for each in file.quality],
    }
