"""What docs/onnx.md says of the file to those who run it without this project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from convert.proof.parity import compare
from convert.proof.synthetic import windows
from convert.untrained.recipe import PERCH_V1, PERCH_V2, TINY, TINY_V2, Recipe
from runtime.model.session import Session
from runtime.model.tolerance import FLOAT32

PAGE = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text()
ALL_OUTPUTS = """
import { writeFileSync } from "node:fs";
for (const [name, value] of Object.entries(await session.run({ inputs })))
  writeFileSync(`${name}.f32`, value.data);
"""


def shapes(path: Path, tiny: Recipe, full: Recipe) -> dict[str, str]:
    """The shapes of a small artifact's outputs, with the sizes that a full one has; class heads it lacks are added."""
    counts = {head.name: head.classes for head in full.classes}
    sizes = {tiny.embedding: full.embedding, **{head.classes: counts[head.name] for head in tiny.classes}}
    found = {}
    for output in onnxruntime.InferenceSession(path).get_outputs():
        found[output.name] = " x ".join(str(sizes.get(size, size)) for size in output.shape)
    return {name: f"rows x {count}" for name, count in counts.items()} | found


def test_outputs_are_those_of_the_artifacts(model: Path, v2_model: Path) -> None:
    table = PAGE.split("## What comes back")[1].replace("\N{MULTIPLICATION SIGN}", "x")
    rows = re.findall(r"^\| `(\w+)` \| ?(.*?) ?\| ?(.*?) ?\|$", table, re.MULTILINE)
    assert {name: v1 for name, v1, _ in rows if v1} == shapes(model, TINY, PERCH_V1)
    assert {name: v2 for name, _, v2 in rows if v2} == shapes(v2_model, TINY_V2, PERCH_V2)


@pytest.fixture(params=["onnxruntime-node", "onnxruntime-web"])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A package of Node that scripts in `tmp_path` can import."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    modules = os.environ.get("NODE_PATH")
    if modules is None:
        modules = subprocess.run(["npm", "root", "--global"], capture_output=True, text=True, check=True).stdout.strip()
    if not (Path(modules) / request.param).is_dir():
        pytest.skip(f"needs {request.param}; `make node` installs it")
    (tmp_path / "node_modules").symlink_to(modules)
    return str(request.param)


@pytest.mark.parametrize("artifact", ["model", "v2_model"])
def test_node_gives_the_outputs_of_python(
    artifact: str, package: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = request.getfixturevalue(artifact)
    session, batch = Session(path), windows(3, 3, 160_000)
    names = list(session.artifact.heads)
    expected = dict(zip(names, session(batch, names), strict=True))
    classes = session.artifact.heads["label"].classes
    (tmp_path / "label.json").write_text(json.dumps(classes))
    (tmp_path / "windows.f32").write_bytes(batch.tobytes())
    shutil.copy(path, tmp_path / "perch.onnx")
    (script,) = re.findall(r"^```js\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "page.mjs").write_text(script.replace("onnxruntime-node", package) + ALL_OUTPUTS)
    done = subprocess.run(["node", "page.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    best = expected["label"].argmax(axis=1)
    printed = [line.rpartition(" ")[0] for line in done.stdout.splitlines()]
    assert printed == [f"{5 * i} {classes[column]}" for i, column in enumerate(best)]
    for name, values in expected.items():
        actual = np.fromfile(tmp_path / f"{name}.f32", np.float32).reshape(values.shape)
        assert compare(values, actual).failures(FLOAT32) == [], name
