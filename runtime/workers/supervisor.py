"""The supervisor of a run's child processes; an `Engine` decides what they do."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from runtime.console.log import log
from runtime.errors import PerchError
from runtime.workers.child import Child
from runtime.workers.inbox import Inbox
from runtime.workers.protocol import Alive, Done, Notice, Opened, Ready, Refused, Rows, Task
from runtime.workers.schedule import ATTEMPTS, Schedule

MOST_FAILED_STARTS = 3
"""No more processes of a kind are started once so many in a row ended before they were ready."""

C = TypeVar("C", bound=Child)


@dataclass(frozen=True)
class Event:
    """Something that happened to a task."""

    task: Task
    message: Opened | Rows | Done


class Engine(ABC, Generic[C]):
    """A way from recordings to rows: which processes it takes, and which messages they exchange with their parent.

    It is entered before the first process is started, and left after the last one has ended.
    """

    kinds: tuple[type[C], ...]
    """Kinds of processes, in the order in which they are started. Scoring takes at least one of each."""
    setup: object
    """The first message that each process gets."""

    def __init__(self) -> None:
        self.children: list[C] = []
        """The processes that are alive; the supervisor adds and removes them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.stop()
        self.children.clear()

    @abstractmethod
    def wanted(self, kind: type[C], tasks: int) -> int:
        """How many processes of a kind there should be while `tasks` tasks are not done."""

    @abstractmethod
    def is_busy(self, child: C) -> bool:
        """Whether a process owes an answer; only then is its silence counted."""

    @abstractmethod
    def feed(self, next_task: Callable[[], Task | None]) -> None:
        """Gives work to the processes that wait for some."""

    @abstractmethod
    def take(self, child: C, message: Any) -> Iterator[Event]:
        """Deals with a message about work."""

    @abstractmethod
    def lose(self, child: C) -> tuple[list[C], list[Task]]:
        """The processes to stop because one has ended, itself included, and the tasks lost with them."""


class Supervisor:
    """Starts an engine's processes, feeds and listens to them, and replaces any that end; on leaving, stops them all.

    Processes outlive a schedule: the next one finds them ready.

    Args:
        engine: what is done with tasks.
        timeout_s: how long a process that owes an answer may be silent before it is killed.
    """

    def __init__(self, engine: Engine[Any], timeout_s: float) -> None:
        self._engine = engine
        self._inbox = Inbox(timeout_s)
        self._failed_starts: Counter[type[Child]] = Counter()
        self._ever_ready: set[type[Child]] = set()
        self._refusal: PerchError | None = None
        self._deadline: float | None = None

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._engine.__exit__(*error)

    def events(self, schedule: Schedule, deadline: float | None = None) -> Generator[Event | Ready, None, None]:
        """The events of the schedule's tasks, as they happen, until all are done or the deadline comes.

        `Ready` comes before all else, when a process of each kind is ready, and again with each one that starts later.
        Rows of one task come in order; those of several are interleaved. A task whose process dies, or is silent for
        too long, is tried once more, which sends its rows anew, and is then given up. After an iterator that was left
        early there can be no other.

        Args:
            schedule: the tasks.
            deadline: when to stop, done or not (a value of `time.monotonic()`).

        Raises:
            PerchError: no process can be started, or none can load the model.
        """
        engine, self._schedule, self._deadline = self._engine, schedule, deadline
        self._start()
        engine.feed(schedule.next)  # to processes that are ready from an earlier schedule
        if schedule.unfinished and not self._can_score and not self._is_over:  # too many starts failed before
            schedule.stop("no worker process stays alive")
        while schedule.unfinished and not self._is_over:
            busy = [child for child in engine.children if engine.is_busy(child)]
            received = self._inbox.receive(engine.children, busy, deadline)
            if received is None or received[0] not in engine.children:  # of one that was removed meanwhile
                continue
            yield from self._take(*received)
            engine.feed(schedule.next)

    @property
    def _is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def _can_score(self) -> bool:
        children = self._engine.children
        return all(any(isinstance(child, kind) for child in children) for kind in self._engine.kinds)

    def _start(self) -> None:
        """Starts the processes that are missing. If the system has no room for all, the run goes on with fewer."""
        engine = self._engine
        try:
            for kind in engine.kinds:
                alive = sum(isinstance(child, kind) for child in engine.children)
                for _ in range(alive, engine.wanted(kind, self._schedule.open)):
                    if self._is_over or self._failed_starts[kind] >= MOST_FAILED_STARTS:
                        return
                    engine.children.append(kind(engine.setup, self._inbox.queue))
        except OSError as error:
            if not self._can_score:
                raise PerchError(f"cannot start a worker process: {error.strerror}") from None

    def _take(self, child: Child, message: Any) -> Iterator[Event | Ready]:
        """Deals with a message."""
        if message is None or isinstance(message, Refused):
            yield from self._bury(child, message)
        elif isinstance(message, Notice):
            log.warning(message.text)
        elif isinstance(message, Ready):
            child.ready = True
            self._failed_starts[type(child)] = 0
            self._ever_ready.add(type(child))
            if self._ever_ready.issuperset(self._engine.kinds):
                yield message
        elif not isinstance(message, Alive):
            for event in self._engine.take(child, message):
                self._schedule.note(event.task, event.message)
                if isinstance(event.message, Opened) and event.message.parts > 1:  # more tasks, more processes
                    self._start()
                yield event

    def _bury(self, child: Child, refusal: Refused | None) -> Iterator[Event]:
        """Deals with a process that ended, or that cannot load the model."""
        reason = f"the worker {child.last_words()}" if refusal is None else str(refusal.error)
        gone, lost = self._engine.lose(child)
        for each in gone:
            self._engine.children.remove(each)
            each.stop()
        self._failed_starts[type(child)] += not child.ready
        for task in lost:
            if not child.ready:  # no recording ended it
                self._schedule.give_back(task)
            elif not self._schedule.retry(task):
                yield Event(task, Done(f"{reason}, {ATTEMPTS} times", lost=True))
        if not self._schedule.unfinished:
            return
        if refusal is not None:
            self._refusal = refusal.error
        else:
            try:
                self._start()
            except PerchError as error:
                reason = str(error)
        if self._can_score or self._is_over:
            return
        if not self._ever_ready.issuperset(self._engine.kinds):
            raise self._refusal or PerchError(f"cannot start scoring: {reason}")
        self._schedule.stop(reason)
