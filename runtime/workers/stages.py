"""Decoders fill a ring of batches in shared memory, and one process per GPU empties it."""

from __future__ import annotations

import contextlib
import itertools
import queue
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from runtime.errors import PerchError
from runtime.workers.child import Child, Inbox
from runtime.workers.pool import MOST_FAILED_STARTS, Event
from runtime.workers.protocol import (
    NOT_FINITE,
    Alive,
    Batch,
    Decoded,
    Done,
    Flush,
    Job,
    Notice,
    Opened,
    Ready,
    Refused,
    RingSetup,
    Scored,
    SlotGrant,
    SlotRequest,
    Task,
    Ticket,
)
from runtime.workers.ring import Ring, Shape
from runtime.workers.schedule import ATTEMPTS, Schedule

SPARE_SLOTS = 4
"""Slots of the ring beyond one for each decoder: they wait for the scorer or are with it."""


def score_in_stages(
    schedule: Schedule,
    job: Job,
    shape: tuple[int, int],
    decoders: int,
    deadline: float | None,
    timeout_s: float,
) -> Generator[Event, None, None]:
    """Does what `score_recordings` does, with `decoders` processes that decode and one that scores.

    Batches may hold windows of several recordings. `shape` is the sample rate and a window's samples.

    Raises:
        PerchError: a process cannot be started, or cannot load the model; or there is no room for the ring.
    """
    rate, samples = shape
    try:
        ring = Ring.create(Shape(decoders + SPARE_SLOTS, job.batch_size, samples))
    except OSError as error:
        raise PerchError(f"no room for windows in shared memory ({error.strerror}); use a smaller batch") from None
    stages = _Stages(schedule, RingSetup(ring.path, ring.shape, rate, job), decoders, timeout_s)
    try:
        stages.start()
        while schedule.unfinished and (deadline is None or time.monotonic() < deadline):
            received = stages.receive(deadline)
            if received is not None:
                yield from stages.take(*received)
                stages.feed()
    finally:
        stages.stop()
        ring.remove()


@dataclass
class _Progress:
    """What became of a ticket."""

    task: Task
    decoder: _Decoder
    decoded: Decoded | None = None
    scored: int = 0
    overflow: bool = False


class _Decoder(Child):
    """A child that decodes. `waits` is whether it wants a slot; `slot` is the one it fills; `tickets` those it got."""

    def __init__(self, setup: RingSetup, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
        super().__init__("runtime.workers.decoder", setup, inbox)
        self.waits = self.flushed = False
        self.ticket: int | None = None
        self.slot: int | None = None
        self.tickets: set[int] = set()

    @property
    def busy(self) -> bool:
        """Whether it owes an answer."""
        return not self.ready or (self.ticket is not None and not self.waits)


class _Scorer(Child):
    """A child that scores. `slots` are those it has."""

    def __init__(self, setup: RingSetup, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
        super().__init__("runtime.workers.scorer", setup, inbox)
        self.slots: set[int] = set()

    @property
    def busy(self) -> bool:
        """Whether it owes an answer."""
        return not self.ready or bool(self.slots)


class _Stages:
    """The processes alive, the ring's free slots, and the tickets that are not done."""

    def __init__(self, schedule: Schedule, setup: RingSetup, decoders: int, timeout_s: float) -> None:
        self._schedule, self._setup, self._wanted = schedule, setup, decoders
        self._inbox = Inbox(timeout_s)
        self._numbers = itertools.count()
        self._tickets: dict[int, _Progress] = {}
        self._free: list[int] = []
        self._ever_ready = self._ever_decoded = False
        self._failed_starts: Counter[type[Child]] = Counter()
        self._scorer: _Scorer | None = None
        self._decoders: list[_Decoder] = []

    def start(self) -> None:
        """Starts all processes."""
        self._free = list(range(self._setup.shape.slots))
        try:
            self._scorer = _Scorer(self._setup, self._inbox.queue)
            self._decoders = [_Decoder(self._setup, self._inbox.queue) for _ in range(self._wanted)]
        except OSError as error:
            self.stop()
            raise PerchError(f"cannot start a worker process: {error.strerror}") from None

    def stop(self) -> None:
        """Ends all processes."""
        for child in self._children():
            child.stop()
        self._scorer, self._decoders = None, []

    def receive(self, deadline: float | None) -> tuple[Any, Any] | None:
        """The next message, or None after a while without one. Processes that hang are killed, and heard of next."""
        children = self._children()
        return self._inbox.receive(children, [child for child in children if child.busy], deadline)

    def take(self, child: Any, message: Any) -> Iterator[Event]:
        """Deals with a message."""
        if child not in self._children():  # of one that was ended since
            return
        if message is None or isinstance(message, Refused):
            yield from self._bury(child, message)
        elif isinstance(message, Notice):
            warnings.warn(message.text, RuntimeWarning, stacklevel=2)
        elif isinstance(message, Scored):
            child.slots.discard(message.slot)
            self._free.append(message.slot)
            for number, rows, overflow in message.rows:
                if (progress := self._tickets.get(number)) is not None:
                    progress.scored += len(rows.scored)
                    progress.overflow |= overflow
                    self._schedule.note(progress.task, rows)
                    yield Event(progress.task, rows)
                    yield from self._completed(number)
        elif isinstance(message, Alive):
            pass  # that it was heard is all
        elif isinstance(message, Ready):
            child.ready = True
            self._failed_starts[type(child)] = 0
            if child is self._scorer:
                self._ever_ready = True
                yield Event(None, message)
            else:
                self._ever_decoded = True
        else:
            yield from self._take_decoded(child, message)
        self._grant()

    def _take_decoded(self, decoder: _Decoder, message: SlotRequest | Batch | Opened | Decoded) -> Iterator[Event]:
        if isinstance(message, SlotRequest):
            decoder.waits = True
        elif isinstance(message, Batch) and self._scorer is not None:
            decoder.slot = None
            self._scorer.slots.add(message.slot)
            self._scorer.heard = time.monotonic() if len(self._scorer.slots) == 1 else self._scorer.heard
            self._scorer.send(message)
        elif isinstance(message, Opened) and decoder.ticket is not None:
            task = self._tickets[decoder.ticket].task
            self._schedule.note(task, message)
            yield Event(task, message)
        elif isinstance(message, Decoded):
            decoder.ticket = None
            self._tickets[message.ticket].decoded = message
            yield from self._completed(message.ticket)

    def feed(self) -> None:
        """Gives waiting tasks to idle decoders; one for which there is none sends off what it has."""
        for decoder in self._decoders:
            if not decoder.ready or decoder.ticket is not None:
                continue
            if (task := self._schedule.next()) is not None:
                number = next(self._numbers)
                self._tickets[number] = _Progress(task, decoder)
                decoder.ticket, decoder.heard, decoder.flushed = number, time.monotonic(), False
                decoder.tickets.add(number)
                decoder.send(Ticket(number, task))
            elif not decoder.flushed:
                decoder.flushed = True
                decoder.send(Flush())

    def _completed(self, number: int) -> Iterator[Event]:
        """That a ticket is done, once all its windows are scored."""
        progress = self._tickets[number]
        decoded = progress.decoded
        if decoded is None or progress.scored < decoded.sent:
            return
        failure = decoded.failure
        if progress.overflow and failure is None:
            failure = NOT_FINITE
        del self._tickets[number]
        progress.decoder.tickets.discard(number)
        done = Done(failure, decoded.windows, notes=decoded.notes)
        self._schedule.note(progress.task, done)
        yield Event(progress.task, done)

    def _grant(self) -> None:
        """Gives free slots to decoders that wait for one."""
        for decoder in self._decoders:
            if decoder.waits and self._free:
                decoder.slot, decoder.waits, decoder.heard = self._free.pop(), False, time.monotonic()
                decoder.send(SlotGrant(decoder.slot))

    def _bury(self, child: Any, message: Refused | None) -> Iterator[Event]:
        """Deals with a process that ended. With the scorer all others go, for what they sent to it is lost."""
        reason = f"the worker {child.last_words()}" if message is None else str(message.error)
        self._failed_starts[type(child)] += not child.ready
        if child is self._scorer:
            if not self._ever_ready:
                raise message.error if message is not None else PerchError(f"cannot start scoring: {reason}")
            lost = list(self._tickets)
            self.stop()
        else:
            lost = sorted(child.tickets)
            child.stop()
            self._decoders.remove(child)
            self._free += [] if child.slot is None else [child.slot]
        for number in lost:
            task = self._tickets.pop(number).task
            if not child.ready:  # whatever ended it, no recording did
                self._schedule.give_back(task)
            elif not self._schedule.crashed(task):
                yield Event(task, Done(f"{reason}, {ATTEMPTS} times", lost=True))
        if not self._schedule.unfinished:
            return
        if self._failed_starts[type(child)] >= MOST_FAILED_STARTS or message is not None:
            self.stop()
            if not self._ever_decoded:
                raise PerchError(f"cannot start scoring: {reason}")
            self._schedule.stop(reason)
        elif self._scorer is None:
            try:
                self.start()
            except PerchError as error:
                self._schedule.stop(str(error))
        elif self._schedule.unfinished:
            with contextlib.suppress(OSError):  # those there are must do; without any the next to go ends it all
                self._decoders.append(_Decoder(self._setup, self._inbox.queue))
            if not self._decoders:
                self._schedule.stop(reason)

    def _children(self) -> list[Any]:
        return [*([self._scorer] if self._scorer is not None else []), *self._decoders]
