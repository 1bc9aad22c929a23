"""What tests share: a tiny Perch, converted once, and recordings made on the spot."""

from __future__ import annotations

import inspect
import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.conversion import convert
from convert.proof.synthetic import soundscape
from convert.untrained.native import perch as native
from convert.untrained.perch import write_saved_model
from convert.untrained.recipe import TINY, TINY_V2
from runtime.console.log import log
from runtime.model.profile import VARIABLE
from tests.support.recordings import write

# Where a shell starts the tests in its background it has Ctrl-C ignored, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither see nor change what was measured on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp("profile") / "profile.json"))
        yield


@pytest.fixture(autouse=True)
def no_warning_unseen(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a run warns of fails a test that does not look for it, as Python's own warnings do."""
    yield
    if "caplog" not in inspect.signature(request.function).parameters:
        assert [record.getMessage() for record in caplog.get_records("call") if record.name == log.name] == []


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_saved_model(tmp_path_factory.mktemp("tiny") / "saved_model", TINY)


@pytest.fixture(scope="session")
def model(saved_model: Path) -> Path:
    path = saved_model.parent / "perch.onnx"
    convert(saved_model, path, progress=False)
    return path


@pytest.fixture(scope="session")
def label_model(saved_model: Path) -> Path:
    """The tiny Perch with its scores alone."""
    path = saved_model.parent / "label.onnx"
    convert(saved_model, path, outputs=["label"], progress=False)
    return path


@pytest.fixture(scope="session")
def v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SavedModel of a tiny Perch v2, exported natively by JAX."""
    return native.write_saved_model(tmp_path_factory.mktemp("v2") / "saved_model", TINY_V2)


@pytest.fixture(scope="session")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SavedModel of a tiny Perch v1, exported natively by JAX."""
    return native.write_saved_model(tmp_path_factory.mktemp("v1") / "saved_model", TINY)


@pytest.fixture(scope="session")
def v2_model(v2: Path) -> Path:
    path = v2.parent / "perch.onnx"
    convert(v2, path, progress=False)
    return path


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good recordings: 12 s, 20 s at 48 kHz in stereo, 7 s."""
    folder = tmp_path_factory.mktemp("recordings")
    write(folder / "b.wav", soundscape(1, 12))
    soundfile.write(folder / "a.flac", np.stack([soundscape(2, 30), soundscape(3, 30)], axis=1), 48_000)
    write(folder / "c.ogg", soundscape(4, 7))
    return folder
