"""Embeddings as a perch-hoplite database, for its agile modelling and search.

A recording's deployment is the first folder of its path below the run's root, as in perch-hoplite's own embedding; so
that its notebooks find the audio and can embed queries, the database says where the recordings are and which preset
model they belong to.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import InputError, OutputError, reason
from runtime.files import utf8
from runtime.rows.block import Block, Columns

SINK = "hoplite:"
"""How a sink begins that is such a database's folder."""
PRESETS = {"perch_v1": "perch_8", "perch_v2": "perch_v2_cpu"}


def check_columns(columns: Columns, detections: bool) -> None:
    """Finds out whether a database can hold these rows.

    Raises:
        InputError: there is no embedding, or perch-hoplite is not installed.
    """
    if "embedding" not in columns.shapes or detections:
        raise InputError(f"a hoplite database holds embeddings, not {', '.join(columns.shapes)}; ask for embedding")
    _database()


def check_folder(folder: Path) -> None:
    """Finds out before the work whether a new database can be made there.

    Raises:
        InputError: it is there and not empty, or its name is not UTF-8.
        OutputError: the folder around it cannot be written.
    """
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(f"the name of {folder} is not UTF-8, as a database's must be; choose another folder") from None
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise InputError(f"{folder} is there and not empty; name a new folder for the hoplite database")
        folder.parent.mkdir(parents=True, exist_ok=True)
        _beside(folder).mkdir(exist_ok=True)
        _beside(folder).rmdir()
    except OSError as error:
        raise OutputError(f"cannot write {folder} ({reason(error)}); choose another folder") from None


def write_database(blocks: Iterable[Block], folder: Path, columns: Columns, fill: float) -> None:
    """Makes the database, which appears whole; rows without a score are not in it.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = _beside(folder)
    try:
        _fill(temporary, blocks, columns)
        if folder.exists():
            folder.rmdir()
        temporary.replace(folder)
    except OutputError:  # of the blocks
        raise
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"cannot write {folder} ({reason(error)}); choose another folder") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fill(folder: Path, blocks: Iterable[Block], columns: Columns) -> None:
    implementation, configuration = _database()
    width = columns.shapes["embedding"][0]
    database = implementation.SQLiteUSearchDB.create(
        str(folder), usearch_cfg=implementation.get_default_usearch_config(width)
    )
    root = utf8(columns.about["root"])
    project = os.path.basename(root) or "recordings"
    database.insert_metadata("perch_onnx", configuration({name: utf8(text) for name, text in columns.about.items()}))
    sources = {"dataset_name": project, "base_path": root, "file_glob": "**/*"}
    more = {"min_audio_len_s": 0.0, "target_sample_rate_hz": -2, "shard_len_s": None, "max_shards_per_file": None}
    database.insert_metadata("audio_sources", configuration({"audio_globs": [sources | more]}))
    if (model := _model(columns.about["model_family"], width, configuration)) is not None:
        database.insert_metadata("model_config", model)
    deployments: dict[str, int] = {}
    for path, parts in itertools.groupby(blocks, lambda block: block.path):
        name = utf8(Path(os.path.relpath(path, columns.about["root"])).as_posix())
        deployment = name.partition("/")[0]
        if deployment not in deployments:
            deployments[deployment] = database.insert_deployment(name=deployment, project=project)
        recording = database.insert_recording(filename=name, deployment_id=deployments[deployment])
        for block in parts:
            rows = np.flatnonzero(block.has_score)
            windows = [
                {"recording_id": recording, "offsets": [float(block.start_s[i]), float(block.end_s[i])]} for i in rows
            ]
            if windows:
                embeddings = np.asarray(block.outputs["embedding"][rows])
                database.insert_windows_batch(windows, embeddings, handle_duplicates="allow")
    database.commit()
    database.db.close()


def _model(family: str, width: int, configuration: Any) -> Any:
    """What a hoplite notebook embeds queries with; None where perch-hoplite knows no such model."""
    try:
        from perch_hoplite.zoo import model_configs

        preset = model_configs.get_preset_model_config(PRESETS[family])
    except (ImportError, LookupError, ValueError):
        return None
    if preset.embedding_dim != width:
        return None
    named = {"model_key": preset.model_key, "embedding_dim": width, "model_config": preset.model_config}
    return configuration(named | {"logits_key": None, "logits_idxes": None})


def _beside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.{os.getpid()}.partial")


def _database() -> tuple[Any, Any]:
    try:
        from ml_collections import config_dict
        from perch_hoplite.db import sqlite_usearch_impl
    except ImportError as error:
        raise InputError(
            f"a hoplite database needs perch-hoplite ({error.name} is missing): `pip install perch-hoplite`"
        ) from None
    return sqlite_usearch_impl, config_dict.ConfigDict
