"""How likely species are at a place in a week of the year, by BirdNET's geomodel.

The file is one of those that github.com/birdnet-team/geomodel publishes as ONNX: an input `[n, 3]` of latitude,
longitude and week, an output `[n, species]` of probabilities. Its labels lie beside it, a species a line: code,
scientific and common name with tabs between, or `Scientific name_Common name` as for BirdNET 2.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from runtime.classes.species_names import folded, read_lines
from runtime.errors import InputError, counted, first_line

WEEKS = 48
"""Four in each month."""
PRECISION = re.compile(r"[_-]fp(16|32)$", re.IGNORECASE)


def occurrence(path: str | Path, latitude: float, longitude: float, week: int | None) -> Mapping[str, float]:
    """The probability of each species, from 0 to 1, by its code and its scientific name, both folded.

    Without a week it is the highest of the year.

    Raises:
        InputError: a file cannot be read, or is no geomodel.
    """
    file = Path(path)
    weeks = range(1, WEEKS + 1) if week is None else [week]
    labels = read_lines(_labels(file), "the geomodel's labels")
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors are raised as well
    try:
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        (given,), (found, *_) = session.get_inputs(), session.get_outputs()
        kind = np.float16 if given.type == "tensor(float16)" else np.float32
        places = np.array([[latitude, longitude, each] for each in weeks], kind)
        (values,) = session.run([found.name], {given.name: places})
    except Exception as error:  # ONNX Runtime has a class of its own for each status
        raise InputError(
            f"{path} cannot be run as a geomodel ({first_line(error)}); it must be BirdNET's geomodel as .onnx, not as "
            "TFLite"
        ) from None
    if np.shape(values) != (len(weeks), len(labels)) or not np.isfinite(values).all():
        raise InputError(
            f"{path} gives {list(np.shape(values))} for {counted(len(weeks), 'week')} and the "
            f"{counted(len(labels), 'label')} beside it; take the labels of the same version"
        )
    highest = np.asarray(values, np.float64).max(axis=0).tolist()
    return {name: value for label, value in zip(labels, highest) for name in _species(label)}


def _species(label: str) -> list[str]:
    """The code and the scientific name in a label; common names are shared by species, and by sounds."""
    names = label.split("\t")[:2] if "\t" in label else [label.partition("_")[0]]
    return [folded(name) for name in names if name.strip()]


def _labels(file: Path) -> Path:
    candidates = list(_names(file))
    for name in candidates:
        if file.with_name(name).is_file():
            return file.with_name(name)
    raise InputError(f"{file} has no labels beside it; put them there as {candidates[0]}")


def _names(file: Path) -> Iterator[str]:
    for stem in dict.fromkeys((PRECISION.sub("", file.stem), file.stem)):
        yield from (f"{stem}_Labels.txt", f"{stem}_labels.txt")
    yield from ("labels.txt", "Labels.txt")
