"""Columns, and what files say made the rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.classes.wanted import read_classes
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.heads import Head
from runtime.model.own_heads import OwnHead
from runtime.model.profile import Setup
from runtime.request.request import Request
from runtime.rows.block import Columns
from runtime.rows.metadata import columns_of
from runtime.workers.job import make_job
from tests.support.small_v2 import CODES, NAMES, SPATIAL, write_small_v2


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_v2(tmp_path_factory.mktemp("v2") / "v2.onnx")


@pytest.fixture(scope="module")
def artifact(path: Path) -> Artifact:
    return read_artifact(path)


def columns(artifact: Artifact, path: Path, request: Request) -> Columns:
    wanted = read_classes(request.classes, None) if request.classes is not None else None
    return columns_of(artifact, make_job(artifact, path, request, "cpu", Setup(1, 1, 2), wanted), Path("in"))


def test_columns_are_those_of_the_outputs(artifact: Artifact, path: Path) -> None:
    found = columns(artifact, path, Request(outputs=("label", "spatial_embedding"), embedding_dtype="float16"))
    assert found.shapes == {"label": (len(NAMES),), "spatial_embedding": SPATIAL}
    assert found.classes == {"label": NAMES, "spatial_embedding": ()}
    assert found.dtypes == {"spatial_embedding": "float16"}
    assert columns(artifact, path, Request(namespace="ebird2021")).classes == {"label": CODES}


def test_wanted_classes_take_the_place_of_the_models(artifact: Artifact, path: Path) -> None:
    found = columns(artifact, path, Request(classes=("comrav", "1139490", "houspa")))
    assert (found.shapes, found.classes) == ({"label": (3,)}, {"label": ("comrav", "1139490", "houspa")})
    assert found.constants == {"label": {1}}


def test_what_made_the_rows_is_told(artifact: Artifact, path: Path) -> None:
    about = columns(artifact, path, Request(hop_s=2.5, classes=("comrav",))).about
    assert about["artifact_sha256"] == about["base_sha256"] == artifact.artifact_sha256
    assert "thresholds" not in about
    assert (about["sample_rate"], about["window_s"], about["hop_s"]) == ("32000", "5", "2.5")
    assert about["root"] == str(Path("in").absolute())
    options = json.loads(about["options"])
    assert (options["hop"], options["batch_size"]) == (80_000, 2)
    assert not {"classes", "class_columns"} & options.keys()
    assert columns(artifact, path, Request(segments="peaks")).about["hop_s"] == ""


def test_the_thresholds_of_own_heads_are_told(artifact: Artifact, path: Path) -> None:
    own = Head("mine", (2,), ("rain", "frog"), "own", own=OwnHead((0.75, None), "raw", {}))
    taught = replace(artifact, heads={**artifact.heads, "mine": own}, converted_sha256="c" * 64)
    about = columns(taught, path, Request(outputs=("label", "mine"))).about
    assert json.loads(about["thresholds"]) == {"mine": [0.75, None]}
    assert (about["base_sha256"], about["artifact_sha256"]) == ("c" * 64, artifact.artifact_sha256)
    assert "thresholds" not in columns(taught, path, Request()).about
