"""Embeddings as a perch-hoplite database, for its agile modelling and search.

A recording's deployment is the first folder of its path below the run's root, as in perch-hoplite's own embedding, or
the project if it lies in no folder; its `datetime` is when it was begun. Its notebooks find the audio and can embed
queries, since the database says where the recordings are and which preset model they belong to.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import InputError, OutputError, first_line, reason
from runtime.files import utf8
from runtime.remote import path_below
from runtime.rows.block import NOWHERE, Block, Columns
from runtime.rows.formats.format import Format

EMBEDDING = "embedding"
PRESETS = {"perch_v1": ("perch_8",), "perch_v2": ("perch_v2_cpu", "perch_v2_onnx")}
"""perch-hoplite's names of a family's model; `perch_v2_onnx`, another conversion, needs no TensorFlow."""


class HopliteDatabase(Format):
    """A new folder with the embeddings of all windows that have a score."""

    replaces = every_row = False

    def check_columns(self, columns: Columns) -> None:
        _embedding(columns)
        if columns.by_channel:
            raise InputError("a hoplite database knows no channels; write one for each, with --channel 1, 2, …")
        _import_hoplite()

    def check_target(self, target: Path, names: Sequence[str]) -> None:
        try:
            str(target.absolute()).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the name of {target} is not UTF-8, as a database's must be; choose another folder"
            ) from None
        try:
            if target.exists() and not (target.is_dir() and not any(target.iterdir())):
                raise InputError(f"{target} is there and not empty; name a new folder for the hoplite database")
            target.parent.mkdir(parents=True, exist_ok=True)
            _temporary(target).mkdir(exist_ok=True)
            _temporary(target).rmdir()
        except OSError as error:
            raise OutputError(f"cannot write {target} ({reason(error)}); choose another folder") from None

    def write(self, blocks: Iterable[Block], target: Path, columns: Columns, fill: float) -> None:
        temporary = _temporary(target)
        try:
            _write_database(temporary, blocks, columns)
            if target.exists():
                target.rmdir()
            temporary.replace(target)
        except OutputError:  # of the blocks
            raise
        except (OSError, sqlite3.Error) as error:
            raise OutputError(f"cannot write {target} ({reason(error)}); choose another folder") from None
        except Exception as error:  # perch-hoplite and its index have errors of their own
            problem = f"{type(error).__name__}: {first_line(error)}"
            raise OutputError(f"perch-hoplite cannot write {target} ({problem}); choose another format") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _write_database(folder: Path, blocks: Iterable[Block], columns: Columns) -> None:
    implementation, configuration = _import_hoplite()
    width = columns.shapes[_embedding(columns)][0]
    database = implementation.SQLiteUSearchDB.create(
        str(folder), usearch_cfg=implementation.get_default_usearch_config(width)
    )
    with contextlib.closing(database.db):
        sources = _insert_rows(database, blocks, columns)
        _insert_metadata(database, columns, sources, configuration)
        database.commit()


def _insert_rows(database: Any, blocks: Iterable[Block], columns: Columns) -> _Sources:
    """Fills a database, and returns where its recordings are."""
    output = _embedding(columns)
    sources = _Sources(utf8(columns.about["root"]))
    deployments: dict[tuple[str, str], int] = {}
    for path, parts in itertools.groupby(blocks, lambda block: block.path):
        name, first = utf8(path_below(path, columns.about["root"])), next(parts)
        place, origin = sources.add(name), first.origins.get(path, NOWHERE)
        if place not in deployments:
            deployments[place] = database.insert_deployment(project=place[0], name=place[1])
        site = {} if origin.site is None else {"site": origin.site}
        recording = database.insert_recording(name, origin.began, deployments[place], **site)
        for block in itertools.chain([first], parts):
            rows = np.flatnonzero(block.has_score)
            windows = [
                {"recording_id": recording, "offsets": [float(block.start_s[i]), float(block.end_s[i])]} for i in rows
            ]
            if windows:
                embeddings = np.asarray(block.outputs[output][rows])
                database.insert_windows_batch(windows, embeddings, handle_duplicates="allow")
    return sources


class _Sources:
    """Where the recordings are, as perch-hoplite finds them: by a pattern for each project.

    Its patterns have no `**`, so recordings in folders of another depth are a project of their own.
    """

    def __init__(self, root: str) -> None:
        self._root, self._name = root, os.path.basename(root) or "recordings"
        self._endings: dict[int, set[str]] = {}

    def add(self, name: str) -> tuple[str, str]:
        """The project and the deployment of a recording, by its path below the root."""
        *folders, _ = name.split("/")
        self._endings.setdefault(len(folders), set()).add(os.path.splitext(name)[1])
        project = self._project(len(folders))
        return project, folders[0] if folders else project

    def _project(self, depth: int) -> str:
        is_first = depth == next(iter(self._endings))
        return self._name if is_first else f"{self._name} ({depth} folder{'s' * (depth != 1)} down)"

    def globs(self) -> list[dict[str, Any]]:
        """perch-hoplite's `AudioSourceConfig` of each project, with its defaults but for recordings in one piece."""
        return [
            {
                "dataset_name": self._project(depth),
                "base_path": self._root,
                "file_glob": "*/" * depth + _glob(endings),
                "min_audio_len_s": 1.0,
                "target_sample_rate_hz": -2,
                "shard_len_s": None,
                "max_shards_per_file": None,
            }
            for depth, endings in self._endings.items()
        ]


def _glob(endings: Iterable[str]) -> str:
    """A pattern that names with one of these endings match, such as `*.[fw][la][av]*` for .flac and .wav."""
    letters = ["".join(sorted(set(column))) for column in zip(*endings)]
    rest = "" if len({len(ending) for ending in endings}) == 1 else "*"
    pattern = "".join(one if len(one) == 1 else f"[{one}]" for one in letters)
    return f"*{pattern}{rest}" if letters else "*"


def _insert_metadata(database: Any, columns: Columns, sources: _Sources, configuration: Any) -> None:
    """Says what made the rows, where the recordings are, and which model embeds queries."""
    database.insert_metadata("perch_onnx", configuration({name: utf8(text) for name, text in columns.about.items()}))
    database.insert_metadata("audio_sources", configuration({"audio_globs": sources.globs()}))
    output = _embedding(columns)
    of_several = json.loads(columns.about.get("models", "{}")).get(output.removesuffix(f".{EMBEDDING}"), columns.about)
    model = _model(of_several["model_family"], columns.shapes[output][0], configuration)
    if model is not None:
        database.insert_metadata("model_config", model)


def _embedding(columns: Columns) -> str:
    """The output whose rows a database holds.

    Raises:
        InputError: there is none, or several models have one.
    """
    found = [name for name in columns.shapes if name == EMBEDDING or name.endswith(f".{EMBEDDING}")]
    if not found:
        raise InputError(f"a hoplite database holds embeddings, not {', '.join(columns.shapes)}; ask for embedding")
    if len(found) > 1:
        raise InputError(
            f"a hoplite database holds one model's embeddings, not {', '.join(found)}; ask for one of them"
        )
    return found[0]


def _model(family: str, width: int, configuration: Any) -> Any:
    """What a hoplite notebook embeds queries with; None where perch-hoplite knows no such model."""
    try:
        from perch_hoplite.zoo import model_configs
    except ImportError:
        return None
    for name in PRESETS.get(family, ()):
        try:
            preset = model_configs.get_preset_model_config(name)
        except (ImportError, ValueError):  # it needs TensorFlow, or this version does not know it
            continue
        if preset.embedding_dim == width:
            named = {"model_key": preset.model_key, "embedding_dim": width, "model_config": preset.model_config}
            return configuration(named | {"logits_key": None, "logits_idxes": None})
    return None


def _temporary(folder: Path) -> Path:
    """Where the database is made before it takes the place of `folder`."""
    return folder.with_name(f".{folder.name}.{os.getpid()}.partial")


def _import_hoplite() -> tuple[Any, Any]:
    """The database's implementation, and the class of its configurations.

    Raises:
        InputError: perch-hoplite is not installed.
    """
    try:
        from ml_collections import config_dict
        from perch_hoplite.db import sqlite_usearch_impl
    except ImportError as error:
        raise InputError(
            f"a hoplite database needs perch-hoplite ({error.name} is missing): `pip install perch-hoplite`"
        ) from None
    return sqlite_usearch_impl, config_dict.ConfigDict
