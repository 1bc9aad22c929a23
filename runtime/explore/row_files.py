"""The two forms of a file of rows: what they hold, checked before anything of it is used."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import InputError
from runtime.explore.checks import VECTORS, NotRowsError, check_about, check_classes, check_shape

TEXTS, TIMES = ("row_id", "path", "status"), ("start_s", "end_s")
REPEATED = ["path", "status"]
"""Columns that are read as dictionaries."""
MOST_UNPACKED, UNPACKED_BYTES = 16, 64 * 2**20
"""perch-run does not compress. A compressed `.npz` may unpack to at most so many times its size, plus so many bytes."""
Opened = tuple[int, Mapping[str, tuple[int, ...]], Mapping[str, tuple[str, ...]], Mapping[str, str], Any]
"""The number of rows, shapes and classes of the outputs, the metadata, and a `ParquetFile` or a dict of arrays."""


def open_parquet(path: Path) -> Opened:
    """Opens a Parquet file.

    Raises InputError if it is a folder; NotRowsError, or what pyarrow and json do, if it holds no rows of perch-run.
    """
    import pyarrow
    import pyarrow.parquet

    if path.is_dir():
        raise InputError(
            f"{path} is a folder; make one file of an archive's rows with `perch-run --merge {path} -o out.parquet`"
        )
    schema, types = pyarrow.parquet.read_schema(path), pyarrow.types
    if len(set(schema.names)) < len(schema.names):
        raise NotRowsError("it has two columns of the same name")
    for name in (*TEXTS, *TIMES):
        if name not in schema.names:
            raise NotRowsError(f"it has no column {name}")
        kind = schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if name in TEXTS and not (types.is_string(kind) or types.is_large_string(kind)):
            raise NotRowsError(f"its column {name} is not text")
        if name in TIMES and not (types.is_floating(kind) or types.is_integer(kind)):
            raise NotRowsError("its times are not numbers")
    file = pyarrow.parquet.ParquetFile(path, read_dictionary=REPEATED)
    count = file.metadata.num_rows
    if count > path.stat().st_size:  # a row takes more than a byte
        raise NotRowsError(f"it claims {count:,} rows, more than a file of its size can hold")
    shapes, classes = {}, {}
    for column in schema:
        if column.metadata and b"shape" in column.metadata:
            shape = check_shape(column.name, json.loads(column.metadata[b"shape"]))
            kind = column.type
            if not types.is_fixed_size_list(kind) or not types.is_floating(kind.value_type):
                raise NotRowsError(f"{column.name} holds {kind}, not lists of {np.prod(shape)} floats")
            if kind.list_size != np.prod(shape):
                raise NotRowsError(f"{column.name} holds {kind.list_size} numbers a row, not {np.prod(shape)}")
            shapes[column.name] = shape
            classes[column.name] = check_classes(column.name, json.loads(column.metadata[b"classes"]), shape)
    about = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return count, shapes, classes, check_about(about), file


def open_npz(path: Path) -> Opened:
    """Reads an `.npz`; raises NotRowsError, or what NumPy, zipfile and json do, if it holds no rows of perch-run."""
    with zipfile.ZipFile(path) as packed:
        unpacked = sum(member.file_size for member in packed.infolist())
    if unpacked > MOST_UNPACKED * path.stat().st_size + UNPACKED_BYTES:
        raise NotRowsError(f"it would unpack to {unpacked:,} bytes")
    with warnings.catch_warnings(), np.load(path) as saved:
        warnings.simplefilter("ignore")
        arrays = {name: saved[name] for name in saved.files}
    names, about = json.loads(str(arrays.pop("classes"))), check_about(json.loads(str(arrays.pop("about"))))
    own = {name: arrays.pop(f"{name}s" if name == "row_id" else name) for name in (*TEXTS, *TIMES)}
    count = len(own["row_id"])
    if any(values.ndim != 1 for values in own.values()) or any(own[name].dtype.kind != "U" for name in TEXTS):
        raise NotRowsError("its columns are not text and times")
    for name in TIMES:
        if own[name].dtype.kind not in "fiu":
            raise NotRowsError("its times are not numbers")
        own[name] = own[name].astype(np.float64)
    if any(len(values) != count for values in (*own.values(), *arrays.values())):
        raise NotRowsError("its arrays differ in length")
    shapes, classes = {}, {}
    for name, values in arrays.items():
        if values.dtype.kind != "f":
            if name in VECTORS:
                raise NotRowsError(f"{name} holds {values.dtype}, not floats")
            continue  # not an output
        shapes[name] = check_shape(name, values.shape[1:])
        if name in names or name == "label":
            classes[name] = check_classes(name, names.get(name, []), shapes[name])
    return count, shapes, classes, about, own | arrays
