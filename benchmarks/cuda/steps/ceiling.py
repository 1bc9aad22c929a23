"""What the device does at best: a large matrix product, a copy in its memory, and copies from and to the host.

Beside it stands what each file needs for a window, so that a rate can be given as a share of what is possible.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.cuda.step import Context, Keep, Result, Trials, attempt, figure
from benchmarks.cuda.steps import work
from benchmarks.cuda.steps.clock import first_s, seconds
from benchmarks.cuda.steps.precisions import Precision, file_for, options_for
from benchmarks.cuda.steps.work import NodeWork
from runtime.model import cuda, cuda_calls
from runtime.model.cuda_options import CudaOptions
from runtime.model.session import load

SIZE, CPU_SIZE, QUICK_SIZE = 8192, 1024, 256
PRODUCTS = 4
"""How many products follow one another in a call, so that the start of a call hardly counts."""
COPIED, CPU_COPIED = 2**29, 2**28
"""Bytes: many times what any cache holds."""
UPLOADED = 128 * 160_000 * 4
"""Bytes of a batch of 128 windows."""
BATCHES = tuple(2**power for power in range(9))
LASTING_S, QUICK_S = 0.6, 0.05
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "float16")


def measure(context: Context, keep: Keep) -> Result:
    """Rates of the device in each precision, and the work of each file."""
    trials = Trials(context, keep)
    if context.tf32:
        trials.measure("product tf32", partial(_product, context, "tf32"), 2)
    else:
        trials.measure("product float32", partial(_product, context, "float32"), 2)
        trials.measure("copy", partial(_copy, context), 2)
        if context.on_gpu:
            trials.measure("product float16", partial(_product, context, "float16"), 2)
            trials.measure("host", partial(_host, context), 1)
    for name in context.models if context.last else ():
        trials.measure(f"work {name}", partial(_work, context, name, trials.found), 2)
    return trials.result()


def _product(context: Context, precision: Precision) -> Result:
    """Operations a second of products of square matrices whose values are random, and how far off the result is."""
    size = QUICK_SIZE if context.quick else SIZE if context.on_gpu else CPU_SIZE
    kind = np.float16 if precision == "float16" else np.float32
    rng = np.random.default_rng(0)
    block = rng.standard_normal((2, size // 8, size), np.float32)
    x = np.tile(block[0], (8, 1)).astype(kind)
    # So scaled, products keep the size of their factors. Signs of rows differ, so that no two are equal.
    signs = rng.choice(np.array([-1, 1], np.float32), (size, 1))
    y = (np.tile(block[1], (8, 1)) * (signs / np.float32(np.sqrt(size)))).astype(kind)
    bound = _Bound(_chain(kind), context, options_for(precision), {"x": x, "y": y}, {"z": (x.shape, kind)})
    started_s = first_s(bound.run)
    flop_per_s = 2.0 * PRODUCTS * size**3 / seconds(bound.run, QUICK_S if context.quick else LASTING_S)
    expected, factor = x[:4].astype(np.float64), y.astype(np.float64)
    for _ in range(PRODUCTS):
        expected = expected @ factor
    off = np.linalg.norm(bound.output("z")[:4].astype(np.float64) - expected) / np.linalg.norm(expected)
    return {"flop_per_s": flop_per_s, "size": size, "relative_error": float(off), "first_s": started_s}


def _copy(context: Context) -> Result:
    """Bytes a second that are read and written by a copy within the device's memory."""
    bytes_copied = CPU_COPIED if not context.on_gpu else COPIED
    if context.quick:
        bytes_copied //= 64
    with cuda.loading():
        free = cuda_calls.free_bytes(context.device) if context.on_gpu else None
    count = min(bytes_copied, (free or bytes_copied * 4) // 4) // 4
    random = np.random.default_rng(0).random(2**20, np.float32)
    x = np.resize(random, count)
    bound = _Bound(_identity(), context, options_for("float32"), {"x": x}, {"z": (x.shape, np.float32)})
    bound.fill("z", np.full(count, np.nan, np.float32))
    bound.run()
    if not np.array_equal(bound.output("z"), x):
        raise ValueError("the copy differs from the original")
    taken_s = seconds(bound.run, QUICK_S if context.quick else LASTING_S)
    return {"bytes_per_s": 2 * x.nbytes / taken_s, "bytes": x.nbytes}


def _host(context: Context) -> Result:
    """Bytes a second from the host to the device and back, from memory that is pinned and from memory that is not."""
    windows = np.random.default_rng(0).random(UPLOADED // 4, np.float32)
    kind, _, number = context.device.partition(":")
    with cuda.loading():
        value = ort.OrtValue.ortvalue_from_numpy(windows, kind, int(number))
    rates: Result = {"up": windows.nbytes / seconds(lambda: value.update_inplace(windows), QUICK_S)}
    rates["down"] = windows.nbytes / seconds(lambda: value.numpy(), QUICK_S)
    rates["can_pin"] = cuda_calls.pin(windows)
    if rates["can_pin"]:
        try:
            rates["up_pinned"] = windows.nbytes / seconds(lambda: value.update_inplace(windows), QUICK_S)
        finally:
            cuda_calls.unpin(windows)
    return rates


def _work(context: Context, name: str, found: Mapping[str, Result]) -> Result:
    """What a file needs for a window, and how many windows/s that allows at the rates that were measured."""
    started = time.perf_counter()
    nodes = work.work_of(context.models[name])
    result: Result = {
        "flop": sum(node.flop for node in nodes),
        "value_bytes": sum(node.value_bytes for node in nodes),
        "weight_bytes": sum(node.weight_bytes for node in nodes),
        "nodes": len(nodes),
        "counted_in_s": time.perf_counter() - started,
    }
    bytes_per_s = found.get("copy", {}).get("bytes_per_s")
    products = {each: found.get(f"product {each}", {}) for each in PRECISIONS}
    rates = {each: product["flop_per_s"] for each, product in products.items() if "flop_per_s" in product}
    if bytes_per_s is None:
        return result
    for precision in rates if "float32" in rates else rates.keys() - {"float16"}:
        result[precision] = attempt(partial(_possible, context, name, nodes, precision, rates, bytes_per_s))
    return result


def _possible(
    context: Context,
    name: str,
    nodes: Sequence[NodeWork],
    precision: Precision,
    flop_per_s: Mapping[Precision, float],
    bytes_per_s: float,
) -> Result:
    """The windows/s that rates allow. Of float16, what its file computes in float32 counts as that."""
    if precision == "float16":
        path = context.models[name]
        half = work.float16_nodes(path, file_for(context, name, precision))
        parts = [
            ([node for node in nodes if node.name in half], flop_per_s["float16"], 0.5),
            ([node for node in nodes if node.name not in half], flop_per_s["float32"], 1.0),
        ]
    else:
        parts = [(list(nodes), flop_per_s[precision], 1.0)]
    arithmetic_s = sum(node.flop / rate for part, rate, _ in parts for node in part)
    layers = {
        str(batch): 1 / sum(work.seconds(part, batch, rate, bytes_per_s, width) for part, rate, width in parts)
        for batch in BATCHES
    }
    return {"arithmetic_alone": 1 / arithmetic_s, "layer_by_layer": layers}


class _Bound:
    """A small graph whose inputs and outputs lie on the device."""

    def __init__(
        self,
        graph: bytes,
        context: Context,
        options: CudaOptions,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Mapping[str, tuple[tuple[int, ...], type]],
    ) -> None:
        path = context.scratch / "ceiling.onnx"
        path.write_bytes(graph)
        session_options = ort.SessionOptions()
        session_options.log_severity_level = 4
        self._session = load(path, session_options, context.device, options)
        kind, _, number = context.device.partition(":")
        place = kind, int(number or 0)
        self._binding = self._session.io_binding()
        self._inputs = {name: ort.OrtValue.ortvalue_from_numpy(value, *place) for name, value in inputs.items()}
        self._outputs = {
            name: ort.OrtValue.ortvalue_from_shape_and_type(list(shape), dtype, *place)
            for name, (shape, dtype) in outputs.items()
        }
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def fill(self, name: str, array: NDArray[Any]) -> None:
        self._outputs[name].update_inplace(array)

    def output(self, name: str) -> NDArray[Any]:
        return np.asarray(self._outputs[name].numpy())


def _chain(kind: type) -> bytes:
    """z = x y y y y."""
    from onnx import helper

    names = ["x", *(f"p{i}" for i in range(1, PRODUCTS)), "z"]
    nodes = [helper.make_node("MatMul", [a, "y"], [b]) for a, b in pairwise(names)]
    return _graph(nodes, kind, ["x", "y"], 2)


def _identity() -> bytes:
    """z = x."""
    from onnx import helper

    return _graph([helper.make_node("Identity", ["x"], ["z"])], np.float32, ["x"], 1)


def _graph(nodes: list[Any], kind: type, inputs: list[str], rank: int) -> bytes:
    from onnx import helper

    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    values = [helper.make_tensor_value_info(name, element, ["n"] * rank) for name in [*inputs, "z"]]
    graph = helper.make_graph(nodes, "ceiling", values[:-1], values[-1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The rates, then the work of each file and what it allows."""
    found = result.get("trials", {})
    for name, each in found.items():
        if "flop_per_s" in each:
            off = figure(each["relative_error"])
            yield f"{name:<16} {each['flop_per_s'] / 1e12:8.1f} TFLOP/s, off by {off:.1e}"
        elif "bytes_per_s" in each:
            yield f"{name:<16} {each['bytes_per_s'] / 1e9:8.0f} GB/s, read and written"
        elif "up" in each:
            pinned = f"{each['up_pinned'] / 1e9:.1f} pinned" if each["can_pin"] else "not pinned"
            up = f"{each['up'] / 1e9:.1f} GB/s up ({pinned})"
            yield f"{name:<16} {up}, {each['down'] / 1e9:.1f} down"
        elif "flop" in each:
            moved = f"{each['value_bytes'] / 1e6:.1f} MB of values and {each['weight_bytes'] / 1e6:.0f} MB of weights"
            yield f"{name:<16} {each['flop'] / 1e9:8.2f} GFLOP and {moved} a window"
            for precision in PRECISIONS:
                if "layer_by_layer" in each.get(precision, {}):
                    best = each[precision]["layer_by_layer"][str(BATCHES[-1])]
                    alone = each[precision]["arithmetic_alone"]
                    yield f"  {precision:<8} at best {best:,.0f} windows/s layer by layer, {alone:,.0f} by arithmetic"
