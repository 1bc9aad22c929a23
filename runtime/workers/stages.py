"""The engine for a GPU: decoders fill a ring of batches in shared memory, and one process empties it."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from runtime.errors import PerchError
from runtime.model.artifact import Artifact
from runtime.workers.child import Child
from runtime.workers.combining import Combiner, combiner_of
from runtime.workers.job import Job
from runtime.workers.protocol import (
    NOT_FINITE,
    Batch,
    Decoded,
    Done,
    Flush,
    Opened,
    RingSetup,
    Scored,
    SlotGrant,
    SlotRequest,
    Task,
    Ticket,
)
from runtime.workers.ring import Ring, Shape
from runtime.workers.supervisor import Engine, Event

SPARE_SLOTS = 4
"""Slots of the ring beyond one for each decoder, for batches that wait for the scorer or are being scored."""


class DecoderProcess(Child):
    """A child that decodes. `ticket` is the one it works on, `slot` the one it fills, `waits` whether it waits for a
    slot, `flushed` whether it was asked to send its batch although it is not full.
    """

    def __init__(self, setup: RingSetup, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
        super().__init__("runtime.workers.decoder", setup, inbox, [setup.ring])
        self.waits = self.flushed = False
        self.ticket: int | None = None
        self.slot: int | None = None


class ScorerProcess(Child):
    """A child that scores. `slots` are those of the batches it has yet to score."""

    def __init__(self, setup: RingSetup, inbox: queue.SimpleQueue[tuple[Any, Any]]) -> None:
        super().__init__("runtime.workers.scorer", setup, inbox, [setup.ring])
        self.slots: set[int] = set()


@dataclass
class _Attempt:
    """The state of a ticket. `scored` counts windows; `overflow` is whether some scores are not finite.

    `combiner` makes rows of several windows each, where they are.
    """

    task: Task
    decoder: DecoderProcess
    combiner: Combiner | None = None
    decoded: Decoded | None = None
    scored: int = 0
    overflow: bool = False


class Stages(Engine[DecoderProcess | ScorerProcess]):
    """As many decoders as the job has workers, and a scorer. Batches may hold windows of several recordings.

    Raises:
        PerchError: there is no room for the ring, when it is entered.
    """

    kinds = (ScorerProcess, DecoderProcess)
    setup: RingSetup

    def __init__(self, job: Job, artifact: Artifact) -> None:
        super().__init__()
        self._job, self._decoders = job, job.setup.workers
        self._sample_rate = artifact.sample_rate
        self._shape = Shape(self._decoders + SPARE_SLOTS, job.setup.batch_size, artifact.window_samples)
        self._numbers = itertools.count()
        self._attempts: dict[int, _Attempt] = {}
        self._free = list(range(self._shape.slots))

    def __enter__(self) -> Self:
        try:
            self._ring = Ring.create(self._shape)
        except OSError as error:
            raise PerchError(
                f"no room for {self._shape.bytes / 2**20:.0f} MiB of windows in shared memory or the temporary folder "
                f"({error.strerror}); use a smaller batch"
            ) from None
        self.setup = RingSetup(self._ring.descriptor, self._shape, self._sample_rate, self._job)
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._ring.close()

    def wanted(self, kind: type[DecoderProcess | ScorerProcess], tasks: int) -> int:
        return 1 if kind is ScorerProcess else self._decoders

    def is_busy(self, child: DecoderProcess | ScorerProcess) -> bool:
        if isinstance(child, ScorerProcess):
            return not child.ready or bool(child.slots)
        return not child.ready or (child.ticket is not None and not child.waits)

    def feed(self, next_task: Callable[[], Task | None]) -> None:
        decoders = [child for child in self.children if isinstance(child, DecoderProcess)]
        for decoder in decoders:
            if decoder.waits and self._free:
                decoder.slot, decoder.waits = self._free.pop(), False
                decoder.ask(SlotGrant(decoder.slot))
        for decoder in decoders:
            if not decoder.ready or decoder.ticket is not None:
                continue
            if (task := next_task()) is not None:
                decoder.ticket, decoder.flushed = next(self._numbers), False
                self._attempts[decoder.ticket] = _Attempt(task, decoder, combiner_of(self._job))
                decoder.ask(Ticket(decoder.ticket, task))
            elif not decoder.flushed:
                decoder.flushed = True
                decoder.send(Flush())

    def take(
        self, child: DecoderProcess | ScorerProcess, message: SlotRequest | Batch | Opened | Decoded | Scored
    ) -> Iterator[Event]:
        if isinstance(child, ScorerProcess):
            assert isinstance(message, Scored)
            yield from self._take_scored(child, message)
        elif isinstance(message, SlotRequest):
            child.waits = True
        elif isinstance(message, Batch):
            child.slot = None
            self._pass_on(message)
        elif isinstance(message, Opened):
            assert child.ticket is not None
            yield Event(self._attempts[child.ticket].task, message)
        elif isinstance(message, Decoded):
            child.ticket = None
            self._attempts[message.ticket].decoded = message
            yield from self._finish(message.ticket)

    def lose(self, child: DecoderProcess | ScorerProcess) -> tuple[list[DecoderProcess | ScorerProcess], list[Task]]:
        if isinstance(child, ScorerProcess):  # what decoders sent to it is lost: all start anew
            gone, numbers = list(self.children), list(self._attempts)
            self._free = list(range(self._shape.slots))
        else:
            gone, numbers = [child], [n for n, attempt in self._attempts.items() if attempt.decoder is child]
            self._free += [] if child.slot is None else [child.slot]
        return gone, [self._attempts.pop(number).task for number in numbers]

    def _pass_on(self, batch: Batch) -> None:
        """Sends a batch to the scorer."""
        (scorer,) = (child for child in self.children if isinstance(child, ScorerProcess))
        if scorer.slots:
            scorer.send(batch)
        else:  # only now does it owe an answer
            scorer.ask(batch)
        scorer.slots.add(batch.slot)

    def _take_scored(self, scorer: ScorerProcess, message: Scored) -> Iterator[Event]:
        scorer.slots.discard(message.slot)
        self._free.append(message.slot)
        for number, rows, overflow in message.rows:
            if (attempt := self._attempts.get(number)) is not None:  # else its decoder died
                attempt.scored += len(rows.scored)
                attempt.overflow |= overflow
                done = [rows] if attempt.combiner is None else attempt.combiner.add(rows)
                yield from (Event(attempt.task, each) for each in done)
                yield from self._finish(number)

    def _finish(self, number: int) -> Iterator[Event]:
        """Reports a ticket as done once all its windows are scored."""
        attempt = self._attempts[number]
        decoded = attempt.decoded
        if decoded is None or attempt.scored < decoded.sent:
            return
        del self._attempts[number]
        if attempt.combiner is not None:
            yield from (Event(attempt.task, rows) for rows in attempt.combiner.rest(decoded.windows))
        failure = decoded.failure or (NOT_FINITE if attempt.overflow else None)
        yield Event(attempt.task, Done(failure, decoded.windows, notes=decoded.notes, began=decoded.began))
