from pathlib import Path

import numpy as np
import pytest

from convert.proof.audio import ProofAudio
from convert.proof.parity import compare
from runtime.model.tolerance import FLOAT16
from tests.support.recordings import WINDOW, write

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(-3, 2, (12, 50)).astype(np.float32)


def test_equal_values_pass() -> None:
    result = compare(LOGITS, LOGITS.copy())
    assert result.failures() == []
    assert result.error == 0
    assert result.range == pytest.approx(np.ptp(LOGITS))


def test_error_is_relative_to_the_range_over_all_windows() -> None:
    shifted = LOGITS.copy()
    shifted[3, 4] += 0.5
    assert compare(LOGITS, shifted).error == pytest.approx(0.5 / np.ptp(LOGITS), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda x: x * 1.01, "error"),
        (lambda x: x[:, ::-1], "1 - cosine"),
        (lambda x: x + RNG.normal(0, 0.02, x.shape), "1 - cosine"),
        (lambda x: np.where(x == x.max(), np.nan, x), "error nan"),
    ],
)
def test_differences_are_caught(change: object, complaint: str) -> None:
    changed = change(LOGITS).astype(np.float32)  # type: ignore[operator]
    assert complaint in "; ".join(compare(LOGITS, changed).failures())


def test_half_precision_has_wider_bounds() -> None:
    assert compare(LOGITS, LOGITS * np.float32(1.01)).failures(FLOAT16) == []
    assert "exceeds 2e-02" in compare(LOGITS, LOGITS * np.float32(1.05)).failures(FLOAT16)[0]
    assert (
        "1 - cosine"
        in compare(LOGITS, LOGITS + RNG.normal(0, 0.1, LOGITS.shape).astype(np.float32)).failures(FLOAT16)[-1]
    )


def test_top1_is_counted() -> None:
    swapped = LOGITS.copy()
    best = int(LOGITS[0].argmax())
    swapped[0, [best, 0 if best else 1]] = swapped[0, [0 if best else 1, best]]
    assert compare(LOGITS, LOGITS).top1_equal == 12
    assert compare(LOGITS, swapped).top1_equal == 11


def test_silence_is_judged_by_its_error_alone() -> None:
    expected = np.stack([np.zeros(100, np.float32), RNG.normal(size=100).astype(np.float32)])
    actual = expected.copy()
    actual[0] = 1e-8
    result = compare(expected, actual)
    assert result.failures() == []


def test_long_recordings_make_up_for_short_ones_and_repeats_are_told(tmp_path: Path) -> None:
    order = np.linspace(0.1, 0.9, 8, dtype=np.float32)
    values = iter(order)
    for name, count in (("a", 1), ("b", 1), ("c", 6)):
        write(tmp_path / f"{name}.wav", np.repeat([next(values) for _ in range(count)], WINDOW), subtype="FLOAT")
    audio = ProofAudio(tmp_path)
    for asked, given in ((3, [0, 1, 2]), (6, [0, 1, 2, 3, 4, 5]), (100, range(8))):
        np.testing.assert_array_equal(audio.at_most(asked)[:, 0], order[list(given)])
    assert audio.description(audio.exactly(6)) == f"recordings of {tmp_path.name}"
    assert audio.description(audio.exactly(12)) == f"recordings of {tmp_path.name} (8 different windows)"


def test_no_recording_is_left_out_while_another_one_gives_two_windows(tmp_path: Path) -> None:
    for name in range(4):
        write(tmp_path / f"{name}.wav", np.full(2 * WINDOW, (1 + name) / 8, np.float32), subtype="FLOAT")
    assert sorted(ProofAudio(tmp_path).at_most(5)[:, 0]) == [1 / 8, 1 / 8, 2 / 8, 3 / 8, 4 / 8]
