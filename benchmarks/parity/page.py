"""The report for a browser: one HTML file that needs no other file."""

from __future__ import annotations

import base64
from typing import Any

from benchmarks.parity.histogram import histogram
from benchmarks.parity.measurement import FileMeasurement
from benchmarks.parity.report import COLUMNS, LEGEND, cells, rounding_line, title, unread, verdict
from benchmarks.parity.result import ParityResult
from benchmarks.parity.summary import by_head, summarise, window_errors, worst_columns
from benchmarks.parity.verdict import column_name, on_same_audio, stated_tolerance
from runtime.explore.pictures.spectrogram import power, spectrogram
from runtime.explore.pictures.template import render


def page(result: ParityResult, environment: dict[str, Any]) -> str:
    """The page as HTML; text that comes from files is escaped."""
    native = result.measurement.source.stablehlo is not None

    def heads(measured: FileMeasurement) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "cells": cells(summary),
                "tolerance": stated_tolerance(
                    measured.artifact, name, native, on_same_audio(measured.artifact, result.audio)
                ),
                "histogram": histogram(window_errors(measured, name)),
                "columns": [(column_name(measured, name, i), error) for i, error in worst_columns(measured, name)],
            }
            for name, summary in by_head(measured).items()
        ]

    return render(
        __package__,
        "page.html",
        result=result,
        environment=environment,
        unread=unread(result),
        columns=COLUMNS,
        legend=LEGEND,
        heads=heads,
        title=title,
        verdict=verdict,
        rounding_line=rounding_line,
        cells=lambda compared: cells(summarise(compared)),
        pictures={
            row_id: (number, base64.b64encode(spectrogram(power(samples))).decode())
            for number, (row_id, samples) in enumerate(result.samples.items())
        },
    )
