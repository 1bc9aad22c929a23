"""Databases by a stand-in with perch-hoplite's signatures; `make hoplite` tries the package itself."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import InputError, Interrupted, OutputError, run_soundscapes
from runtime.model.artifact import read_artifact
from runtime.rows.block import Columns
from runtime.rows.formats.hoplite import HopliteDatabase
from runtime.rows.sinks import FileSink
from tests.support.recordings import cut


class Config(dict[str, Any]):
    def to_json(self) -> str:
        return json.dumps(self)


class SQLiteUSearchDB:
    """Keeps what it is told, as SQLiteUSearchDB of perch-hoplite 1 takes it, in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.said = path, {"metadata": {}, "deployments": [], "recordings": [], "windows": []}
        self.embeddings: list[NDArray[np.floating]] = []
        self.db = io.StringIO()

    @classmethod
    def create(cls, db_path: str, usearch_cfg: Config | None = None, readonly: bool = False) -> SQLiteUSearchDB:
        Path(db_path).mkdir(parents=True, exist_ok=True)
        made = cls(Path(db_path))
        assert usearch_cfg is not None
        made.said["width"] = usearch_cfg["embedding_dim"]
        return made

    def insert_metadata(self, key: str, value: Config) -> None:
        self.said["metadata"][key] = json.loads(value.to_json())

    def insert_deployment(
        self, name: str, project: str, latitude: float | None = None, longitude: float | None = None
    ) -> int:
        self.said["deployments"].append((name, project))
        return len(self.said["deployments"])

    def insert_recording(
        self, filename: str, datetime: datetime | None = None, deployment_id: int | None = None, **more: str
    ) -> int:
        self.said["recordings"].append((filename, datetime and datetime.isoformat(), deployment_id, more))
        return len(self.said["recordings"])

    def insert_windows_batch(
        self,
        windows_batch: list[dict[str, Any]],
        embeddings_batch: NDArray[np.floating] | None = None,
        handle_duplicates: Literal["allow", "overwrite", "skip", "error"] = "error",
    ) -> list[int]:
        assert embeddings_batch is not None
        assert len(windows_batch) == len(embeddings_batch)
        assert embeddings_batch.shape[-1] == self.said["width"]
        self.said["windows"] += [(window["recording_id"], window["offsets"]) for window in windows_batch]
        self.embeddings.append(embeddings_batch)
        return []

    def commit(self) -> None:
        (self.path / "said.json").write_text(json.dumps(self.said))
        np.save(self.path / "embeddings.npy", np.concatenate(self.embeddings))


@pytest.fixture
def hoplite(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {
        name: ModuleType(name) for name in ("perch_hoplite", "perch_hoplite.db", "perch_hoplite.zoo", "ml_collections")
    }
    modules["ml_collections"].config_dict = SimpleNamespace(ConfigDict=Config)  # type: ignore[attr-defined]
    modules["perch_hoplite.db"].sqlite_usearch_impl = SimpleNamespace(  # type: ignore[attr-defined]
        SQLiteUSearchDB=SQLiteUSearchDB, get_default_usearch_config=lambda width: Config(embedding_dim=width)
    )
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def folder(recordings: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    (folder / "north").mkdir(parents=True)
    for name in ("a.flac", "north/b.wav", "north/d.wav"):
        source = recordings / ("b.wav" if name.endswith("d.wav") else Path(name).name)
        (folder / name).write_bytes(source.read_bytes())
    cut(folder / "north" / "d.wav", 0.5)
    return folder


@pytest.mark.usefixtures("hoplite")
def test_database_holds_the_scored_windows(folder: Path, model: Path, tmp_path: Path) -> None:
    options = {"outputs": ["embedding", "label"], "workers": 1, "progress": False}
    expected = run_soundscapes(folder, model, **options)  # type: ignore[arg-type]
    target = tmp_path / "database"
    run_soundscapes(folder, model, sink=f"hoplite:{target}", **options)  # type: ignore[arg-type]
    said = json.loads((target / "said.json").read_text())
    below = "archive (1 folder down)"
    assert said["deployments"] == [["archive", "archive"], ["north", below]]
    assert said["recordings"] == [
        ["a.flac", None, 1, {}], ["north/b.wav", None, 2, {}], ["north/d.wav", None, 2, {}],
    ]  # fmt: skip
    scored = expected.status == "scored"
    assert 0 < scored.sum() < len(scored)
    ends = [float(row_id.rpartition("_")[2]) for row_id in expected.row_ids]
    assert [offsets for _, offsets in said["windows"]] == [[ends[i] - 5, ends[i]] for i in np.flatnonzero(scored)]
    np.testing.assert_array_equal(np.load(target / "embeddings.npy"), expected["embedding"][scored])
    assert said["metadata"]["perch_onnx"]["artifact_sha256"] == read_artifact(model).artifact_sha256
    sources = said["metadata"]["audio_sources"]["audio_globs"]
    assert {source["base_path"] for source in sources} == {str(folder)}
    assert [(each["dataset_name"], each["file_glob"]) for each in sources] == [
        ("archive", "*.flac"),
        (below, "*/*.wav"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "database"]
    with pytest.raises(InputError, match="database is there and not empty; name a new folder"):
        run_soundscapes(folder, model, sink=f"hoplite:{target}", **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("hoplite")
def test_recordings_have_their_time_and_site(recordings: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "marsh").mkdir()
    for name in ("20240512_053000+1000.wav", "unknown.WAV"):
        shutil.copy(recordings / "b.wav", tmp_path / "marsh" / name)
    shutil.copy(recordings / "a.flac", tmp_path / "marsh")
    options = {"outputs": ["embedding"], "workers": 1, "progress": False, "site_from": "{site}/*"}
    run_soundscapes(tmp_path, model, sink=f"hoplite:{tmp_path / 'database'}", **options)  # type: ignore[arg-type]
    said = json.loads((tmp_path / "database" / "said.json").read_text())
    assert [(time, more["site"]) for _, time, _, more in said["recordings"]] == [
        ("2024-05-12T05:30:00+10:00", "marsh"), (None, "marsh"), (None, "marsh"),
    ]  # fmt: skip
    (source,) = said["metadata"]["audio_sources"]["audio_globs"]
    assert source["file_glob"] == "*/*.[Wfw][Aal][Vav]*"


@pytest.mark.usefixtures("hoplite")
def test_interrupted_run_makes_no_database_that_would_be_in_its_way(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, append = tmp_path / "database", FileSink.append
    options = {"outputs": ["embedding"], "workers": 1, "progress": False, "sink": f"hoplite:{target}", "resume": True}

    def interrupting(*arguments: object) -> None:
        append(*arguments)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(Interrupted) as interrupted:
        patch.setattr(FileSink, "append", interrupting)
        run_soundscapes(folder, model, **options)  # type: ignore[arg-type]
    assert interrupted.value.soundscapes.sink == tmp_path / "database.partial"
    assert not target.exists()
    run_soundscapes(folder, model, **options)  # type: ignore[arg-type]
    assert len(json.loads((target / "said.json").read_text())["recordings"]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "database"]


@pytest.mark.usefixtures("hoplite")
def test_an_error_of_the_package_itself_is_said_and_the_database_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(database: SQLiteUSearchDB) -> None:
        databases.append(database)
        raise RuntimeError("no more room in the index\nand more")

    databases: list[SQLiteUSearchDB] = []
    monkeypatch.setattr(SQLiteUSearchDB, "commit", fail)
    columns = Columns({"embedding": (2,)}, {}, {"root": "", "model_family": "perch_v1"})
    with pytest.raises(OutputError, match=r"database \(RuntimeError: no more room in the index\); choose"):
        HopliteDatabase().write([], tmp_path / "database", columns, 0)
    assert databases[0].db.closed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("hoplite")
def test_a_name_that_no_database_can_have_is_refused_at_once(folder: Path, model: Path, tmp_path: Path) -> None:
    target = tmp_path / os.fsdecode(b"not \xff utf8")
    with pytest.raises(InputError, match="is not UTF-8"):
        run_soundscapes(folder, model, outputs=["embedding"], sink=f"hoplite:{target}", progress=False)


@pytest.mark.usefixtures("hoplite")
def test_database_without_embeddings_is_refused(folder: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a hoplite database holds embeddings, not label; ask for embedding"):
        run_soundscapes(folder, model, sink=f"hoplite:{tmp_path / 'database'}", progress=False)


def test_missing_package_is_named(folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "perch_hoplite", None)
    with pytest.raises(InputError, match=r"needs perch-hoplite .*pip install perch-hoplite"):
        run_soundscapes(
            folder, model, outputs=["embedding"], sink=f"hoplite:{tmp_path / 'database'}", workers=1, progress=False
        )
    assert not (tmp_path / "database").exists()
