"""The golden window: its bits, its entry in a file, and devices that compute it wrongly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.errors import ArtifactError, DeviceError
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.ensemble import open_models
from runtime.model.fingerprint import Deviation, places
from runtime.model.golden import (
    FLOAT32_STEP,
    check,
    compare,
    fingerprint,
    golden_window,
    tolerance,
    windows_to_store,
)
from runtime.model.session import Session
from runtime.model.tolerance import FLOAT16, INT8, SPATIAL

Outputs = dict[str, NDArray[np.float32]]
BATCH = 3


@pytest.fixture(scope="module")
def outputs(model: Path) -> Outputs:
    session = Session(model)
    return session.run(np.stack([golden_window(160_000)] * BATCH), list(session.artifact.heads), BATCH)


def test_the_window_has_the_same_bits_everywhere() -> None:
    window = golden_window(160_000)
    assert hashlib.sha256(window.tobytes()).hexdigest().startswith("699600472b485c3e")
    assert window.dtype == np.float32
    assert 0.3 < np.abs(window).max() < 1
    assert [len(golden_window(samples)) for samples in (1, 2, 31, 33, 1000)] == [1, 2, 31, 33, 1000]


def test_moved_windows_differ_by_the_rounding_they_stand_for() -> None:
    window, *moved = windows_to_store(160_000)
    assert np.array_equal(window, golden_window(160_000))
    parts = [np.abs(each - window)[window != 0] / np.abs(window[window != 0]) for each in moved]
    assert all(part.max() <= 2 * FLOAT32_STEP for part in parts[:2])
    assert all(part.min() > 0.9 * 2**-11 and part.max() < 1.1 * 2**-11 for part in parts[2:])


@pytest.mark.parametrize("shape", [(1,), (2,), (256,), (257,), (10_932,), (500, 160), (16, 4, 1536)])
def test_places_are_spread_over_a_head(shape: tuple[int, ...]) -> None:
    found = places(int(np.prod(shape)))
    assert len(set(found.tolist())) == min(256, np.prod(shape))
    assert (found[0], found[-1]) == (0, np.prod(shape) - 1)
    if len(shape) > 1:
        assert len(set((found % shape[-1]).tolist())) > 0.4 * min(256, shape[-1])


def test_a_conversion_stores_what_its_file_gives(model: Path, outputs: Outputs) -> None:
    artifact = read_artifact(model)
    assert artifact.golden.keys() == artifact.heads.keys()
    for each in compare(artifact, outputs):
        assert each.share < 0.01
        assert each.allowed == SPATIAL
    for name, each in artifact.golden.items():
        assert each.range >= np.ptp(outputs[name])
        assert 0 < each.float32.error < each.float16.error
        assert 0 <= each.float32.cosine_distance < each.float16.cosine_distance
    check(artifact, outputs, "cpu")


def silent(values: NDArray[np.float32]) -> None:
    values[:] = 0


def unfilled(values: NDArray[np.float32]) -> None:
    values[1] = np.frombuffer(np.random.default_rng(0).bytes(values[1].nbytes), np.float32).reshape(values[1].shape)


def not_a_number(values: NDArray[np.float32]) -> None:
    values.reshape(BATCH, -1)[2, -1] = np.nan


def infinite(values: NDArray[np.float32]) -> None:
    values.reshape(BATCH, -1)[0, 0] = np.inf


def one_wrong_row(values: NDArray[np.float32]) -> None:
    values[2] = values[2][..., ::-1]


def wrong_kernel(values: NDArray[np.float32]) -> None:
    values += 0.1 * np.ptp(values) * np.sin(np.arange(values[0].size, dtype=np.float32)).reshape(values[0].shape)


def scaled(values: NDArray[np.float32]) -> None:
    values *= 1.01


@pytest.mark.parametrize("harm", [silent, unfilled, not_a_number, infinite, one_wrong_row, wrong_kernel, scaled])
@pytest.mark.parametrize("head", ["label", "embedding", "frontend"])
def test_a_device_that_computes_wrongly_is_refused(
    model: Path, outputs: Outputs, harm: Callable[[NDArray[np.float32]], None], head: str
) -> None:
    artifact, wrong = read_artifact(model), {name: values.copy() for name, values in outputs.items()}
    harm(wrong[head])
    with pytest.raises(DeviceError, match=rf"^cuda:0 computes wrongly .*'{head}' is off by .*use another device"):
        check(artifact, wrong, "cuda:0")
    worst = compare(artifact, wrong)[0]
    assert worst.head == head and worst.share > 1
    check(artifact, {name: values for name, values in wrong.items() if name != head}, "cuda:0")


def test_a_devices_own_rounding_is_accepted(model: Path, outputs: Outputs) -> None:
    artifact = read_artifact(model)
    for name, values in outputs.items():
        noise = np.random.default_rng(1).choice([-1, 1], values.shape)
        rounded = values + (2e-4 * artifact.golden[name].range * noise).astype(np.float32)
        if name != "frontend":  # most of whose values are near 0
            check(artifact, {name: rounded}, "cuda:0")
        check(artifact, {name: rounded}, "cuda:0", tf32=True)


def test_a_gpu_that_is_as_far_off_as_tf32_may_be_allowed_to(model: Path, outputs: Outputs) -> None:
    artifact, values = read_artifact(model), outputs["label"]
    rounded = {"label": values + np.float32(5e-3 * artifact.golden["label"].range) * np.sign(values)}
    check(artifact, rounded, "cuda:0", tf32=True)
    with pytest.raises(DeviceError, match=r"; TF32 would be as far off: allow it \(--tf32, tf32=True\), or use a"):
        check(artifact, rounded, "cuda:0")
    with pytest.raises(DeviceError, match=r"\); use another device"):
        check(artifact, rounded, "cpu")


def test_less_precision_may_be_further_off(model: Path) -> None:
    artifact = read_artifact(model)
    half = replace(artifact, options={**artifact.options, "precision": "float16"})
    assert tolerance(half, "label") == tolerance(artifact, "label", tf32=True) == FLOAT16
    int8 = replace(artifact, options={**artifact.options, "head": "int8"})
    assert tolerance(int8, "label").error > tolerance(int8, "embedding").error == SPATIAL.error
    assert tolerance(int8, "label", tf32=True) == tolerance(int8, "label") == INT8


def with_moved(artifact: Artifact, moved: Deviation) -> Artifact:
    golden = {name: replace(each, float32=moved, float16=moved) for name, each in artifact.golden.items()}
    return replace(artifact, golden=golden)


def test_outputs_that_rounding_moves_much_may_be_further_off_but_not_at_will(model: Path) -> None:
    some = with_moved(read_artifact(model), Deviation(1e-3, 1e-7))
    assert (tolerance(some, "label").error, tolerance(some, "label").cosine_distance) == (6e-3, 36e-7)
    much = with_moved(some, Deviation(10.0, 1.0))
    assert tolerance(much, "label") == FLOAT16
    most = tolerance(much, "label", tf32=True)
    assert (most.error, most.cosine_distance) == (0.3, 0.2)


def test_a_single_value_has_no_direction_and_small_ones_have_a_range() -> None:
    probabilities = np.array([[1e-4], *[[1e-4]] * 4], np.float32)
    one = fingerprint(probabilities, spread=1.0)
    assert one.deviation(np.array([[-1e-4]], np.float32)) == Deviation(pytest.approx(2e-4), 0.0)
    still = fingerprint(np.zeros((5, 3), np.float32))
    assert still.deviation(np.zeros((2, 3), np.float32)) == Deviation(0, 0)
    assert still.deviation(np.ones((2, 3), np.float32)).error == np.inf


def test_a_session_is_checked_when_it_is_warmed_up(
    model: Path, label_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, both = Session(model), open_models({"a": model, "b": label_model})
    one.warm_up(("embedding",), 2)
    both.warm_up(("a.embedding", "b.label"), 2)
    call = Session.__call__

    def wrong(self, windows, outputs, gathered=None, head_rows=None):  # type: ignore[no-untyped-def]
        found = call(self, windows, outputs, gathered, head_rows)
        return [-values if name == "label" else values for name, values in zip(outputs, found, strict=True)]

    monkeypatch.setattr(Session, "__call__", wrong)
    one.warm_up(("embedding",), 2)
    for warm_up, names in ((one.warm_up, ("label", "embedding")), (both.warm_up, ("a.embedding", "b.label"))):
        with pytest.raises(DeviceError, match=r"cpu computes wrongly with onnxruntime .*'label' is off by"):
            warm_up(names, 2)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])  # the second is bound as a GPU is
def test_rows_of_another_window_or_call_are_noticed(
    model: Path, monkeypatch: pytest.MonkeyPatch, device: str, batch_size: int
) -> None:
    session, call, last = Session(model), Session.__call__, {}
    session.device = device
    session.warm_up(("label",), batch_size)

    def first_row(*arguments, **more):  # type: ignore[no-untyped-def]
        return [np.repeat(values[:1], len(values), axis=0) for values in call(*arguments, **more)]

    def before(self, windows, *arguments, **more):  # type: ignore[no-untyped-def]
        found = call(self, windows, *arguments, **more)
        earlier, last[len(windows)] = last.get(len(windows), found), found
        return earlier

    def single(self, windows, *arguments, **more):  # type: ignore[no-untyped-def]
        return [values * (len(windows) > 1) for values in call(self, windows, *arguments, **more)]

    harms = [first_row] * (batch_size > 1) + [single if device == "cpu" else before]
    for harm in harms:
        monkeypatch.setattr(Session, "__call__", harm)
        with pytest.raises(DeviceError, match="computes wrongly"):
            session.warm_up(("label",), batch_size)


def test_a_file_without_a_golden_window_is_not_checked(model: Path) -> None:
    artifact = replace(read_artifact(model), golden={})
    assert Artifact.from_metadata(artifact.to_metadata(), "x.onnx") == artifact
    check(artifact, {"label": np.zeros((1, 40), np.float32)}, "cuda:0")


def test_what_another_version_wrote_is_read_as_far_as_it_goes(model: Path) -> None:
    artifact = read_artifact(model)

    def read(old: str, new: str) -> Artifact:
        entries = artifact.to_metadata()
        return Artifact.from_metadata({**entries, "golden": entries["golden"].replace(old, new)}, "x.onnx")

    assert read('"version": 1', '"version": 2').golden == {}
    renamed = read('"label"', '"other"')
    assert renamed.golden.keys() == artifact.heads.keys() - {"label"}
    check(renamed, {"label": np.zeros((1, 40), np.float32)}, "cuda:0")


def broken(change: Callable[[dict[str, object]], object]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        entry = json.loads(text)
        change(entry["heads"]["label"])
        return json.dumps(entry)

    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: "[]", "no JSON object"),
        (lambda _: "{}", "version"),
        (lambda text: text + " " * 2**22, "too great length"),
        (broken(lambda head: head.pop("range")), "range"),
        *(
            (broken(lambda head, value=value: head.update(range=value)), "no valid number")
            for value in (-1, True, "1", None, float("nan"), float("inf"), 10**400)
        ),
        (broken(lambda head: head["values"].pop()), "not 40 values of 'label'"),
        (broken(lambda head: head.update(values={})), "not 40 values of 'label'"),
        (broken(lambda head: head["values"].__setitem__(0, float("nan"))), "no valid number"),
        (broken(lambda head: head.update(float32=3)), "wrong description"),
        (broken(lambda head: head["float16"].update(error=-1e-9)), "no valid number"),
    ],
)
def test_a_wrong_entry_is_refused(model: Path, change: Callable[[str], str], message: str) -> None:
    entries = read_artifact(model).to_metadata()
    with pytest.raises(ArtifactError, match=message):
        Artifact.from_metadata({**entries, "golden": change(entries["golden"])}, "x.onnx")
