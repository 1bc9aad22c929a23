"""A model that is loaded once and called often."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import ParamSpec, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from runtime.audio.paths import FoundRecordings
from runtime.audio.source import Samples
from runtime.console.log import log
from runtime.errors import ArtifactError, DeviceError, InputError
from runtime.model.ensemble import Models, Sessions, asked_outputs, named_models, open_models, read_true_models, shown
from runtime.model.messages import message_of
from runtime.model.profile import Setup
from runtime.model.session import Device, Session, check_install, choose_device
from runtime.request.inputs import read_classes_of
from runtime.request.keywords import takes_request
from runtime.request.request import Request
from runtime.request.values import at_least_one, names_of, true_or_false
from runtime.rows.formats.choice import choose_format
from runtime.rows.soundscapes import Soundscapes
from runtime.run import Run
from runtime.workers.in_process import InProcess
from runtime.workers.job import make_job
from runtime.workers.setup import default_batch

NOT_IN_MEMORY = ("device", "tf32", "workers", "threads", "resume", "recording_timeout_s")
"""Options of a request that mean nothing for audio in memory, or that `load_model` decides."""
P = ParamSpec("P")


class _Run(Protocol[P]):
    """`Model.run` for type checkers, with the options `P` as keywords."""

    def __call__(
        self, samples: NDArray[np.float32], sample_rate: int, name: str = ..., *args: P.args, **options: P.kwargs
    ) -> Soundscapes: ...


class _RunMethod(Protocol[P]):
    """A method of that kind: read from a model, it needs the samples and options alone."""

    def __get__(self, model: object, owner: object = None) -> _Run[P]: ...


def _with_options(
    request: Callable[P, Request],
) -> Callable[[Callable[[Model, NDArray[np.float32], int, Request, str], Soundscapes]], _RunMethod[P]]:
    return lambda method: cast(_RunMethod[P], takes_request(method))


class Model:
    """A converted model in memory. It may be called from several threads at once.

    >>> model = load_model("perch.onnx")
    >>> model(windows)["label"].shape  # of float32 [n, 160000]
    (n, 10932)
    >>> model.run(samples, 44_100, outputs=["embedding"])["embedding"].shape
    (rows, 1280)
    """

    def __init__(self, session: Session | Sessions, paths: Mapping[str, Path], threads: int, batch_size: int) -> None:
        self._session, self._paths, self._threads, self._batch = session, paths, threads, batch_size
        self._artifact = session.artifact

    @property
    def heads(self) -> Mapping[str, tuple[int, ...]]:
        """The outputs by name, and the shape of each for one window."""
        return MappingProxyType({name: head.shape for name, head in self._artifact.heads.items()})

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The names of each output's columns, from the model's first class list. Embeddings have none."""
        return MappingProxyType({name: head.classes for name, head in self._artifact.heads.items()})

    @property
    def sample_rate(self) -> int:
        """The sample rate of the windows, in Hz."""
        return self._artifact.sample_rate

    @property
    def window_s(self) -> float:
        """The length of a window in seconds."""
        return self._artifact.window_s

    @property
    def device(self) -> str:
        """Where it computes: "cpu" or "cuda:N"."""
        return self._session.device

    def __repr__(self) -> str:
        outputs = ", ".join(f"{name} {list(shape)}" for name, shape in self.heads.items())
        files = ", ".join(path.name for path in self._paths.values())
        return (
            f"<Model {files}: {self._artifact.family} on {self.device}; windows of {self.window_s:g} s at "
            f"{self.sample_rate:,} Hz to {outputs}>"
        )

    def __call__(
        self, windows: NDArray[np.floating], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Outputs of windows, by name: `float32 [n, …]`, as the model gives them.

        Args:
            windows: `[n, samples]`, about ±1, at the model's sample rate, of any float type. They are computed in
                float32.
            outputs: which outputs, in this order. None: all. Of several models, "label" means that of each.

        Raises:
            InputError: windows have another shape or are no floats, no output is named, or the model lacks one.
            ArtifactError: ONNX Runtime failed on the CPU.
            DeviceError: ONNX Runtime failed on a GPU, for lack of memory or otherwise.
        """
        try:
            given = np.asarray(windows)
        except ValueError:
            raise InputError("windows are no array: they differ in length") from None
        size = self._artifact.window_samples
        if given.ndim != 2 or given.shape[1] != size:
            raise InputError(
                f"windows have the shape {list(given.shape)}, but must be [n, {size}]: {self.window_s:g} s each at "
                f"{self.sample_rate:,} Hz; `run` cuts audio of any length and rate into windows"
            )
        if given.dtype.kind != "f":
            raise InputError(f"windows are {given.dtype}, but must be floats, about ±1; divide int16 by 32768")
        wanted = names_of("outputs", self._artifact.heads if outputs is None else outputs)
        names = asked_outputs(self._artifact, wanted)
        heads = [self._artifact.head(name) for name in names]
        if not len(given):
            return {head.name: np.empty((0, *head.shape), np.float32) for head in heads}
        try:
            with np.errstate(over="ignore"):  # what is infinite in float32 has no score
                given = np.ascontiguousarray(given, np.float32)
            return self._session.run(given, names, self._batch)
        except Exception as error:  # ONNX Runtime has a class of its own for each status
            kind = ArtifactError if self.device == "cpu" else DeviceError
            raise kind(f"{shown(self._paths)} failed on {self.device}: {message_of(error)}") from None

    @_with_options(Request)
    def run(self, samples: NDArray[np.float32], sample_rate: int, request: Request, name: str = "audio") -> Soundscapes:
        """Scores audio in memory. On a CPU, rows are the same bits as those of a WAV file with these samples.

        It takes the options of `run_soundscapes`, except for `device`, `threads` and `tf32`, which `load_model` takes,
        and `workers`, `resume` and `recording_timeout_s`, which are for files alone.

        Args:
            samples: `float32 [samples]` or `[channels, samples]`, about ±1. Channels are averaged, unless `channel`
                says otherwise.
            sample_rate: their sample rate, in Hz. Audio at another rate than the model's is resampled.
            name: what the rows are named after, as a file's are after its stem: `audio_5`.
            request: the options of a run.

        Returns:
            The rows.

        Raises:
            InputError: an argument cannot be used.
            OutputError: `sink` cannot be written.
            Interrupted: Ctrl-C during scoring; what was scored so far is in its `soundscapes`.
        """
        started = time.monotonic()
        for field in fields(Request):
            if field.name in NOT_IN_MEMORY and getattr(request, field.name) != field.default:
                raise InputError(f"{field.name} cannot be given for audio in memory; leave it out")
        audio, path = Samples(samples, sample_rate), Path(_checked(name))
        format = choose_format(request.sink, request.detections) if request.sink is not None else None
        recordings = FoundRecordings((path,), (name,), Path(), skipped=0, sizes={path: samples.nbytes})
        if request.channel == "each":
            recordings = recordings.by_channel([audio.frames.shape[1]])
        inputs = read_classes_of(recordings, self._paths, request, every_row=format is None or format.every_row)
        request = replace(request, tf32=self._session.tf32)
        setup = Setup(1, self._threads, request.batch_size or self._batch)
        job = make_job(self._artifact, self._paths, request, self.device, setup, inputs.wanted)
        run = Run(inputs, format, self._artifact, job, request.progress, "as loaded", started)
        return run.score(InProcess(self._session, job, audio))


def _checked(name: object) -> str:
    """A name for audio in memory, as a file's stem could be.

    Raises:
        InputError: it has folders, or no file can be called so.
    """
    if not isinstance(name, str) or not name or Path(name).name != name or not name.isprintable():
        raise InputError(f"name is {name!r}, but must be a name without folders, such as 'dawn'")
    return name


def load_model(path: Models, device: Device = "auto", threads: int = 1, tf32: bool = False) -> Model:
    """Loads a model that `perch-convert` made, or several that score the same windows.

    Args:
        path: the `.onnx` file; or several, as a list or a mapping from names to files (see `run_soundscapes`).
        device: "auto" (the first GPU if there is one and onnxruntime-gpu is installed, else the CPU), "cpu", "cuda" or
            "cuda:1". "cuda" never falls back to the CPU.
        threads: threads with which a call computes on the CPU.
        tf32: whether a GPU may round the factors of float32 products to 10 bits of mantissa, which is faster and less
            accurate.

    Returns:
        The model.

    Raises:
        InputError: an argument cannot be used.
        ArtifactError: the file is missing, damaged, or not made by this project.
        DeviceError: the device cannot be used, or computes wrongly; the message says why.
    """
    check_install()
    count, rounds = at_least_one("threads", threads), true_or_false("tf32", tf32)
    paths = {name: file.absolute() for name, file in named_models(path).items()}
    artifact = read_true_models(paths)
    session = open_models(paths, choose_device(device), count, rounds)
    batch = default_batch(artifact, session.device)
    session.warm_up(tuple(artifact.heads), batch, spare_own=True)
    if artifact.parity_warning is not None:
        log.warning("%s: %s", shown(paths), artifact.parity_warning)
    return Model(session, paths, count, batch)
