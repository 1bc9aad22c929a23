"""Which setups are tried: workers, threads of each, and windows of a call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from runtime.errors import InputError
from runtime.model.artifact import Artifact
from runtime.model.profile import Setup

BATCH_SIZES, QUICK_BATCH_SIZES, GPU_BATCH_SIZES = (1, 2, 4, 8, 16, 32), (1, 2, 4, 8), (4, 8, 16, 32, 64)


def batch_sizes_of(artifact: Artifact, device: str, quick: bool, wanted: Sequence[int] | None) -> tuple[int, ...]:
    """Those wanted, or those worth trying.

    Raises:
        InputError: they are wanted of a graph that takes one window at a time.
    """
    if not artifact.free_batch:
        if wanted is not None and tuple(wanted) != (1,):
            raise InputError("the model takes one window at a time; measure it with --batch-sizes 1")
        return (1,)
    if wanted is not None:
        return tuple(wanted)
    return QUICK_BATCH_SIZES if quick else BATCH_SIZES if device == "cpu" else GPU_BATCH_SIZES


def crews_of(
    cores: int, device: str, workers: Sequence[int] | None = None, threads: Sequence[int] | None = None
) -> list[tuple[int, int]]:
    """Workers and threads of each, in rising order of workers.

    Without either: one worker with one thread, and all ways of sharing all cores (of a GPU's decoders, which have one
    thread each, half of them and all). With one of them given the other is 1, and what uses all cores.
    """
    if device != "cpu":
        return [(count, 1) for count in workers or sorted({max(1, cores // 2), cores})]
    if workers and threads:
        return [(count, each) for count in workers for each in threads]
    if workers:
        return sorted({(count, each) for count in workers for each in (1, max(1, cores // count))})
    if threads:
        return sorted({(count, each) for each in threads for count in (1, max(1, cores // each))})
    halves = [cores >> i for i in range(cores.bit_length())]
    return sorted({(1, 1), *((count, cores // count) for count in halves)})


def by_crew(setups: Sequence[Setup]) -> Iterator[tuple[tuple[int, int], list[Setup]]]:
    """Setups that the same processes can serve, in rising order of workers and then of batches."""
    in_order = sorted(setups, key=lambda setup: (setup.workers, setup.threads, setup.batch_size))
    for crew, group in groupby(in_order, key=lambda setup: (setup.workers, setup.threads)):
        yield crew, list(group)
