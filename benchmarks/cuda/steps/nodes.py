"""Which nodes take the time, and which run on the CPU: ONNX Runtime's profile of a batch.

Kernels are launched one at a time (CUDA_LAUNCH_BLOCKING), since otherwise a node's time is only that of its launch. So
each node's time holds a launch of some microseconds, and their sum is above the time of a batch. CUDA graphs are off,
since ONNX Runtime sees no nodes in them.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.cuda.step import Context, Keep, Result, Trials
from benchmarks.cuda.steps.points import SEED
from benchmarks.cuda.steps.precisions import Precision, file_for, options_for, precisions
from benchmarks.cuda.steps.work import flop_of, node_events, shapes
from benchmarks.throughput.workers import measured_outputs
from convert.proof.synthetic import windows as synthetic
from runtime.cores import usable_cores
from runtime.doctor import computed_on_cpu
from runtime.model.artifact import read_artifact
from runtime.model.cuda_options import PROVIDER, CudaOptions
from runtime.model.schema import INPUTS
from runtime.model.session import load

BATCH, QUICK_BATCH, DISTINCT = 64, 2, 8
RUNS = 3
"""The last of them counts."""
SLOWEST = 20
NEEDS_S = 5.0


def measure(context: Context, keep: Keep) -> Result:
    """The profiles by file and precision."""
    os.environ["CUDA_LAUNCH_BLOCKING"] = "1"  # CUDA reads it when it starts, and this process has not started it yet
    trials = Trials(context, keep)
    for name in context.models:
        for precision in precisions(context, name):
            work = partial(_profile, context, name, precision)
            trials.measure(f"{name} {precision}", work, NEEDS_S if context.on_gpu else 0)
    return trials.result()


def _profile(context: Context, name: str, precision: Precision) -> Result:
    artifact = read_artifact(context.models[name])
    path, options, batch = file_for(context, name, precision), *_fastest(context, name, precision)
    batch = batch if artifact.free_batch else 1
    distinct = synthetic(SEED, min(batch, DISTINCT), artifact.window_samples)
    windows = np.resize(distinct, (batch, artifact.window_samples))
    session_options = ort.SessionOptions()
    session_options.log_severity_level = 4
    session_options.intra_op_num_threads = usable_cores()
    session_options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="perch-bench-") as folder:
        session_options.profile_file_prefix = str(Path(folder) / "profile")
        session = load(path, session_options, context.device, options)
        for _ in range(RUNS):
            session.run(list(measured_outputs(artifact)), {INPUTS: windows})
        events = node_events(session.end_profiling())
    last = events[-(len(events) // RUNS) :]
    return {"batch": batch, "options": vars(options), **_summary(last)}


def _fastest(context: Context, name: str, precision: Precision) -> tuple[CudaOptions, int]:
    """The options and the batch that `speed` found fastest, without a CUDA graph; a run's where it found none."""
    for best in context.done.get("speed", {}).get("best", ()):
        if (best["model"], best["precision"]) == (name, precision) and not context.quick:
            return replace(CudaOptions(**best["options"]), graph=False), best["batch"]
    return options_for(precision), QUICK_BATCH if context.quick else BATCH


def _summary(events: Sequence[dict[str, Any]]) -> Result:
    """Time by kind of node, the slowest nodes, and what runs on the CPU."""
    total_us = sum(event["dur"] for event in events)
    kinds: dict[str, list[int]] = defaultdict(list)
    for event in events:
        kinds[event["args"]["op_name"]].append(event["dur"])
    by_kind = sorted(kinds.items(), key=lambda item: -sum(item[1]))
    return {
        "total_us": total_us,
        "nodes": len(events),
        "kinds": {kind: {"us": sum(each), "nodes": len(each)} for kind, each in by_kind},
        "slowest": [_described(event) for event in sorted(events, key=lambda event: -event["dur"])[:SLOWEST]],
        "providers": dict(Counter(event["args"].get("provider", "") for event in events)),
        "on_cpu": dict(Counter(computed_on_cpu(events))),
        "on_gpu": any(event["args"].get("provider") == PROVIDER for event in events),
    }


def _described(event: Mapping[str, Any]) -> Result:
    """A node with its rates: FLOP/s, and bytes of inputs, outputs and weights a second."""
    node, us = event["args"], max(1, event["dur"])
    moved = sum(int(node[key]) for key in ("activation_size", "output_size", "parameter_size"))
    return {
        "name": event["name"].removesuffix("_kernel_time"),
        "kind": node["op_name"],
        "us": event["dur"],
        "inputs": " ".join("x".join(map(str, shape)) for shape in shapes(node["input_type_shape"])),
        "flop_per_s": flop_of(node) / us * 1e6,
        "bytes_per_s": moved / us * 1e6,
    }


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """For each file and precision: the kinds that take most time, and the slowest nodes."""
    for name, each in result.get("trials", {}).items():
        if "kinds" not in each:
            continue
        total = each["total_us"]
        named = [f"{kind} {found['us'] / total:.0%}" for kind, found in list(each["kinds"].items())[:8]]
        yield f"{name}, batch {each['batch']}: {total / 1000:.1f} ms in {each['nodes']} nodes: {', '.join(named)}"
        if each["on_gpu"]:
            on_cpu = ", ".join(f"{count} {kind}" for kind, count in each["on_cpu"].items())
            yield f"  left to the CPU, shape arithmetic apart: {on_cpu or 'none'}"
        for node in each["slowest"][:5]:
            rates = f"{node['flop_per_s'] / 1e12:.1f} TFLOP/s, {node['bytes_per_s'] / 1e9:.0f} GB/s"
            yield f"  {node['us']:>7} us {node['name']} ({node['inputs']}): {rates}"
