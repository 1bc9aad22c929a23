"""Translates a module: walks its functions from the first on, and calls the translation of each operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from convert.errors import ConversionError
from convert.stablehlo import elementwise, gather, products, shapes, sliding, updates
from convert.stablehlo.graph import Graph
from convert.stablehlo.tensor import PROBES, Sizes, Tensor, UnsupportedError, constant, empty
from convert.stablehlo.text import BFLOAT16, Function, Op, TensorType, literal

OPERATIONS = {
    **elementwise.OPERATIONS,
    **gather.OPERATIONS,
    **products.OPERATIONS,
    **shapes.OPERATIONS,
    **sliding.OPERATIONS,
    **updates.OPERATIONS,
}
PASSED_THROUGH = {
    "stablehlo.optimization_barrier", "tf.EnsureShape", "tf.Identity", "tf.IdentityN", "tf.PreventGradient",
    "tf.ReadVariableOp", "tf.StopGradient",
}  # fmt: skip
"""Operations whose results are their operands; a variable stands for its value."""
IGNORED = {"tf.NoOp"}
RETURNS = {"return", "func.return", "stablehlo.return"}
CALLS = {"call", "func.call", "tf.PartitionedCall", "tf.StatefulPartitionedCall"}
MODULE = "tf.XlaCallModule"
MOST_ROUNDS = 2000
"""The most rounds of a loop, which is unrolled."""
Names = Mapping[str, Tensor]
Observer = Callable[[Op, Sequence[Tensor], Sequence[Tensor]], Sequence[Tensor]]
"""Gets each operation with its operands and results, in order, and returns the results to go on with."""


def unchanged(op: Op, operands: Sequence[Tensor], results: Sequence[Tensor]) -> Sequence[Tensor]:
    return results


def translate(
    functions: Mapping[str, Function], graph: Graph, arguments: Sequence[Tensor], observe: Observer = unchanged
) -> list[Tensor]:
    """Translates the first function for these arguments; returns its results.

    Raises:
        ConversionError: an operation cannot be translated; names it and its line.
    """
    return _Walk(functions, graph, observe).call(next(iter(functions)), arguments)


def callee(op: Op) -> str:
    """The name of the function that a call or a module runs."""
    if op.name == MODULE:
        symbol = op.word(r'_entry_function = @("[^"]*"|[\w.$-]+)') or "main"
    else:
        symbol = op.word(r'\bf = @("[^"]*"|[\w.$-]+)') or op.symbol
    return symbol.strip('"')


class _Walk:
    def __init__(self, functions: Mapping[str, Function], graph: Graph, observe: Observer) -> None:
        self._functions = functions
        self._graph = graph
        self._observe = observe
        self._where: list[str] = []

    def call(self, name: str, arguments: Sequence[Tensor]) -> list[Tensor]:
        function = self._functions[name]
        self._where.append(name)
        results = self._block(function.ops, dict(zip(function.arguments, arguments, strict=True)))
        self._where.pop()
        return results

    def _block(self, ops: Sequence[Op], names: dict[str, Tensor]) -> list[Tensor]:
        for op in ops:
            if op.name in RETURNS:
                return [names[name] for name in op.operands]
            if op.name in IGNORED:
                continue
            operands = [names[name] for name in op.operands if name in names]
            try:
                results = self._results(op, operands, names)
            except ConversionError:
                raise
            except Exception as error:  # a form of the operation that no test covers
                unforeseen = f"there is no translation of this form of it, {op.types.strip()[:200]}"
                reason = str(error) if isinstance(error, UnsupportedError) else unforeseen
                raise ConversionError(f"{self._place(op)} cannot be translated to ONNX: {reason}") from error
            names.update(zip(op.results, results, strict=True))
        return []

    def _place(self, op: Op) -> str:
        what = f"{op.name} @{op.symbol}" if op.name.endswith("custom_call") else op.name
        return f"{what} in @{self._where[-1]} (line {op.line} of the module's StableHLO)"

    def _results(self, op: Op, operands: list[Tensor], names: Names) -> Sequence[Tensor]:
        kind = op.name.removeprefix("stablehlo.")
        if op.name in PASSED_THROUGH:
            return operands
        if op.name == MODULE:
            return self._module(op, operands)
        if op.name in CALLS:
            return self.call(callee(op), operands)
        if kind == "constant":
            return self._observe(op, operands, [constant(literal(op))])
        if kind == "custom_call":
            return self._observe(op, operands, self._custom_call(op, operands))
        if kind in ("case", "if"):
            return self._case(op, operands, names)
        if kind == "while":
            return self._while(op, names)
        if not op.name.startswith("stablehlo.") or kind not in OPERATIONS:
            raise ConversionError(f"{self._place(op)} is not an operation that can be translated to ONNX")
        made = OPERATIONS[kind](self._graph, op, *operands)
        results = made if isinstance(made, tuple) else (made,)
        if not all(map(_is_of, results, op.result_types[-len(results) :])):  # without an arrow operand types come first
            raise UnsupportedError(f"its result is not {op.types.rpartition('-> ')[2]}, as declared")
        return self._observe(op, operands, [empty(result) if result.empty else result for result in results])

    def _module(self, op: Op, operands: list[Tensor]) -> list[Tensor]:
        entry = callee(op)
        if self._functions[entry].platform_index:
            platforms = [name.strip(' "') for name in (op.word(r"platforms = \[([^\]]*)\]") or "").split(",")]
            index = platforms.index("CPU") if "CPU" in platforms else 0
            operands = [constant(np.array(index, np.int32)), *operands]
        return self.call(entry, operands)

    def _custom_call(self, op: Op, operands: list[Tensor]) -> Sequence[Tensor]:
        match op.symbol:
            case "shape_assertion":
                return []
            case "mhlo.erf":
                return [self._graph.elementwise("Erf", operands)]
            case "mhlo.topk" if "largest = false" not in op.header:
                return products.top_k(self._graph, op.integer("k"), *operands)
        raise ConversionError(f"{self._place(op)} is not a call that can be translated to ONNX")

    def _case(self, op: Op, operands: list[Tensor], names: Names) -> list[Tensor]:
        (index,) = operands
        if not index.is_constant:
            raise UnsupportedError("which branch is taken depends on the audio")
        number = int(index.array())
        if op.name == "stablehlo.if":
            number = 0 if number else 1
        elif not 0 <= number < len(op.regions):
            number = len(op.regions) - 1
        return self._block(op.regions[number].ops, dict(names))

    def _while(self, op: Op, names: Names) -> list[Tensor]:
        """Unrolls a loop."""
        arguments, starts = op.operands[::2], op.operands[1::2]
        condition, body = op.regions
        values = [names[name] for name in starts]
        for _ in range(MOST_ROUNDS):
            inside = {**names, **dict(zip(arguments, values, strict=True))}
            (goes_on,) = self._block(condition.ops, dict(inside))
            if not goes_on.is_constant:
                raise UnsupportedError("how many rounds it takes depends on the audio")
            if not goes_on.array():
                return values
            values = self._block(body.ops, inside)
        raise UnsupportedError(f"it takes more than {MOST_ROUNDS} rounds")


def _is_of(result: Tensor, kind: TensorType) -> bool:
    """Whether a value has the type that the module declares, as far as it is static."""
    if kind.dtype is None:
        return True
    dtype = np.dtype(np.float32) if kind.dtype == BFLOAT16 else kind.dtype
    sizes = [(result.shape[:, axis] == size).all() for axis, size in enumerate(kind.sizes) if size is not None]
    return result.rank == len(kind.sizes) and result.dtype == dtype and all(sizes)


def outputs(graph: Graph, results: Mapping[str, Tensor]) -> list[ir.Value]:
    """Names the graph's values of these results, and drops all nodes that they do not need.

    Raises:
        ConversionError: a result cannot be a value of the graph.
    """
    made: list[ir.Value] = []
    for name, result in results.items():
        try:
            value = graph.value(graph.data(result))
        except UnsupportedError as error:
            raise ConversionError(f"the output {name} cannot be computed by ONNX: {error}") from None
        if value.producer() is None or value in made:  # an input, a constant, or the same result twice
            node = ir.node("Identity", [value])
            graph.nodes.append(node)
            value = node.outputs[0]
        value.name = name
        value.shape = ir.Shape([_size(result.shape[:, axis]) for axis in range(result.rank)])
        value.type = ir.TensorType(ir.DataType.from_numpy(result.dtype))
        made.append(value)
    graph.keep(made)
    return made


def _size(sizes: Sizes) -> int | str | None:
    if (sizes == sizes[0]).all():
        return int(sizes[0])
    return "batch" if (sizes == PROBES).all() else None
