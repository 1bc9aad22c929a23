"""An archive, and the file of a plain run over it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.archives import OUTPUTS, PART_S, fill, write_archive
from tests.support.runs import run


@pytest.fixture(scope="package", autouse=True)
def short_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.audio.recording.PART_S", PART_S)
        yield


@pytest.fixture(scope="package")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("units") / "archive")


@pytest.fixture(scope="package")
def filled(archive: Path, model: Path, short_parts: None) -> Path:
    """A dataset that is complete."""
    path = archive.parent / "filled"
    fill(archive, model, path)
    return path


@pytest.fixture
def out(filled: Path, tmp_path: Path) -> Path:
    """A complete dataset of the test's own."""
    return Path(shutil.copytree(filled, tmp_path / "out"))


@pytest.fixture(scope="package")
def plain(archive: Path, model: Path, short_parts: None) -> Path:
    """The file of a plain run over the archive."""
    path = archive.parent / "plain.parquet"
    run(archive, model, outputs=OUTPUTS, sink=path)
    return path
