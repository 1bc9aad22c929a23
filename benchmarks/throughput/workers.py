"""Processes that work at the same time, as a run's workers do: from sound files to outputs, or one step of it alone."""

from __future__ import annotations

import pickle
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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

from benchmarks.measuring.usage import Usage, own_usage
from runtime.audio.mono import BLOCK_S
from runtime.audio.recording import Recording
from runtime.errors import PerchError
from runtime.model import cuda_calls
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.messages import message_of
from runtime.model.session import Session, load
from runtime.workers.child import Child, serve
from runtime.workers.scorer import LANES
from runtime.workers.worker import CHUNK

Workload = Literal["rows", "decode", "windows", "resample_48k", "backbone", "floor", "embedding", "graph", "lanes"]
"""What a process repeats. `rows` is all of the work, from sound files to outputs. The others are steps of it alone:
`decode` from sound files to samples, `windows` from sound files to windows, `resample_48k` the resampling of a window
recorded at 48 kHz, `backbone` and `floor` from spectrograms to embeddings, `embedding` from windows to embeddings,
`graph` from windows to all outputs, `lanes` the same from pinned memory in as many threads as a GPU's scorer has."""
LEAD_S = 0.05
"""Time for an assignment to reach every process before its start."""


def measured_outputs(artifact: Artifact) -> tuple[str, ...]:
    """The outputs that are computed: scores and embeddings, whichever of them the file has, else all of its outputs."""
    return tuple(name for name in ("label", "embedding") if name in artifact.heads) or tuple(artifact.heads)


@dataclass(frozen=True)
class WorkerConfig:
    """What each process needs. `floors` are the models for `backbone` and `floor`: backbones alone."""

    artifact: Path
    device: str
    threads: int
    recordings: tuple[Path, ...]
    floors: Mapping[Workload, Path]


@dataclass(frozen=True)
class Assignment:
    """Repeat `workload` from `start` (monotonic clock) for `seconds`, and at least once.

    Each repetition is as many windows as a worker of a run scores at once, or a single batch if `short`.
    """

    workload: Workload
    batch_size: int
    start: float
    seconds: float
    short: bool


class Workers:
    """Processes that wait for assignments.

    Raises:
        PerchError: one of them ended.
    """

    def __init__(self, config: WorkerConfig, count: int) -> None:
        self._inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
        self._children = [Child("benchmarks.throughput.workers", config, self._inbox) for _ in range(count)]
        self._answers(count)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.stop()

    def work(
        self, workload: Workload, workers: int, batch_size: int, seconds: float, short: bool = False
    ) -> tuple[float, list[Usage]]:
        """Windows/s of the first `workers` processes together while all are at work, and what each uses."""
        assignment = Assignment(workload, batch_size, time.monotonic() + LEAD_S, seconds, short)
        for child in self._children[:workers]:
            child.send(assignment)
        rates, memory = zip(*self._answers(workers), strict=True)
        return sum(rates), list(memory)

    def _answers(self, count: int) -> list[tuple[float, Usage]]:
        answers = []
        for _ in range(count):
            child, answer = self._inbox.get()
            if answer is None or isinstance(answer, PerchError):
                last_words = answer or PerchError(f"a process of the benchmark {child.last_words()}")
                self.__exit__()
                raise last_words
            answers.append(answer)
        return answers


class _Worker:
    """The work of one process; a session is loaded by the first assignment that needs it."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._artifact = read_artifact(config.artifact)
        self._outputs = measured_outputs(self._artifact)
        self._recordings = cycle(config.recordings)
        self._stream = self._endless()
        self._windows = np.stack([next(self._stream)])
        self._floors: dict[Workload, ort.InferenceSession] = {}

    @cached_property
    def _session(self) -> Session:
        return Session(self._config.artifact, self._config.device, self._config.threads)

    def rate(self, assignment: Assignment) -> float:
        """Windows/s, from the start to the end of the last repetition."""
        repeat = self._repetition(assignment)
        time.sleep(max(0.0, assignment.start - time.monotonic()))
        begun = time.monotonic()

        def lane(_: int) -> float:
            done = 0.0
            while time.monotonic() - begun < assignment.seconds or not done:
                done += repeat()
            return done

        if assignment.workload == "lanes":
            with ThreadPoolExecutor(LANES) as lanes:
                done = sum(lanes.map(lane, range(LANES)))
        else:
            done = lane(0)
        return done / (time.monotonic() - begun)

    def _repetition(self, assignment: Assignment) -> Callable[[], float]:
        """A function that does the workload once and returns how many windows that was."""
        workload, size = assignment.workload, assignment.batch_size
        if workload == "decode":
            return lambda: _decode(next(self._recordings)) / self._artifact.window_s
        if workload == "windows":
            return lambda: sum(1 for _ in self._read(next(self._recordings)))
        if workload == "resample_48k":
            return lambda: _resample(self._artifact.sample_rate, self._artifact.window_s)
        count = size if assignment.short else max(CHUNK, size)
        if workload in ("backbone", "floor"):
            return self._backbone(workload, size, count)
        outputs = ("embedding",) if workload == "embedding" else self._outputs
        session = self._session
        if workload == "rows":
            return lambda: _length(session.run(np.stack(list(islice(self._stream, count))), outputs, size))
        if len(self._windows) < count:
            self._windows = np.stack(list(islice(self._stream, count)))
            if workload == "lanes" and self._config.device != "cpu":
                cuda_calls.pin(self._windows)
        return lambda: _length(session.run(self._windows[:count], outputs, size))

    def _backbone(self, workload: Workload, size: int, count: int) -> Callable[[], float]:
        """From spectrograms to embeddings; the values do not matter to the time, so they are random."""
        if workload not in self._floors:
            options = ort.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = self._config.threads, 1
            self._floors[workload] = load(self._config.floors[workload], options, self._config.device)
        floor = self._floors[workload]
        (given,) = floor.get_inputs()
        dtype = np.float16 if given.type == "tensor(float16)" else np.float32
        shape: Sequence[int] = (count, *given.shape[1:])
        spectrograms = np.random.default_rng(0).random(shape, np.float32).astype(dtype)
        batches = [spectrograms[i : i + size] for i in range(0, count, size)]
        return lambda: sum(len(floor.run(None, {given.name: batch})[0]) for batch in batches)

    def _endless(self) -> Iterator[NDArray[np.float32]]:
        """The windows of all readable recordings, again and again."""
        unreadable = 0
        for path in self._recordings:
            readable = False
            for samples in self._read(path):
                readable = True
                yield samples
            unreadable = 0 if readable else unreadable + 1
            if unreadable == len(self._config.recordings):
                raise PerchError(f"none of the recordings can be read, such as {path}")

    def _read(self, path: Path) -> Iterator[NDArray[np.float32]]:
        recording = Recording(path, self._artifact.sample_rate, self._artifact.window_samples)
        return (window.samples for window in recording.windows() if window.samples is not None)


def main() -> None:
    """The process of a worker: receives assignments until standard input closes."""
    receive, send = serve()
    try:
        worker = _Worker(pickle.load(receive))
        send((0.0, own_usage()))
        while True:
            rate = worker.rate(pickle.load(receive))
            send((rate, own_usage()))
    except EOFError:
        return
    except Exception as error:  # onnxruntime has a class of its own for each status
        send(error if isinstance(error, PerchError) else PerchError(message_of(error)))


def _length(outputs: Mapping[str, NDArray[np.float32]]) -> int:
    return len(next(iter(outputs.values())))


def _decode(path: Path) -> float:
    """Decodes a file block by block, as a run does; returns its length in seconds."""
    with soundfile.SoundFile(path) as file:
        while len(file.read(round(BLOCK_S * file.samplerate), dtype="float32", always_2d=True)):
            pass
        return float(file.tell() / file.samplerate)


def _resample(rate: int, window_s: float) -> int:
    """Resamples a window from 48 kHz to `rate`, block by block; returns 1, the number of windows."""
    resampler = soxr.ResampleStream(48_000, rate, 1, "float32")
    block = np.zeros(round(BLOCK_S * 48_000), np.float32)
    for _ in range(round(window_s / BLOCK_S)):
        resampler.resample_chunk(block)
    return 1
