"""Which format a sink asks for. Nothing else looks at its name for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runtime.errors import InputError
from runtime.remote import is_url, local_path
from runtime.request.detections import Detections
from runtime.rows.formats.csv_file import CsvFile
from runtime.rows.formats.detection_tables import DetectionTables
from runtime.rows.formats.format import Format
from runtime.rows.formats.hoplite import HopliteDatabase
from runtime.rows.formats.npz_file import NpzFile
from runtime.rows.formats.parquet_file import ParquetFile

HOPLITE = "hoplite:"
"""How a sink begins that is the folder of a perch-hoplite database."""
ENDINGS: dict[str, Callable[[], Format]] = {".csv": CsvFile, ".parquet": ParquetFile, ".npz": NpzFile}


def sink_path(sink: str | Path) -> Path:
    """The file or folder that a sink names.

    Raises:
        InputError: no file can have this name.
    """
    path = on_disk(str(sink).removeprefix(HOPLITE))
    if "\0" in str(path):
        raise InputError(f"no file can be called {str(path)!r}, which holds a NUL")
    path = path if path.name not in ("", "..") else path.resolve()
    if not path.name:
        raise InputError(f"cannot write {path}: it has no name; name a file or folder in it")
    return path


def on_disk(name: str | Path) -> Path:
    """The path of a file to write.

    Raises:
        InputError: it is a URL.
    """
    path = local_path(str(name))
    if path is None and is_url(str(name)):
        raise InputError(
            f"cannot write {name}: a file is written to a disk; write it there, and copy it. A dataset "
            "can be at a URL: end the name in /"
        )
    return path or Path(name)


def choose_format(sink: str | Path, detections: Detections | None = None) -> Format:
    """What writes rows, or the detections asked for, to a sink (see `run_soundscapes`).

    Raises:
        InputError: the sink's name does not say, or what it says does not hold detections.
    """
    target = sink_path(sink)
    if str(sink).startswith(HOPLITE):
        if detections is not None:
            raise InputError("a hoplite database holds embeddings, not detections; ask for one of the two")
        return HopliteDatabase()
    if detections is not None:
        return DetectionTables(detections, target)
    for ending, made in ENDINGS.items():
        if target.name.lower().endswith(ending):
            return made()
    more = "; a .txt holds detections, which --top or --min-score ask for" if target.suffix.lower() == ".txt" else ""
    *most, last = ENDINGS
    raise InputError(f"cannot tell what to write from the name {target}; end it in {', '.join(most)} or {last}{more}")
