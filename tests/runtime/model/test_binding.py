"""Buffers that are bound once, on the CPU provider, which computes the same bits with them as without."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.passes.heads.deferral import defer_heads
from runtime.model.binding import Binding, Buffers, Spare
from runtime.model.cuda_options import CudaOptions
from runtime.model.session import Session
from tests.support.small_v2 import write_small_v2

NAMES = ("label", "embedding", "spatial_embedding", "spectrogram")
OUTPUTS = [NAMES, ("spectrogram",), ("embedding", "label")]


def windows(count: int, seed: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, 160_000)).astype(np.float32)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session whose class heads can be skipped."""
    return Session(write_small_v2(tmp_path_factory.mktemp("model") / "small.onnx", run=(defer_heads,)))


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_binding_gives_the_bits_of_a_call(session: Session, outputs: Sequence[str]) -> None:
    binding = session.binding(3, outputs)
    for seed in (1, 2):
        x = windows(3, seed)
        for found, expected in zip(binding(x), session(x, outputs), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_session_for_cuda_graphs_gives_each_binding_a_graph_of_its_own(session: Session, tmp_path: Path) -> None:
    """The CPU ignores their numbers; on a GPU calls wait for each other."""
    graphs = Session(write_small_v2(tmp_path / "small.onnx", run=(defer_heads,)), options=CudaOptions(graph=True))
    bindings = [graphs.binding(2, ("label",)) for _ in range(2)]
    numbers = [binding._options.get_run_config_entry("gpu_graph_id") for binding in bindings]
    assert numbers == ["1", "2"]
    for binding in bindings:
        np.testing.assert_array_equal(binding(windows(2))[0], session(windows(2), ("label",))[0])


def test_what_a_binding_gave_stays_as_it_is(session: Session) -> None:
    binding = session.binding(2, ("label", "embedding"))
    first = binding(windows(2, 1))
    kept = [values.copy() for values in first]
    binding(windows(2, 2))
    for values, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(values, before)


def test_batch_is_computed_again_without_copies(session: Session) -> None:
    binding = session.binding(2, ("label",))
    (before,) = binding(windows(2))
    binding.run_only()
    np.testing.assert_array_equal(binding(windows(2))[0], before)


def test_windows_of_another_shape_or_type_are_refused(session: Session) -> None:
    binding = session.binding(2, ("label",))
    for x in (windows(3), windows(2).reshape(-1), windows(2).astype(np.float64)):
        with pytest.raises(ValueError, match="windows are float"):
            binding(x)


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("head_rows", [None, 0, 1])
def test_session_with_bound_buffers_computes_the_same_rows(
    tmp_path: Path, outputs: Sequence[str], head_rows: int | None
) -> None:
    plain, bound = (Session(write_small_v2(tmp_path / "small.onnx", run=(defer_heads,))) for _ in range(2))
    bound.device = "cpu:0"  # bound as on a GPU
    x = windows(2)
    found, expected = (each(x, outputs, head_rows=head_rows) for each in (bound, plain))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


class Idle(Binding):
    """A binding that computes nothing."""

    def __init__(self, buffers: Buffers) -> None:
        self.buffers = buffers

    def __call__(self, windows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if windows[0, 0]:
            raise RuntimeError("out of memory")
        return [windows]


def spares() -> tuple[Spare, list[Buffers]]:
    """Spare bindings, and for which buffers one was made."""
    made: list[Buffers] = []
    return Spare(lambda buffers: made.append(buffers) or Idle(buffers)), made  # type: ignore[func-returns-value]


def test_outputs_that_are_asked_for_in_turns_keep_their_bindings() -> None:
    spare, made = spares()
    for name in ("label", "embedding") * 3:
        spare.run(Buffers((1, 1), ((name, (1, 2)),)), np.zeros((1, 1), np.float32))
    assert len(made) == 2


def test_bindings_are_kept_for_the_outputs_asked_for_last() -> None:
    spare, made = spares()
    asked = [Buffers((1, 1), ((str(i), (1,)),)) for i in range(Spare.MOST + 1)]
    for buffers in (*asked, asked[-1], asked[1], asked[0]):
        spare.run(buffers, np.zeros((1, 1), np.float32))
    assert made == [*asked, asked[0]]
    assert len(spare._spare) == Spare.MOST


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_output_that_is_named_twice_is_given_twice(tmp_path: Path, device: str) -> None:
    """`cpu:0` is bound as a GPU is."""
    session = Session(write_small_v2(tmp_path / "small.onnx", run=(defer_heads,)))
    session.device = device
    found = session(windows(2), ("label", "embedding", "label"))
    label, embedding = session(windows(2), ("label", "embedding"))
    for values, expected in zip(found, (label, embedding, label), strict=True):
        np.testing.assert_array_equal(values, expected)


def test_binding_that_failed_is_not_used_again() -> None:
    spare, made = spares()
    buffers = Buffers((1, 1), ())
    with pytest.raises(RuntimeError, match="out of memory"):
        spare.run(buffers, np.ones((1, 1), np.float32))
    spare.run(buffers, np.zeros((1, 1), np.float32))
    spare.run(buffers, np.zeros((1, 1), np.float32))
    assert len(made) == 2


def test_each_thread_has_buffers_of_its_own(session: Session) -> None:
    bound = session.binding
    inputs = [windows(2, seed) for seed in range(6)]
    spare = Spare(lambda buffers: bound(buffers.windows[0], [name for name, _ in buffers.outputs]))
    buffers = bound(2, ("label",)).buffers
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda x: spare.run(buffers, x)[0], inputs))
    for values, x in zip(found, inputs, strict=True):
        np.testing.assert_array_equal(values, session(x, ("label",))[0])
