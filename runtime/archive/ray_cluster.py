"""An archive's work on a Ray cluster: connects to one, and has actors on its nodes score the units.

Plain actors, not Ray Data, whose engine would run the same actors: docs/clusters.md says what was measured of both.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime.archive.folder import LocalFolder
from runtime.archive.part import PART_BYTES, PartWriter
from runtime.archive.preparation import LOOKED_FOR, Archive
from runtime.archive.ray_actor import Group, Outcome, Work
from runtime.archive.ray_pool import RayPool
from runtime.archive.scoring import lost_unit
from runtime.archive.summary import ArchiveSummary
from runtime.archive.unit import Unit
from runtime.console.progress import ProgressReports, Report
from runtime.console.version import __version__
from runtime.cores import usable_cores
from runtime.errors import InputError, counted, first_line
from runtime.remote import is_there
from runtime.shield import Shield

AUTO, LOCAL = "auto", "local"
CONNECT_S = 10.0
OBJECT_STORE = 100_000_000
"""Bytes of shared memory for a cluster that is started here: only units and their states travel."""
GROUP_WORK = {"cpu": 1_000.0, "cuda": 60_000.0}
"""What a group of units costs, in windows: about a minute of a core, or of a card."""
GROUPS_EACH = 4
"""A small archive is cut into at least so many groups for each actor, so that all end at about the same time."""


def import_ray() -> Any:
    """The package `ray`.

    Raises:
        InputError: it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise InputError("Ray is not installed: `pip install ray` (or '.[ray]' in the project's folder)") from None
    return ray


def score_on_ray(archive: Archive, summary: ArchiveSummary, report: Report, address: str) -> None:
    """Scores what is to be done on a cluster, and notes in the summary what was done.

    Args:
        archive: the run.
        summary: what it did.
        report: see `ProgressReports`.
        address: of the cluster; "auto" for one that this machine is part of, else one that is started here.

    Raises:
        InputError: Ray is not installed, or the address is of no cluster.
        OutputError: a part could not be written.
        PerchError: no actor can work.
    """
    ray = import_ray()
    total, before = archive.recordings
    done: list[str] = []
    with (
        Shield() as shield,
        connected(ray, address, shield) as cluster,
        RayPool(ray, _work(ray, archive), len(archive.todo), archive.job.request.workers) as pool,
    ):
        setup = archive.job.setup
        actors = counted(pool.wanted, "actor")
        summary.setup = f"{actors} on {cluster}, threads {setup.threads}, batch {setup.batch_size}"
        with ProgressReports(round(total), before, report) as progress:

            def note(outcomes: Iterator[tuple[Group, Outcome]]) -> None:
                for group, outcome in outcomes:
                    progress.start()
                    parts = {unit.id: unit.parts for unit, _ in group}
                    for status in outcome.done:
                        summary.add(status)
                        progress.add(done=1 / parts[status.unit_id], windows=status.scored)
                        done.append(status.unit_id)

            with shield.noting_interrupt():
                note(pool.outcomes(groups_of(archive, pool.wanted)))
            if shield.interrupted:
                shield.finish(lambda: note(pool.stopped()))
        summary.interrupted = shield.interrupted
        shield.finish(lambda: _give_up(pool.given_up, archive, summary))
    ended = time.monotonic()
    summary.windows_per_s = summary.windows / max(ended - (pool.ready or ended), 1e-9)
    if pool.lost:
        lost = f"{counted(pool.lost, 'actor')} lost on the way; others did {'its' if pool.lost == 1 else 'their'} units"
        summary.remarks = (*summary.remarks, lost)
    archive.ledger.clear_failed(archive.folder, set(done))


def _give_up(units: Sequence[tuple[Unit, str]], archive: Archive, summary: ArchiveSummary) -> None:
    """Commits units that ended each actor which tried them: they failed, without rows."""
    writer = PartWriter(archive.folder, archive.plan, f"{archive.label}-ray")
    try:
        for unit, why in units:
            summary.add(writer.add(lost_unit(unit, archive.plan, f"was not scored by any actor that tried: {why}")))
    finally:
        writer.close()


def _work(ray: Any, archive: Archive) -> Work:
    """What the actors of a run do. On the CPU each has one worker; on a card, the decoders that it has cores for."""
    job, folder = archive.job, archive.folder
    if isinstance(folder, LocalFolder):
        folder = LocalFolder(folder.path.absolute())  # actors are in other working folders
    workers, device = 1, job.device
    if device != "cpu":
        has, device = ray.cluster_resources(), "cuda:0"  # Ray shows an actor its own card alone
        workers = max(1, int((has.get("CPU", 0) - 1) // max(1, has.get("GPU", 0))))
    job = replace(job, setup=replace(job.setup, workers=workers), device=device)
    places = map(archive.place, archive.manifest.units(archive.todo[:LOOKED_FOR]))
    some = [place for place in places if is_there(place)]
    return Work(folder, archive.plan, archive.artifact, job, f"{archive.label}-ray", some, __version__)


def groups_of(archive: Archive, actors: int) -> Iterator[Group]:
    """The units that are to be done, in groups of about a minute of work.

    On the CPU the rows of a group fit into one part, which an actor writes at the end: one that is lost leaves none.
    """
    work, device = archive.manifest.work[archive.todo].astype(np.float64), archive.job.device.partition(":")[0]
    row_bytes = 4 * archive.plan.columns.numbers
    most = min(GROUP_WORK[device], PART_BYTES / row_bytes if device == "cpu" else np.inf)
    size = min(most, max(1.0, work.sum() / (GROUPS_EACH * actors)))
    numbers = np.floor((np.cumsum(work) - work / 2) / size)
    edges = np.flatnonzero(np.diff(numbers)) + 1
    for rows in np.split(archive.todo, edges):
        yield [(unit, archive.place(unit)) for unit in archive.manifest.units(rows)]


@contextlib.contextmanager
def connected(ray: Any, address: str, shield: Shield) -> Iterator[str]:
    """A connection to a cluster, which is called what this yields.

    Raises:
        InputError: there is none at this address.
    """
    if ray.is_initialized():  # the caller's own; it stays open
        yield "the Ray cluster"
        return
    found = _find(address)
    options: dict[str, Any] = {"address": found, "log_to_driver": False, "logging_level": "CRITICAL"}
    if found == LOCAL:  # one CPU more than there is: actors leave one free, and this process takes little
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {"num_cpus": usable_cores() + 1, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shield(lambda: ray.init(**options))  # interrupted, it would leave processes behind
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot connect to a Ray cluster at {address}: {first_line(error)}") from None
    except KeyboardInterrupt:
        ray.shutdown()
        raise
    if threading.current_thread() is threading.main_thread() and (handler := signal.getsignal(signal.SIGTERM)):
        signal.signal(signal.SIGTERM, handler)  # Ray has put one before it that prints a stack
    with _silence(ray):
        try:
            yield "a Ray cluster on this machine" if found == LOCAL else f"the Ray cluster at {found}"
        finally:
            ray.shutdown()


def _find(address: str) -> str:
    """The address of a cluster that answers, or `LOCAL`. Ray itself would try for minutes.

    Raises:
        InputError: none answers.
    """
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO
    if address == AUTO:
        noted = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray", "ray_current_cluster")
        try:
            address = noted.read_text().strip()
        except OSError:
            return LOCAL
        return address if _answers(address) else LOCAL
    host = address.removeprefix("ray://")
    if ":" in host and not _answers(host):
        raise InputError(f"no Ray cluster answers at {address}")
    return address


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


@contextlib.contextmanager
def _silence(ray: Any) -> Iterator[None]:
    """Keeps Ray from printing what happens to nodes and actors: the run itself says what matters."""
    worker = ray._private.worker
    before = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before
