"""What tests share: a tiny Perch, converted once, and recordings made on the spot."""

from __future__ import annotations

import inspect
import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would compile this package, each for itself

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from threadpoolctl import threadpool_limits

from convert.conversion import convert
from convert.proof.synthetic import soundscape
from convert.source import reference
from convert.untrained.native import perch as native
from convert.untrained.perch import write_saved_model
from convert.untrained.recipe import TINY, TINY_V2
from runtime import remote
from runtime.blocks import BlockCache
from runtime.console.log import log
from runtime.model.profile import VARIABLE
from tests.support.kinds import write_kind
from tests.support.recordings import write
from tests.support.sharing import KeptOutputs, Shared

# Tests run beside one another, and threads of OpenBLAS that wait for one another keep their cores busy.
threadpool_limits(1)
# Some tests send Ctrl-C, which shells have ignored in their background, or what a closed terminal sends, as nohup has.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


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


@pytest.fixture(scope="module")
def short_parts() -> Iterator[None]:
    """Parts of ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.audio.recording.PART_S", 10.0)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Models take seconds to make. Tests only read them, so one process makes each for all."""
    return Shared(tmp_path_factory)


@pytest.fixture(scope="session", autouse=True)
def kept_outputs(shared: Shared) -> Iterator[None]:
    """What TensorFlow gave for the windows of a proof serves all proofs of the same SavedModel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "published", KeptOutputs(shared).published)
        yield


@pytest.fixture(scope="session")
def saved_model(shared: Shared) -> Path:
    return shared.made("saved_model", lambda path: write_saved_model(path, TINY))


@pytest.fixture(scope="session")
def model(shared: Shared, saved_model: Path) -> Path:
    return shared.made("perch.onnx", lambda path: convert(saved_model, path, progress=False))


@pytest.fixture(scope="session")
def label_model(shared: Shared, saved_model: Path) -> Path:
    """The tiny Perch with its scores alone."""
    return shared.made("label.onnx", lambda path: convert(saved_model, path, outputs=["label"], progress=False))


@pytest.fixture(scope="session")
def v2(shared: Shared) -> Path:
    """The SavedModel of a tiny Perch v2, exported natively by JAX."""
    return shared.made("v2", lambda path: native.write_saved_model(path, TINY_V2))


@pytest.fixture(scope="session")
def v1(of_kind: Callable[[str], Path]) -> Path:
    """The SavedModel of a tiny Perch v1, exported natively by JAX."""
    return of_kind("native")


@pytest.fixture(scope="session")
def v2_model(shared: Shared, v2: Path) -> Path:
    return shared.made("v2.onnx", lambda path: convert(v2, path, progress=False))


@pytest.fixture(scope="session")
def of_kind(shared: Shared) -> Callable[[str], Path]:
    """The SavedModel of one of `KINDS`."""
    return lambda name: shared.made(name, lambda path: write_kind(name, path))


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good recordings: 12 s, 20 s at 48 kHz in stereo, 7 s."""
    folder = tmp_path_factory.mktemp("recordings")
    write(folder / "b.wav", soundscape(1, 12))
    soundfile.write(folder / "a.flac", np.stack([soundscape(2, 30), soundscape(3, 30)], axis=1), 48_000)
    write(folder / "c.ogg", soundscape(4, 7))
    return folder


@pytest.fixture(scope="session")
def s3() -> Iterator[Any]:
    """An S3 server, started by the first test that needs one."""
    from tests.support.stores import s3_store

    with s3_store() as store:
        yield store


@pytest.fixture
def store(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The S3 server (a `tests.support.stores.Store`), empty; nothing that lay there is in memory."""
    s3.clear()
    monkeypatch.setattr(remote, "_blocks", BlockCache(remote._fetch, remote.CACHE_BYTES))
    return s3
