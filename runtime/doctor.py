"""`perch-run --doctor`: what is installed here, which devices really work, and whether a model runs on them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import soundfile

from runtime.console.terminal import complain, printable
from runtime.cores import usable_cores
from runtime.errors import ArtifactError, DeviceError, PerchError, some
from runtime.model import cuda
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.ensemble import combined, unique_models
from runtime.model.golden import compare, wrong
from runtime.model.heads import Head
from runtime.model.identity import untrue
from runtime.model.messages import message_of, remedy, unusable
from runtime.model.own_heads import OwnHead
from runtime.model.profile import profile_path, read_profile
from runtime.model.schema import INPUTS
from runtime.model.session import Session, check_install, choose_device, folder_of, load
from runtime.request.parser import in_flags
from runtime.request.request import Request
from runtime.workers.setup import choose_setup

SHOWN, MOST_LINE = 30, 2000
"""Classes and facts that are listed of a head; characters of a line of them."""


def run(models: Mapping[str, Path], device: str) -> int:
    """Prints the report on this machine, on models and the device that must work; returns the exit code."""
    artifacts = {name: read_artifact(path) for name, path in models.items()}
    gpu = device if device.startswith("cuda:") else "cuda:0"
    if cuda.gpus():
        cuda.forbid_tf32()  # as a run without --tf32 does
    missing = cuda.problem(gpu)
    chosen, problems = _chosen(device, missing)
    _section("installed", versions())
    _section("devices", devices(gpu, missing))
    here = ["cpu"] if missing else ["cpu", gpu]
    for name, model in models.items():
        tried, model_problems = _tried(model, artifacts[name], here)
        problems += model_problems
        lines = [*described(artifacts[name]), *tried]
        lines += [] if model_problems else [_left_to_cpu(model, gpu, missing, artifacts[name])]
        alone = len(models) == 1 and not problems
        _section(f"model {model}", [*lines, *_setup(artifacts[name], chosen, model)] if alone else lines)
    if len(models) > 1 and not problems:
        try:
            together = combined(artifacts)
        except ArtifactError as error:
            problems.append(str(error))
        else:
            _section("all models together", [f"outputs: {', '.join(together.heads)}", _run_line(together, chosen)])
    for problem in problems:
        print(f"problem: {printable(in_flags(problem))}")
    if not problems:
        print(f"all is well: a run with --device {device} takes {chosen}")
    return 1 if problems else 0


def _chosen(device: str, missing: str | None) -> tuple[str, list[str]]:
    """The device that a run would take, and why it could not; `missing` is what the GPU lacks, None if it works."""
    problems, chosen = [], device
    try:
        chosen = choose_device(device)
        check_install()
    except DeviceError as error:
        problems.append(str(error))
    if chosen.startswith("cuda:") and missing is not None:
        problems.append(unusable(device, missing))
    return chosen, problems


def _tried(model: Path, artifact: Artifact, devices: Sequence[str]) -> tuple[list[str], list[str]]:
    """What each device makes of the golden window, a line each; and what is wrong with the file or with a device."""
    changed = untrue(model, artifact)
    lines: list[str] = []
    problems = [] if changed is None else [changed]
    for device in devices:
        try:
            setup, _ = choose_setup(artifact, device, Request())
            outputs = Session(model, device).golden_rows(tuple(artifact.heads), setup.batch_size)
            compared = compare(artifact, outputs)
        except PerchError as error:
            problems.append(str(error))
            continue
        except Exception as error:  # onnxruntime has a class of its own for each status
            problems.append(f"{model} cannot be run on {device}: {message_of(error)}; convert it again")
            continue
        if said := wrong(artifact, compared, device):
            problems.append(said)
            continue
        lines += [f"golden window on {device}: at worst, {worst}" for worst in compared[:1]]
        if broken := [name for name, values in outputs.items() if not np.isfinite(values).all()]:
            problems.append(f"{model} gives no finite numbers on {device}, in {', '.join(broken)}; convert it again")
    if unchecked := [name for name in artifact.heads if name not in artifact.golden]:
        those = f"for {some(unchecked)}, so that is unchecked" if artifact.golden else "that is known here"
        again = "teach" if all(artifact.heads[name].own is not None for name in unchecked) else "convert"
        lines.append(f"golden window: the file has none {those}; {again} it again")
    return lines, problems


def _section(title: str, lines: Sequence[str]) -> None:
    print("\n".join([printable(title), *(f"  {printable(line)}" for line in lines)]))


def versions() -> list[str]:
    """What is installed, a line each."""
    used = Path(ort.__file__).parent.parent
    onnxruntimes = [name for name in ("onnxruntime", "onnxruntime-gpu") if folder_of(name) == used]
    return [
        f"{'perch-onnx':<14}{_version('perch-onnx') or 'not installed, but run from its folder'}",
        f"{'python':<14}{platform.python_version()} on {platform.system()} {platform.machine()}",
        f"{'onnxruntime':<14}{ort.__version__} (from {' and '.join(onnxruntimes) or 'no known distribution'})",
        f"{'numpy':<14}{np.__version__}",
        f"{'soundfile':<14}{soundfile.__version__} (libsndfile {soundfile.__libsndfile_version__})",
        f"{'soxr':<14}{_version('soxr')}",
        f"{'cores':<14}{usable_cores()} physical ones usable, of {os.cpu_count()} logical ones in the system",
    ]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def devices(gpu: str, missing: str | None) -> list[str]:
    """Which devices work; `missing` is what the GPU lacks, None if it works."""
    named = ", ".join(cuda.gpus())
    lines = ["cpu     works", f"{gpu:<8}{'works' if missing is None else f'cannot be used: {missing}'}"]
    lines.append(f"        GPUs that the driver lists: {named or 'none, so runs use the CPU'}")
    if missing is not None and named:
        lines.append(f"        {in_flags(remedy(missing))}")
    return lines


def described(artifact: Artifact) -> list[str]:
    """What a file says of itself."""
    batch = "any batch" if artifact.free_batch else "one window at a time"
    precision = artifact.options.get("precision", "float32")
    lines = [f"{artifact.family}, {precision}, {batch}, id {artifact.artifact_sha256[:12]}"]
    lines += [said for said in (artifact.parity_warning, artifact.ill_conditioned) if said is not None]
    for head in artifact.heads.values():
        shape = "x".join(map(str, head.shape))
        if head.own is not None:
            lines += [f"{head.name:<13} {shape}, probabilities of classes of your own", *own_head_lines(head, head.own)]
            continue
        classes = f", classes of {' and '.join(head.class_lists)}" if head.class_lists else ""
        lines.append(f"{head.name:<13} {shape}{classes}; {_parity(artifact, head.name)}")
    return lines


def own_head_lines(head: Head, own: OwnHead) -> Iterator[str]:
    """The classes of a head that a user added, with their thresholds, and what it was taught from."""
    limits = dict(zip(head.classes, own.thresholds, strict=True))
    detected = [f"{name} from {limit:.3g}" for name, limit in limits.items() if limit is not None]
    never = [name for name, limit in limits.items() if limit is None]
    facts = {**own.taught, "normalize": own.normalize}
    taught = [f"{key} {_fact(value)}" for key, value in facts.items() if not isinstance(value, Mapping)]
    for what, texts in (("thresholds", detected), ("without one", never), ("taught from", taught)):
        if texts:
            yield f"  {what:<12}{some(texts, SHOWN)[:MOST_LINE]}"


def _fact(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _parity(artifact: Artifact, head: str) -> str:
    try:
        measured = artifact.parity["heads"][head]
        error, distance = float(measured["error"]), float(measured["cosine_distance"])
    except (LookupError, TypeError, ValueError):
        return "parity unknown" if artifact.parity_warning is None else "parity not measured"
    return f"differs from TensorFlow by {error:.1e} of its range, 1 - cosine {distance:.1e}"


def _setup(artifact: Artifact, device: str, model: Path) -> Iterator[str]:
    """The setup of a run without --workers, --threads and --batch-size, and where it comes from."""
    yield _run_line(artifact, device)
    profile = read_profile(artifact.base_sha256, device)
    if profile is None:
        yield f"no profile of this model in {profile_path()}; `perch-bench throughput {model}` makes one"
    else:
        yield f"profile: {profile_path()}, {profile.windows_per_s:.1f} windows/s"


def _run_line(artifact: Artifact, device: str) -> str:
    setup, why = choose_setup(artifact, device, Request())
    return f"a run on {device} takes {setup}: {why}"


def _left_to_cpu(model: Path, gpu: str, missing: str | None, artifact: Artifact) -> str:
    if missing is not None:
        return f"which nodes {gpu} leaves to the CPU is unknown, as it cannot be used here"
    operators = Counter(nodes_on_cpu(model, gpu, artifact.window_samples))
    return f"nodes that {gpu} leaves to the CPU: {', '.join(f'{n} {kind}' for kind, n in operators.items()) or 'none'}"


def nodes_on_cpu(model: Path, device: str, samples: int) -> list[str]:
    """The operators of the nodes that a run on a GPU computes on the CPU, copies between the two included.

    Nodes whose outputs are all integers are left out: they compute shapes, which belongs on the CPU.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="perch-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = load(model, options, device)
        session.run(None, {INPUTS: np.zeros((1, samples), np.float32)})
        events = json.loads(Path(session.end_profiling()).read_text())
    return list(computed_on_cpu(events))


def computed_on_cpu(events: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """The operators of the nodes in a profile that the CPU computes, without those that compute shapes."""
    for event in events:
        node = event.get("args")
        if event.get("cat") != "Node" or not isinstance(node, dict) or "provider" not in node:
            continue
        floats = any(kind.startswith("float") for result in node.get("output_type_shape", []) for kind in result)
        kind = str(node.get("op_name"))
        if kind.startswith("Memcpy") or (floats and node["provider"] == "CPUExecutionProvider"):
            yield kind


def main(models: Sequence[tuple[str, Path]], device: str) -> int:
    """`perch-run --doctor`; returns the exit code."""
    try:
        return run(unique_models(models) if models else {}, device)
    except PerchError as error:
        complain("perch-run", error)
        return 1 if isinstance(error, DeviceError) else 2
