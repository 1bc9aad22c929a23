"""Processes that work at the same moment, as a run's workers do: the way to outputs, or one piece of it alone."""

from __future__ import annotations

import pickle
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.measuring.memory import Taken, own
from runtime.audio.mono import BLOCK_S
from runtime.audio.recording import Recording
from runtime.errors import PerchError
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.session import Session, load
from runtime.workers.child import Child, serve
from runtime.workers.worker import CHUNK

Piece = Literal["rows", "decode", "windows", "resample_48k", "backbone", "floor", "embedding", "graph"]
"""`rows` is sound files to outputs. Alone: `decode` is sound files to samples, `windows` the same to ready windows,
`resample_48k` what a window recorded at 48 kHz would take more; `backbone` and `floor` are spectrograms to embeddings,
`embedding` ready windows to embeddings, `graph` to all outputs that are measured."""
LEAD_S = 0.05
"""From the order to the start: enough for it to reach everyone."""


def measured_outputs(artifact: Artifact) -> tuple[str, ...]:
    """What is computed where outputs are measured: scores and embeddings, those of them that the file has."""
    return tuple(name for name in ("label", "embedding") if name in artifact.heads) or tuple(artifact.heads)


@dataclass(frozen=True)
class Equipment:
    """What each process of a crew gets. `floors` are models of backbones alone, of the artifact and of another."""

    artifact: Path
    device: str
    threads: int
    recordings: tuple[Path, ...]
    floors: Mapping[Piece, Path]


@dataclass(frozen=True)
class Order:
    """Work on `piece` from `start` (on the monotonic clock) for `seconds`, and for one call at least.

    A call is of as many windows as a worker scores at once; of no more than a batch if it is to be `short`.
    """

    piece: Piece
    batch_size: int
    start: float
    seconds: float
    short: bool


class Crew:
    """Processes that wait for orders.

    Raises:
        PerchError: one of them ended.
    """

    def __init__(self, equipment: Equipment, count: int) -> None:
        self._inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
        self._children = [Child("benchmarks.throughput.crew", equipment, self._inbox) for _ in range(count)]
        self._answers(count)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.stop()

    def work(
        self, piece: Piece, workers: int, batch_size: int, seconds: float, short: bool = False
    ) -> tuple[float, list[Taken | None]]:
        """Windows a second that the first `workers` of them get done at once, all together, and each one's memory."""
        order = Order(piece, batch_size, time.monotonic() + LEAD_S, seconds, short)
        for child in self._children[:workers]:
            child.send(order)
        rates, memory = zip(*self._answers(workers), strict=True)
        return sum(rates), list(memory)

    def _answers(self, count: int) -> list[tuple[float, Taken | None]]:
        answers = []
        for _ in range(count):
            child, answer = self._inbox.get()
            if answer is None or isinstance(answer, PerchError):
                last_words = answer or PerchError(f"a process of the benchmark {child.last_words()}")
                self.__exit__()
                raise last_words
            answers.append(answer)
        return answers


class _Member:
    """What one process works with; a session is loaded by the first order that needs it."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._artifact = read_artifact(equipment.artifact)
        self._outputs = measured_outputs(self._artifact)
        self._recordings = cycle(equipment.recordings)
        self._stream = self._endless()
        self._windows = np.stack([next(self._stream)])
        self._floors: dict[Piece, ort.InferenceSession] = {}

    @cached_property
    def _session(self) -> Session:
        return Session(self._equipment.artifact, self._equipment.device, self._equipment.threads)

    def rate(self, order: Order) -> float:
        """Windows a second, from the start to the end of the last call."""
        call = self._call(order)
        time.sleep(max(0.0, order.start - time.monotonic()))
        begun, done = time.monotonic(), 0.0
        while (now := time.monotonic()) - begun < order.seconds or not done:
            done += call()
        now = time.monotonic()
        return done / (now - begun)

    def _call(self, order: Order) -> Callable[[], float]:
        """Does a piece of work once; gives how many windows that was."""
        if order.piece == "decode":
            return lambda: _decode(next(self._recordings)) / self._artifact.window_s
        if order.piece == "windows":
            return lambda: sum(1 for _ in self._read(next(self._recordings)))
        if order.piece == "resample_48k":
            return lambda: _resample(self._artifact.sample_rate, self._artifact.window_s)
        size = order.batch_size
        count = size if order.short else max(CHUNK, size)
        if order.piece in ("backbone", "floor"):
            return self._backbone(order.piece, size, count)
        outputs = ("embedding",) if order.piece == "embedding" else self._outputs
        session = self._session
        if order.piece == "rows":
            return lambda: _length(session.score(np.stack(list(islice(self._stream, count))), outputs, size))
        if len(self._windows) < count:
            self._windows = np.stack(list(islice(self._stream, count)))
        return lambda: _length(session.score(self._windows[:count], outputs, size))

    def _backbone(self, piece: Piece, size: int, count: int) -> Callable[[], float]:
        """Spectrograms to embeddings; its time does not depend on what is in them."""
        if piece not in self._floors:
            options = ort.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = self._equipment.threads, 1
            self._floors[piece] = load(self._equipment.floors[piece], options, self._equipment.device)
        floor = self._floors[piece]
        (given,) = floor.get_inputs()
        dtype = np.float16 if given.type == "tensor(float16)" else np.float32
        shape: Sequence[int] = (count, *given.shape[1:])
        spectrograms = np.random.default_rng(0).random(shape, np.float32).astype(dtype)
        batches = [spectrograms[i : i + size] for i in range(0, count, size)]
        return lambda: sum(len(floor.run(None, {given.name: batch})[0]) for batch in batches)

    def _endless(self) -> Iterator[NDArray[np.float32]]:
        """The windows of all recordings that can be read, again and again."""
        silent = 0
        for path in self._recordings:
            found = False
            for samples in self._read(path):
                found = True
                yield samples
            silent = 0 if found else silent + 1
            if silent == len(self._equipment.recordings):
                raise PerchError(f"none of the recordings can be read, such as {path}")

    def _read(self, path: Path) -> Iterator[NDArray[np.float32]]:
        recording = Recording(path, self._artifact.sample_rate, self._artifact.window_samples)
        return (window.samples for window in recording.windows() if window.samples is not None)


def main() -> None:
    """Follows orders until standard input closes."""
    receive, send = serve()
    try:
        member = _Member(pickle.load(receive))
        send((0.0, None))
        while True:
            rate = member.rate(pickle.load(receive))
            send((rate, own()))
    except PerchError as error:
        send(error)
    except EOFError:
        return


def _length(outputs: Mapping[str, NDArray[np.float32]]) -> int:
    return len(next(iter(outputs.values())))


def _decode(path: Path) -> float:
    """Decodes a file block by block, as a recording is; its length in seconds."""
    with soundfile.SoundFile(path) as file:
        while len(file.read(round(BLOCK_S * file.samplerate), dtype="float32", always_2d=True)):
            pass
        return float(file.tell() / file.samplerate)


def _resample(rate: int, window_s: float) -> int:
    """Resamples a window that was recorded at 48 kHz, block by block."""
    resampler = soxr.ResampleStream(48_000, rate, 1, "float32")
    block = np.zeros(round(BLOCK_S * 48_000), np.float32)
    for _ in range(round(window_s / BLOCK_S)):
        resampler.resample_chunk(block)
    return 1
