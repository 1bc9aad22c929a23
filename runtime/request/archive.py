"""How a run shares an archive's work with others."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.request.field import check_options, option

GROUP = "an archive: rows go to a folder, which several machines may fill together"


@dataclass(frozen=True, kw_only=True)
class ArchiveOptions:
    """Which of an archive's units a run does.

    Raises:
        InputError: one cannot be used.
    """

    dataset: bool = option(
        False,
        "write a dataset: a folder of Parquet files, in units of at most ten minutes of audio. It is the default where "
        "`sink` ends in / or is such a folder. Repeating the command does what is missing, whoever did the rest",
        GROUP,
    )
    shard: str | None = option(
        None,
        'do one share of the units, such as "3/20". Shares are about equal work, and any number may run at once',
        GROUP,
        unset="under SLURM the share of this task of the array, else all units",
        metavar="K/N",
    )
    plan: bool = option(
        False,
        "only read the recordings' headers and write the manifest; score nothing. Shards that start together then need "
        "not each plan",
        GROUP,
    )
    retry_failed: bool = option(
        False,
        "do those units again that failed and, without `shard`, recordings that changed since. Otherwise they count as "
        "done",
        GROUP,
    )
    ray: str | None = option(
        None,
        'do the units on a Ray cluster: the address of one, or "auto" for the one that this machine is part of, else '
        "one that is started on this machine. Each node needs the same installation, and the same paths to recordings, "
        "model and output. `workers` is how many actors there are at most",
        GROUP,
        unset='this machine alone; the flag without an address means "auto"',
        metavar="ADDRESS",
        bare="auto",
    )

    def __post_init__(self) -> None:
        check_options(self)
