"""The setups that are tried: workers, threads of each, and windows per batch."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.errors import InputError
from runtime.model.artifact import Artifact

BATCH_SIZES, QUICK_BATCH_SIZES, GPU_BATCH_SIZES = (1, 2, 4, 8, 16, 32), (1, 2, 4, 8), (4, 8, 16, 32, 64)


def batch_sizes_of(artifact: Artifact, device: str, quick: bool, wanted: Sequence[int] | None) -> tuple[int, ...]:
    """The batch sizes that the user wants or, if None, those worth trying.

    Raises:
        InputError: the model takes one window at a time, and other sizes are wanted.
    """
    if not artifact.free_batch:
        if wanted is not None and tuple(wanted) != (1,):
            raise InputError("the model takes one window at a time; measure it with --batch-sizes 1")
        return (1,)
    if wanted is not None:
        return tuple(wanted)
    return QUICK_BATCH_SIZES if quick else BATCH_SIZES if device == "cpu" else GPU_BATCH_SIZES


def layouts_of(
    cores: int, device: str, workers: Sequence[int] | None = None, threads: Sequence[int] | None = None
) -> list[tuple[int, int]]:
    """Pairs of a number of workers and the threads of each, in rising order of workers.

    By default one worker with one thread, and every way to divide all cores evenly. If only one of the numbers is
    given, the other is 1 and what then uses all cores. On a GPU the workers decode with one thread each: by default
    half as many as there are cores, and as many.
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
