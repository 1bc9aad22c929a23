"""Which format a sink asks for: its name says so, and nothing else."""

from __future__ import annotations

import pytest

from runtime import Detections, InputError
from runtime.rows.formats.choice import choose_format
from runtime.rows.formats.csv_file import CsvFile
from runtime.rows.formats.detection_tables import DetectionTables
from runtime.rows.formats.format import Format
from runtime.rows.formats.hoplite import HopliteDatabase
from runtime.rows.formats.npz_file import NpzFile
from runtime.rows.formats.parquet_file import ParquetFile

TOP = Detections(top=1)


@pytest.mark.parametrize(
    ("sink", "detections", "format"),
    [
        ("out.csv", None, CsvFile),
        ("OUT.CSV", None, CsvFile),
        ("out.csv/out.parquet", None, ParquetFile),
        ("out.npz", None, NpzFile),
        ("hoplite:out.csv", None, HopliteDatabase),
        ("out.csv", TOP, DetectionTables),
        ("out.selections.txt", TOP, DetectionTables),
        ("out", Detections(top=1, format="raven"), DetectionTables),
    ],
)
def test_name_says_the_format(sink: str, detections: Detections | None, format: type[Format]) -> None:
    assert type(choose_format(sink, detections)) is format


@pytest.mark.parametrize(
    ("sink", "detections", "message"),
    [
        ("out", None, r"cannot tell what to write from the name out; end it in \.csv, \.parquet or \.npz$"),
        ("out.txt", None, r"end it in \.csv, \.parquet or \.npz; a \.txt holds detections"),
        ("out.parquet", TOP, r"end it in \.selections\.txt, \.txt, \.csv, or name a folder"),
        ("hoplite:out", TOP, "a hoplite database holds embeddings, not detections"),
        ("/", None, "it has no name"),
    ],
)
def test_other_names_are_refused(sink: str, detections: Detections | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_format(sink, detections)
