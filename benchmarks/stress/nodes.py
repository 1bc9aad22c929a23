"""A Ray cluster of several nodes on this machine, and ways to kill what is on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

DEAD_S = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}
"""A dead node is noticed within seconds; Ray's own settings take about half a minute."""
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}
PATIENCE_S = 60.0


class Nodes:
    """The cluster: a head and two more nodes, with a CPU each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {**NODE, "include_dashboard": False, "_system_config": DEAD_S}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = str(self._cluster.address)
        self._others: list[Any] = []
        self.fill()

    def fill(self) -> None:
        """Adds nodes until there are two besides the head."""
        while len(self._others) < 2:
            self._others.append(self._cluster.add_node(**NODE))

    def close(self) -> None:
        self._cluster.shutdown()

    def actors(self) -> list[psutil.Process]:
        """The actors on nodes besides the head that have a worker process."""
        found = []
        for node in self._others:
            with contextlib.suppress(psutil.NoSuchProcess):  # one that has just ended
                found += [each for each in psutil.Process(_raylet(node)).children() if _works(each)]
        return found

    @contextlib.contextmanager
    def busy_actor(self) -> Iterator[psutil.Process]:
        """An actor that is in the middle of a group, and stays there: its worker process stands still."""
        actor = wait_for(self.actors)[0]
        workers = actor.children()
        try:
            for worker in workers:
                worker.send_signal(signal.SIGSTOP)
            time.sleep(0.5)
            yield actor
        finally:
            for worker in workers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()

    def kill_node_of(self, actor: psutil.Process) -> None:
        """Kills the node on which an actor is, with all its processes."""
        self._kill(next(node for node in self._others if _raylet(node) == actor.ppid()))

    def kill_nodes(self, count: int) -> None:
        """Kills so many of the nodes besides the head."""
        for node in self._others[:count]:
            self._kill(node)

    def _kill(self, node: Any) -> None:
        self._others.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)


@contextlib.contextmanager
def ray_nodes() -> Iterator[Nodes]:
    """The cluster while the block runs. Its files lie in a folder of its own, where no other cluster is noted."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # the paths of sockets must be short
    before = dict(os.environ)
    os.environ |= {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ.pop("RAY_ADDRESS", None)
    nodes = Nodes()
    try:
        yield nodes
    finally:
        nodes.close()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(found: Callable[[], Any]) -> Any:
    """What `found` returns, once it is true."""
    end = time.monotonic() + PATIENCE_S
    while not (result := found()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return result


def parts(out: Path) -> list[Path]:
    """The committed parts of a dataset."""
    return list(out.glob("rows/*.parquet"))


def _works(process: psutil.Process) -> bool:
    return "UnitActor" in process.name() and bool(process.children())


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)
