"""Actors on a Ray cluster: as many as it has room for. Nodes come and go, and no unit is lost with one."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any, Self

from runtime.archive.ray_actor import Group, Outcome, UnitActor, Work
from runtime.archive.unit import Unit
from runtime.console.log import log
from runtime.errors import OutputError, PerchError, counted

TICK_S, STOP_S = 2.0, 15.0
"""How often the cluster's size is looked at, and how long actors may take to commit what is done after Ctrl-C."""
WARN_S, PATIENCE_S = 30.0, 900.0
"""After how long without an actor at work there is a warning, and after how long the run gives up."""
ATTEMPTS = 3
"""How often a unit is tried that is alone in its group."""
MOST_FAILED, MOST_LOST = 3, 20
"""After how many failures for each actor, with nothing done between them, the run ends: of starts and of work, and by
the loss of actors at work."""


class RayPool:
    """Has actors score groups of units.

    A group whose actor is lost is cut in two, and both halves are tried again: if a unit is to blame, that isolates it.
    An actor whose node cannot take part (another model there, no recordings there) stays, and gets no work, so that
    its place is not offered again.

    Args:
        ray: the package, connected to a cluster.
        work: what the actors do.
        units: how many units there are.
        workers: how many actors are asked for; None: as many as there is room for.
    """

    def __init__(self, ray: Any, work: Work, units: int, workers: int | None) -> None:
        self._ray, self._work, self._units, self._workers = ray, work, units, workers
        self._sent = ray.put(work)
        self._gpu = work.job.device != "cpu"
        self._waiting: deque[Group] = deque()
        self._running: dict[Any, tuple[Any, Group | None]] = {}
        self._idle: list[Any] = []
        self._refused: list[Any] = []
        self._refusals: dict[str, None] = {}
        self._attempts: Counter[str] = Counter()
        self._failed_in_a_row = self._lost_in_a_row = 0
        self._stuck_since: float | None = None
        self._warned = False
        self.given_up: list[tuple[Unit, str]] = []
        """Units that were given up, and why."""
        self.lost = 0
        """How many actors were lost while they worked."""
        self.ready: float | None = None
        """When the first actor was ready, on the monotonic clock."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in (*(actor for actor, _ in self._running.values()), *self._idle, *self._refused):
            with contextlib.suppress(Exception):  # the connection may be gone, and with it the actors
                self._ray.kill(actor)

    @property
    def wanted(self) -> int:
        """How many actors there should be: as asked, or as many as there is room for with one CPU left free."""
        has = self._ray.cluster_resources()
        room = int(has.get("GPU", 0)) if self._gpu else int(has.get("CPU", 0) - 1) // self._cpus
        return min(self._units, self._workers or max(1, room))

    @property
    def _cpus(self) -> int:
        """How many CPUs an actor takes."""
        setup = self._work.job.setup
        return setup.workers if self._gpu else setup.threads

    def outcomes(self, groups: Iterator[Group]) -> Iterator[tuple[Group, Outcome]]:
        """What became of groups, as it comes: each unit that was done comes once. Empty when an actor is ready.

        Raises:
            OutputError: an actor cannot write.
            PerchError: there is no actor that can work.
        """
        while self._feed(groups) or any(group for _, group in self._running.values()):
            done, _ = self._ray.wait(list(self._running), timeout=TICK_S)
            for ref in done:
                actor, group = self._running.pop(ref)
                try:
                    answer = self._ray.get(ref)
                except self._ray.exceptions.RayError as error:
                    self._lose(actor, group, error)
                    continue
                if group is None:
                    self._welcome(actor, answer)
                    yield (), Outcome(())
                else:
                    self._idle.append(actor)
                    yield group, answer
                    self._check(group, answer)
            self._watch()

    def stopped(self) -> Iterator[tuple[Group, Outcome]]:
        """What became of the groups that actors were at work on, after asking them to stop."""
        busy = {ref: group for ref, (_, group) in self._running.items() if group is not None}
        for actor, group in self._running.values():
            if group is not None:
                actor.stop.remote()
        done, _ = self._ray.wait(list(busy), num_returns=len(busy), timeout=STOP_S) if busy else ([], [])
        for ref in done:
            with contextlib.suppress(self._ray.exceptions.RayError):
                yield busy[ref], self._ray.get(ref)

    def _feed(self, groups: Iterator[Group]) -> bool:
        """Gives work to idle actors, and starts those that are missing; returns whether any work is not handed out."""
        while True:
            if not self._waiting:
                self._waiting.extend(itertools.islice(groups, 1))
            if not (self._idle and self._waiting):
                break
            actor, group = self._idle.pop(), self._waiting.popleft()
            self._running[actor.score.remote(group)] = actor, group
        if self._waiting:
            for _ in range(len(self._running) + len(self._refused), self.wanted):
                actor = self._start()
                self._running[actor.refusal.remote()] = actor, None
        return bool(self._waiting)

    def _start(self) -> Any:
        options = {
            "num_cpus": self._cpus,
            "num_gpus": int(self._gpu),
            "memory": memory_of(self._work),
            "max_restarts": 0,
            "max_concurrency": 2,  # `stop` comes while `score` runs
            "scheduling_strategy": "SPREAD",
        }
        return self._ray.remote(UnitActor).options(**options).remote(self._sent)

    def _welcome(self, actor: Any, refusal: str | None) -> None:
        """Takes an actor that has started."""
        if refusal is None:
            self.ready = self.ready or time.monotonic()
            self._idle.append(actor)
            return
        self._refused.append(actor)
        if refusal not in self._refusals:
            self._refusals[refusal] = None
            log.warning("a node cannot take part: %s", refusal)

    def _lose(self, actor: Any, group: Group | None, error: Exception) -> None:
        """Deals with an actor that ended."""
        with contextlib.suppress(Exception):
            self._ray.kill(actor)
        why = reason_of(error)
        if group is None:
            self._fail(
                f"no actor starts ({why}); every node needs the same installation of perch-onnx and its packages"
            )
            return
        self.lost += 1
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= MOST_LOST * self.wanted:
            raise PerchError(f"every actor on the Ray cluster was lost before it did anything: {why}")
        self._again(group, why)

    def _fail(self, why: str) -> None:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= MOST_FAILED * self.wanted:
            raise PerchError(f"nothing can be done on the Ray cluster: {why}")

    def _again(self, group: Group, why: str) -> None:
        """Puts back units that were not done."""
        middle = len(group) // 2
        if middle:
            self._waiting += [group[:middle], group[middle:]]
            return
        unit = group[0][0]
        self._attempts[unit.id] += 1
        if self._attempts[unit.id] < ATTEMPTS:
            self._waiting.append(group)
        else:
            self.given_up.append((unit, why))

    def _check(self, group: Group, outcome: Outcome) -> None:
        """Deals with units that an actor could not do, though it lives on."""
        if isinstance(outcome.error, OutputError):
            raise outcome.error
        done = {status.unit_id for status in outcome.done}
        if done:
            self._failed_in_a_row = self._lost_in_a_row = 0
        elif outcome.error is not None:
            self._fail(str(outcome.error))
        if rest := [(unit, place) for unit, place in group if unit.id not in done]:
            self._again(rest, str(outcome.error))

    def _watch(self) -> None:
        """Sees to it that a run that waits for actors says so, and does not wait for ever."""
        if self._idle or any(group for _, group in self._running.values()):
            self._stuck_since = None
            return
        if self._refused and not self._running:
            raise PerchError(f"no node of the Ray cluster can take part: {next(iter(self._refusals))}")
        now = time.monotonic()
        self._stuck_since = self._stuck_since or now
        needs = f"{counted(self._cpus, 'CPU')}{', a GPU' if self._gpu else ''} and {memory_of(self._work) / 1e9:.1f} GB"
        if now - self._stuck_since > PATIENCE_S:
            waited = f"{PATIENCE_S / 60:.0f} minutes"
            raise PerchError(f"the Ray cluster had no room for an actor, which needs {needs}, for {waited}")
        if now - self._stuck_since > WARN_S and not self._warned:
            self._warned = True
            log.warning("waiting for room on the Ray cluster: an actor needs %s", needs)


def memory_of(work: Work) -> int:
    """Bytes of memory that an actor takes with its worker process: a quarter more than Perch v1 and v2 took."""
    return int(1.25 * sum(path.stat().st_size for path in work.job.models.values()) + 4e8)


def reason_of(error: Exception) -> str:
    """One line that says why an actor ended: what it raised, if that is known."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1] if "creation task" in lines[0] or "Traceback" in str(error) else lines[0]
