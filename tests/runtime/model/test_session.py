"""Heads that a session skips, or defers to the last of many batches; calls from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.passes.heads.deferral import defer_heads
from convert.passes.heads.tiling import tile_prototypes
from runtime.model.session import Session
from tests.support.small_v2 import write_small_v2

NAMES = ("label", "embedding", "spatial_embedding", "spectrogram")
PASSES = (defer_heads, lambda graph: tile_prototypes(graph, 256))


def windows(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).standard_normal((count, 160_000)).astype(np.float32)


@pytest.fixture
def plain(tmp_path: Path) -> Session:
    return Session(write_small_v2(tmp_path / "plain.onnx"))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(write_small_v2(tmp_path / "gathers.onnx", run=PASSES))


def calls(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int | None]]:
    """Each call's windows, rows gathered and head rows, from here on."""
    noted: list[tuple[int, int, int | None]] = []
    call = Session.__call__

    def noting(self, windows, outputs, gathered=None, head_rows=None):  # type: ignore[no-untyped-def]
        noted.append((len(windows), 0 if gathered is None else len(gathered), head_rows))
        return call(self, windows, outputs, gathered, head_rows)

    monkeypatch.setattr(Session, "__call__", noting)
    return noted


def test_file_without_the_inputs_is_taken(plain: Session) -> None:
    assert (plain.skippable_heads, plain.deferrable_heads, plain.deferred_from) == ((), (), "")
    assert len(plain.run(windows(3), ["embedding"], 2)["embedding"]) == 3


@pytest.mark.parametrize("outputs", [("label",), NAMES, ("spatial_embedding", "label")])
def test_label_is_computed_with_the_last_batch(
    plain: Session, session: Session, outputs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.deferred_from == "spatial_embedding" and "label" in session.deferrable_heads
    x = windows(7)
    expected = plain.run(x, outputs, 2)
    noted = calls(session, monkeypatch)
    found = session.run(x, outputs, 2)
    assert list(found) == list(outputs)
    for name in outputs:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)
    assert noted == [(2, 0, 0), (2, 0, 0), (2, 0, 0), (1, 6, None)]


def test_head_that_nobody_asks_for_has_no_rows(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = calls(session, monkeypatch)
    assert len(session.run(windows(3), ["spectrogram"], 2)["spectrogram"]) == 3
    assert noted == [(2, 0, 0), (1, 0, 0)]


def test_on_a_gpu_heads_are_spared_too(session: Session, plain: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = calls(session, monkeypatch)
    session.device = plain.device = "cpu:0"  # bound as on a GPU
    x = windows(3)
    for outputs in (["spectrogram"], ["label"]):
        found, expected = (each.run(x, outputs, 2)[outputs[0]] for each in (session, plain))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert [call[2] for call in noted] == [0, 0, None, None, None, None, None, None]


def test_a_gpu_is_given_full_batches_where_they_lie(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[NDArray[np.float32]] = []

    def noting(self: Session, windows: NDArray[np.float32], *_: object, **__: object) -> list[NDArray[np.float32]]:
        given.append(windows)
        return [np.zeros((len(windows), *self.artifact.heads["label"].shape), np.float32)]

    monkeypatch.setattr(Session, "__call__", noting)
    session.device = "cuda:0"
    x = windows(3)
    assert len(session.run(x, ["label"], 2)["label"]) == 3
    assert [(len(batch), np.shares_memory(batch, x)) for batch in given] == [(2, True), (2, False)]
    assert not given[1][1].any()


def test_threads_share_a_session(session: Session) -> None:
    outputs, inputs = ("label", "embedding"), [windows(3)[:count] for count in (1, 2, 3, 3)]
    expected = [session.run(x, outputs, 2) for x in inputs]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda x: session.run(x, outputs, 2), inputs))
    for one, other in zip(found, expected, strict=True):
        for name in outputs:
            np.testing.assert_array_equal(one[name], other[name])


def test_no_windows_have_no_rows(session: Session) -> None:
    assert {name: values.shape for name, values in session.run(windows(0), ("label", "embedding"), 2).items()} == {
        name: (0, *session.artifact.heads[name].shape) for name in ("label", "embedding")
    }
