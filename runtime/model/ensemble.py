"""Several models that score the same windows: together they have the outputs of all, each under its model's name.

The output `label` of the model `v1` is called `v1.label`. One model alone keeps its own names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ArtifactError, InputError, repeated
from runtime.model.artifact import ILL, Artifact
from runtime.model.cuda_options import CudaOptions
from runtime.model.identity import read_true_artifact
from runtime.model.session import Session

Models = str | Path | Sequence[str | Path] | Mapping[str, str | Path]
"""A file, several files, or files by the names that their outputs get."""
NOT_IN_NAMES = ",=/\\"
"""Characters that a name cannot have: the command line and paths use them."""


@dataclass(frozen=True)
class Ensemble(Artifact):
    """What several models are together. The rate, the window and the SHA-256 fingerprints are those of all."""

    members: Mapping[str, Artifact] = field(default_factory=dict)
    """The models by name, in order."""

    @property
    def parity_warning(self) -> str | None:
        said = [(name, member.parity_warning) for name, member in self.members.items()]
        return "; ".join(f"{name}: {text}" for name, text in said if text is not None) or None

    @property
    def ill_conditioned(self) -> str | None:
        said = [(name, member.ill_conditioned) for name, member in self.members.items()]
        parts = [f"of {name}, {text.removeprefix(ILL)}" for name, text in said if text is not None]
        return f"{ILL}{'; '.join(parts)}" if parts else None


def named_models(models: Models) -> dict[str, Path]:
    """The files by name: the names given, else the files' stems.

    Raises:
        InputError: there is none, two have the same name, or a name cannot be used.
    """
    if isinstance(models, (str, Path)):
        models = [models]
    pairs = list(models.items()) if isinstance(models, Mapping) else [(Path(path).stem, path) for path in models]
    return unique_models(pairs)


def unique_models(pairs: Sequence[tuple[str, str | Path]]) -> dict[str, Path]:
    """Names and files as a mapping. Raises InputError as `named_models` does."""
    if not pairs:
        raise InputError("no model is named; name at least one file that perch-convert made")
    if len(pairs) > 1 and (twice := repeated([name for name, _ in pairs])):
        listed = [f"{name}{number}={path}" for number, (name, path) in enumerate(pairs, 1) if name == twice[0]]
        raise InputError(
            f"several models are called {twice[0]}; give each a name, such as "
            f"{' '.join(f'--model {text}' for text in listed)} (in Python, a mapping from names to files)"
        )
    for name, path in pairs if len(pairs) > 1 else ():
        if not (isinstance(name, str) and name and name.isprintable()) or set(name) & set(NOT_IN_NAMES):
            raise InputError(
                f"{name!r} cannot be the name of the model {path}: a name is printable, and has none of "
                f"{' '.join(NOT_IN_NAMES)}; give it another, such as --model a={path} (in Python, a mapping)"
            )
    return {name: Path(path) for name, path in pairs}


def shown(models: Mapping[str, Path], between: str = ", ") -> str:
    """The files, as messages name them."""
    return between.join(map(str, models.values()))


def combined(members: Mapping[str, Artifact]) -> Artifact:
    """What models are together; a single one is itself.

    Raises:
        ArtifactError: they take different windows, or two outputs would have the same name.
    """
    (first, one), *others = members.items()
    if not others:
        return one
    for name, other in others:
        if (one.sample_rate, one.window_samples) != (other.sample_rate, other.window_samples):
            raise ArtifactError(
                f"models of one run need the same windows, but {first} takes {_windows(one)} and {name} takes "
                f"{_windows(other)}; run them apart"
            )
    heads = [
        replace(head, name=f"{name}.{head.name}") for name, each in members.items() for head in each.heads.values()
    ]
    if twice := repeated([head.name for head in heads]):
        raise ArtifactError(f"several models have an output {twice[0]}; give one of the models another name")
    return Ensemble(
        family="+".join(dict.fromkeys(member.family for member in members.values())),
        sample_rate=one.sample_rate,
        window_samples=one.window_samples,
        free_batch=all(member.free_batch for member in members.values()),
        heads={head.name: head for head in heads},
        saved_model_sha256=_sha256((name, member.saved_model_sha256) for name, member in members.items()),
        artifact_sha256=_sha256((name, member.artifact_sha256) for name, member in members.items()),
        converted_sha256=_sha256((name, member.base_sha256) for name, member in members.items()),
        members=members,
    )


def members_of(artifact: Artifact) -> Mapping[str, Artifact]:
    """The models by what their outputs' names begin with: `v1.`, or nothing for a model that is alone."""
    if isinstance(artifact, Ensemble):
        return {f"{name}.": member for name, member in artifact.members.items()}
    return {"": artifact}


def _windows(artifact: Artifact) -> str:
    return f"{artifact.window_s:g} s at {artifact.sample_rate:,} Hz"


def _sha256(fingerprints: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256("\n".join(f"{name} {each}" for name, each in fingerprints).encode()).hexdigest()


def read_true_models(models: Mapping[str, Path]) -> Artifact:
    """Reads what files say of themselves, and checks that they are unchanged and go together.

    Raises:
        ArtifactError: one is missing, damaged, changed, or not made by this project; or they take different windows.
    """
    return combined({name: read_true_artifact(path) for name, path in models.items()})


def asked_outputs(artifact: Artifact, outputs: Sequence[str]) -> tuple[str, ...]:
    """Outputs by their full names. Of several models, `label` means that of each model which has it.

    Raises:
        InputError: no output is asked for, or no model has such an output; the message names those that they have.
    """
    if not outputs:
        raise InputError(f"no output was asked for; the model has {', '.join(artifact.heads)}")
    names = []
    for output in outputs:
        own = [prefix + output for prefix, member in members_of(artifact).items() if output in member.heads]
        names += [output] if output in artifact.heads else own or [artifact.head(output).name]
    return tuple(dict.fromkeys(names))


class Sessions:
    """The sessions of several models, called as if they were one. Several threads may call it at once."""

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = {f"{name}.": session for name, session in sessions.items()}
        self.artifact = combined({name: session.artifact for name, session in sessions.items()})
        first = next(iter(sessions.values()))
        self.device, self.tf32 = first.device, first.tf32

    def run(
        self, windows: NDArray[np.float32], outputs: Sequence[str], batch_size: int
    ) -> dict[str, NDArray[np.float32]]:
        """See `Session.run`. A model of which no output is asked for is not computed."""
        found: dict[str, NDArray[np.float32]] = {}
        for prefix, own in self._own(outputs).items():
            values = self._sessions[prefix].run(windows, own, batch_size)
            found |= {prefix + name: each for name, each in values.items()}
        return {name: found[name] for name in outputs}

    def warm_up(self, outputs: Sequence[str], batch_size: int, spare_own: bool = False) -> None:
        """See `Session.warm_up`."""
        for prefix, own in self._own(outputs).items():
            self._sessions[prefix].warm_up(own, batch_size, spare_own)

    def golden_rows(self, outputs: Sequence[str], batch_size: int) -> dict[str, NDArray[np.float32]]:
        """See `Session.golden_rows`."""
        found: dict[str, NDArray[np.float32]] = {}
        for prefix, own in self._own(outputs).items():
            values = self._sessions[prefix].golden_rows(own, batch_size)
            found |= {prefix + name: each for name, each in values.items()}
        return found

    def check(self, outputs: Mapping[str, NDArray[np.float32]]) -> None:
        """See `Session.check`."""
        for prefix, own in self._own(outputs).items():
            self._sessions[prefix].check({name: outputs[prefix + name] for name in own})

    def _own(self, outputs: Collection[str]) -> dict[str, list[str]]:
        """The outputs of each model, by their own names."""
        own: dict[str, list[str]] = {}
        for prefix, session in self._sessions.items():
            for name in session.artifact.heads:
                if prefix + name in outputs:
                    own.setdefault(prefix, []).append(name)
        return own


def open_models(
    models: Mapping[str, Path], device: str = "cpu", threads: int = 1, tf32: bool = False
) -> Session | Sessions:
    """Loads models on a device; see `Session`.

    Raises:
        ArtifactError, DeviceError: as `Session` does; or the models take different windows.
    """
    options = CudaOptions(tf32=tf32)
    sessions = {name: Session(path, device, threads, options) for name, path in models.items()}
    (first, *others) = sessions.values()
    return Sessions(sessions) if others else first
