"""Shares of an archive's units, and what units are called."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import InputError
from runtime.archive.unit import Shard, shard_of, unit_id


@given(st.lists(st.floats(0.5, 500, width=32), max_size=200), st.integers(1, 30))
def test_each_unit_is_in_one_share_and_shares_are_about_equal(work: list[float], count: int) -> None:
    weights = np.array(work, np.float32)
    masks = [Shard(number, count).mask(weights) for number in range(1, count + 1)]
    assert np.array_equal(np.sum(masks, axis=0), np.ones(len(work))) or not work
    assert all(mask.sum() == 0 or np.ptp(np.flatnonzero(mask)) + 1 == mask.sum() for mask in masks)
    largest = float(weights.max(initial=0))
    for mask in masks:
        assert weights[mask].sum(dtype=np.float64) <= float(weights.sum(dtype=np.float64)) / count + largest + 0.01


@pytest.mark.parametrize(
    ("variables", "shard"),
    [
        ({}, None),
        ({"TASK_ID": "7", "TASK_MIN": "0", "TASK_COUNT": "20"}, (8, 20)),
        ({"TASK_ID": "20", "TASK_MIN": "1", "TASK_COUNT": "20", "TASK_STEP": "1"}, (20, 20)),
        ({"TASK_ID": "5", "TASK_MIN": "1", "TASK_COUNT": "4", "TASK_STEP": "2"}, (3, 4)),
        ({"TASK_ID": "5"}, None),
    ],
)
def test_a_slurm_array_says_the_share(variables: dict[str, str], shard: tuple[int, int] | None) -> None:
    found = shard_of(None, {f"SLURM_ARRAY_{name}": value for name, value in variables.items()})
    assert (found and (found.number, found.count)) == shard
    asked = shard_of("2/3", {f"SLURM_ARRAY_{name}": value for name, value in variables.items()})
    assert asked == Shard(2, 3)


def test_an_array_with_gaps_says_no_share() -> None:
    with pytest.raises(
        InputError, match=r"task 7 of this SLURM array of 2 tasks from 3 on .* name the share with --shard"
    ):
        shard_of(None, {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "2"})


def test_a_unit_is_called_by_all_that_its_rows_depend_on() -> None:
    ids = {
        unit_id(*arguments)
        for arguments in (
            ("f", "a/b.wav", 10, 0, 4),
            ("g", "a/b.wav", 10, 0, 4),
            ("f", "a/c.wav", 10, 0, 4),
            ("f", "a/b.wav", 11, 0, 4),
            ("f", "a/b.wav", 10, 4, 8),
            ("f", "a/b.wav", 10, 0, None),
            ("f", "a/b\udcff.wav", 10, 0, 4),
        )
    }
    assert len(ids) == 7
