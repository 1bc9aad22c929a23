"""NPZ: any outputs, as arrays for NumPy."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from runtime.audio.channels import channel_of
from runtime.rows.block import Block, Columns
from runtime.rows.formats.format import FileFormat


class NpzFile(FileFormat):
    """An array for each output, NaN in rows without a score; `row_ids`, `path`, `start_s`, `end_s` and `status`;
    `recorded_at` and `site`, empty where unknown; and as JSON `classes` and `about`, what made the rows.

    Rows are read once for each array and written block by block, so that they need not fit in memory.
    """

    def check_columns(self, columns: Columns) -> None:
        pass

    def write_file(self, blocks: Iterable[Block], path: Path, columns: Columns, fill: float) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as file:
            arrays = _described(blocks, columns.more)
            if columns.by_channel:
                arrays["channel"] = np.array([channel_of(row_id) for row_id in arrays["row_ids"].tolist()], np.int32)
            arrays |= {
                "classes": np.array(json.dumps(dict(columns.classes))),
                "about": np.array(json.dumps(dict(columns.about))),
            }
            for name, array in arrays.items():
                with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array(member, array, allow_pickle=False)
            for name, shape in columns.shapes.items():
                dtype = np.dtype(columns.dtypes.get(name, np.float32))
                header = {"descr": dtype.str, "fortran_order": False, "shape": (len(arrays["row_ids"]), *shape)}
                with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array_header_1_0(member, header)
                    for block in blocks:
                        member.write(np.ascontiguousarray(block.outputs[name], dtype).tobytes())


def _described(blocks: Iterable[Block], more: Sequence[str]) -> dict[str, Any]:
    """What each row is, apart from its outputs."""
    row_ids: list[str] = []
    paths: list[str] = []
    starts, ends, statuses = [np.empty(0)], [np.empty(0)], [np.empty(0, "<U12")]
    texts: dict[str, list[str]] = {name: [] for name in more}
    for block in blocks:
        row_ids += block.row_ids
        paths += block.row_paths
        starts.append(block.start_s)
        ends.append(block.end_s)
        statuses.append(block.status)
        for name, so_far in texts.items():
            so_far += [text or "" for text in getattr(block, name)]
    return {
        "row_ids": np.array(row_ids, np.str_),
        "path": np.array(paths, np.str_),
        "start_s": np.concatenate(starts),
        "end_s": np.concatenate(ends),
        "status": np.concatenate(statuses),
        **{name: np.array(all_of_them, np.str_) for name, all_of_them in texts.items()},
    }
