"""Processes that work at the same moment, each on one thread, as a run's workers do: one piece of the way alone."""

from __future__ import annotations

import pickle
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import soundfile
import soxr
from numpy.typing import NDArray

from runtime.child import Child, serve
from runtime.errors import PerchError
from runtime.recording import BLOCK_S, Recording
from runtime.session import Session, load
from runtime.worker import CHUNK

Piece = Literal["decode", "windows", "resample_48k", "backbone", "floor", "embedding", "scores", "all"]
"""`decode` is sound files to samples, `windows` the same to ready windows, `resample_48k` what a window recorded at
48 kHz would take more; `backbone` and `floor` are spectrograms to embeddings, `embedding` windows to embeddings,
`scores` windows to embeddings and scores, `all` to every output."""
OUTPUTS: dict[Piece, tuple[str, ...]] = {"embedding": ("embedding",), "scores": ("label", "embedding")}
LEAD_S = 0.05
"""From the order to the start: enough for it to reach everyone."""
MOST_WINDOWS = 32


@dataclass(frozen=True)
class Equipment:
    """What each process of a crew gets. `floors` are models of backbones alone, of the artifact and of another."""

    artifact: Path
    floors: dict[Piece, Path]
    device: str
    recordings: tuple[Path, ...]


@dataclass(frozen=True)
class Order:
    """Work on `piece` from `start` (on the monotonic clock) for `seconds`, and for one call at least."""

    piece: Piece
    batch_size: int
    start: float
    seconds: float


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

    def windows_per_s(self, piece: Piece, workers: int, batch_size: int, seconds: float) -> float:
        """What the first `workers` of them get done at once, all together."""
        order = Order(piece, batch_size, time.monotonic() + LEAD_S, seconds)
        for child in self._children[:workers]:
            child.send(order)
        return sum(self._answers(workers))

    def _answers(self, count: int) -> list[float]:
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
    """What one process works with."""

    def __init__(self, equipment: Equipment) -> None:
        self._session = Session(equipment.artifact, equipment.device)
        self._artifact = self._session.artifact
        self._recordings = equipment.recordings
        self._floors = {piece: _floor(path, equipment.device) for piece, path in equipment.floors.items()}
        self._windows = self._some_windows()
        self._turn = 0

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
            return lambda: _decode(self._next_recording()) / self._artifact.window_s
        if order.piece == "windows":
            return lambda: sum(1 for _ in self._read(self._next_recording()).windows())
        if order.piece == "resample_48k":
            return lambda: _resample(self._artifact.sample_rate, self._artifact.window_s)
        size = order.batch_size
        windows = self._windows[: max(CHUNK, size)]
        if order.piece in OUTPUTS or order.piece == "all":
            outputs = OUTPUTS.get(order.piece, tuple(self._artifact.heads))
            return lambda: len(self._session.score(windows, outputs, size)[outputs[0]])
        floor, spectrograms = self._floors[order.piece]
        batches = [spectrograms[i : i + size] for i in range(0, len(windows), size)]
        (name,) = (value.name for value in floor.get_inputs())
        return lambda: sum(len(floor.run(None, {name: batch})[0]) for batch in batches)

    def _next_recording(self) -> Path:
        self._turn += 1
        return self._recordings[self._turn % len(self._recordings)]

    def _read(self, path: Path) -> Recording:
        return Recording(path, self._artifact.sample_rate, self._artifact.window_samples)

    def _some_windows(self) -> NDArray[np.float32]:
        """The first windows of the recordings, again and again if there are few."""
        found: list[NDArray[np.float32]] = []
        for path in self._recordings:
            found += [window.samples for window in self._read(path).windows() if window.samples is not None]
            if len(found) >= MOST_WINDOWS:
                break
        if not found:
            raise PerchError(f"none of the recordings can be read, such as {self._recordings[0]}")
        return np.stack([found[i % len(found)] for i in range(MOST_WINDOWS)])


def main() -> None:
    """Follows orders until standard input closes."""
    receive, send = serve()
    try:
        member = _Member(pickle.load(receive))
    except PerchError as error:
        send(error)
        return
    send(0.0)
    while True:
        send(member.rate(pickle.load(receive)))


def _floor(path: Path, device: str) -> tuple[ort.InferenceSession, NDArray[np.float32]]:
    """A backbone, and spectrograms for it; its time does not depend on what is in them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = load(path, options, device)
    (spectrogram,) = session.get_inputs()
    shape: Sequence[int] = (MOST_WINDOWS, *spectrogram.shape[1:])
    return session, np.random.default_rng(0).random(shape, np.float32)


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
