import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.audio.windows import count_windows, format_end, has_window, normalize_peak

RATE, WINDOW = 32_000, 160_000


@pytest.mark.parametrize(
    ("seconds", "hop_s", "count"),
    [
        (0.3, 5, 1),
        (0.01, 5, 1),
        (5, 5, 1),
        (5.049, 5, 1),  # what is left over is codec padding
        (5.05, 5, 2),
        (60, 5, 12),
        (60.04, 5, 12),
        (12, 2.5, 4),
        (60, 2.5, 23),
        (12, 10, 2),
        (8, 10, 1),  # the second window would start behind the end
    ],
)
def test_counts(seconds: float, hop_s: float, count: int) -> None:
    assert count_windows(round(seconds * RATE), WINDOW, round(hop_s * RATE), RATE) == count


@given(samples=st.integers(1, 40 * RATE), hop=st.integers(1, 2 * WINDOW))
def test_count_is_the_number_of_windows_that_exist(samples: int, hop: int) -> None:
    hop = max(hop, samples // 1000 + 1)
    count = count_windows(samples, WINDOW, hop, RATE)
    exist = [has_window(i, samples, WINDOW, hop, RATE) for i in range(count + 3)]
    assert exist == [True] * count + [False] * 3


@given(samples=st.integers(WINDOW, 40 * RATE), hop=st.integers(RATE // 20, WINDOW))
def test_count_follows_the_stated_formula(samples: int, hop: int) -> None:
    remainder = (samples - WINDOW) % hop
    expected = 1 + -(-(samples - WINDOW) // hop) - (0 < remainder < 0.05 * RATE)
    assert count_windows(samples, WINDOW, hop, RATE) == expected


@pytest.mark.parametrize(
    ("index", "hop_s", "text"), [(0, 5, "5"), (11, 5, "60"), (1, 2.5, "7.5"), (40001, 5, "200010")]
)
def test_ends(index: int, hop_s: float, text: str) -> None:
    assert format_end(index, WINDOW, round(hop_s * RATE), RATE) == text


def test_ends_of_a_fortnight_are_distinct() -> None:
    hop = RATE // 2
    ends = [format_end(k, WINDOW, hop, RATE) for k in range(2_419_000, 2_419_200)]
    assert len(set(ends)) == 200


def test_peak_normalisation() -> None:
    samples = np.random.default_rng(0).normal(0.3, 0.01, WINDOW).astype(np.float32)
    normalized = normalize_peak(samples)
    assert normalized.dtype == np.float32
    assert np.abs(normalized).max() == pytest.approx(0.25, abs=1e-6)
    assert abs(normalized.mean()) < 1e-4
    assert np.corrcoef(samples, normalized)[0, 1] > 0.999999


@pytest.mark.parametrize("level", [0.0, 0.1, -1.0])
def test_silence_stays_silent(level: float) -> None:
    assert not normalize_peak(np.full(WINDOW, level, np.float32)).any()
