"""Values that do not depend on the audio, computed by XLA as it computes them in the model.

A mel matrix by another library's logarithm differs by more than a spectrogram's own rounding. So the module is
translated twice: first to find which constants meet the audio and from what they are computed, which becomes a module
of its own for XLA; then with XLA's values in their place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from convert.passes.edit import Array
from convert.stablehlo import shapes, xla
from convert.stablehlo.tensor import Tensor, View
from convert.stablehlo.text import DTYPES, STRING, VALUE, Op

MOVES = {*shapes.OPERATIONS, "constant"}
"""Operations that only move elements: their results need no XLA."""
MOST_ELEMENTS = 2**22
"""The greatest size of a value that XLA computes; NumPy computes the normalised weights of a large head."""
Values = Mapping[tuple[int, int], Mapping[int, Array]]
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items() if name != "bf16"}


@dataclass(frozen=True)
class _Traced:
    """An operation whose operands and results do not depend on the audio, or (`op` is None) an argument.

    `rounds` says whether it computes floats, or one of its operands was computed so.
    """

    place: int
    op: Op | None
    name: str
    operands: tuple[str, ...]
    results: tuple[Tensor, ...]
    rounds: bool


class Trace:
    """An `Observer` that records which values are to be computed by XLA, and from what."""

    def __init__(self) -> None:
        self._count = 0
        self._made: dict[str, _Traced] = {}
        self._names: dict[int, str] = {}
        self._asked: dict[str, None] = {}

    def __call__(self, op: Op, operands: Sequence[Tensor], results: Sequence[Tensor]) -> Sequence[Tensor]:
        """Records an operation; if it depends on the audio, asks for its operands."""
        place, self._count = self._count, self._count + 1
        if not self._traceable(op, operands, results):
            for operand in operands:
                self.ask(operand)
            return results
        name, several = f"%v{place}", len(op.results) > 1
        names = tuple(map(self._name, operands))
        floats = not _moves(op) and any(tensor.dtype.kind in "fc" for tensor in (*operands, *results))
        rounds = floats or any(self._of(each).rounds for each in names)
        self._made[name] = _Traced(place, op, name, names, tuple(results), rounds)
        for number, result in enumerate(results):
            self._names[id(result)] = f"{name}#{number}" if several else name
        return results

    def ask(self, tensor: Tensor) -> None:
        """Asks XLA for a computed value or, if that is too large or a broadcast, for its operands."""
        name = self._names.get(id(tensor))
        if name is None or name in self._asked or not self._of(name).rounds:
            return
        made = self._of(name)
        spread = made.op is not None and made.op.name == "stablehlo.broadcast_in_dim"
        if tensor.shape[0].prod() <= MOST_ELEMENTS and not spread:
            self._asked[name] = None
        else:
            for operand in made.operands:
                self.ask(self._tensor(operand))

    def computed(self) -> Values:
        """XLA's values by the position and line of their operation, then by the index of the result."""
        if not self._asked:
            return {}
        needed: dict[str, None] = {}
        frontier = list(self._asked)
        while frontier:
            made = self._of(frontier.pop())
            if made.name not in needed:
                needed[made.name] = None
                frontier += made.operands
        ordered = [made for made in self._made.values() if made.name in needed]
        given = [made for made in ordered if made.op is None]
        tensors = [self._tensor(name) for name in self._asked]
        types = [_type(tensor) for tensor in tensors]
        lines = [_renamed(made) for made in ordered if made.op is not None]
        arguments = ", ".join(f"{made.name}: {_type(made.results[0])}" for made in given)
        module = "\n".join(
            [
                f"module {{\nfunc.func public @main({arguments}) -> ({', '.join(types)}) {{",
                *lines,
                f"return {', '.join(self._asked)} : {', '.join(types)}\n}}\n}}",
            ]
        )
        arrays = xla.run(module, [_array(made.results[0]) for made in given], [(t.dtype, t.shape[0]) for t in tensors])
        values: dict[tuple[int, int], dict[int, Array]] = {}
        for name, array in zip(self._asked, arrays, strict=True):
            made = self._of(name)
            assert made.op is not None
            values.setdefault((made.place, made.op.line), {})[_number(name)] = array
        return values

    def _traceable(self, op: Op, operands: Sequence[Tensor], results: Sequence[Tensor]) -> bool:
        """Whether it is printed in one line, and its values depend neither on the audio nor on the batch."""
        if op.regions or len(operands) != len(op.operands) or "?" in op.types or "bf16" in op.types:
            return False
        if any(result is operand for result in results for operand in operands):
            return False  # it passes a value through
        if not _moves(op) and any(tensor.shape[0].prod() > MOST_ELEMENTS for tensor in results):
            return False
        return all(_constant(tensor) and tensor.dtype in NAMES for tensor in (*operands, *results))

    def _name(self, tensor: Tensor) -> str:
        """Its name in XLA's module; a value of no traced operation becomes an argument."""
        if id(tensor) not in self._names:
            name = f"%a{len(self._names)}"
            self._names[id(tensor)] = name
            self._made[name] = _Traced(-1, None, name, (), (tensor,), rounds=False)
        return self._names[id(tensor)]

    def _of(self, name: str) -> _Traced:
        return self._made[name.partition("#")[0]]

    def _tensor(self, name: str) -> Tensor:
        return self._of(name).results[_number(name)]


def _number(name: str) -> int:
    """The index among its operation's results."""
    return int(name.partition("#")[2] or 0)


def _moves(op: Op) -> bool:
    return op.name.removeprefix("stablehlo.") in MOVES


class Substitution:
    """An `Observer` that replaces results by XLA's values, in a translation of the module that `Trace` observed."""

    def __init__(self, values: Values) -> None:
        self._count = 0
        self._values = values

    def __call__(self, op: Op, operands: Sequence[Tensor], results: Sequence[Tensor]) -> Sequence[Tensor]:
        # The line differs if XLA's values make a loop end earlier: then they belong to another operation.
        arrays = self._values.get((self._count, op.line), {})
        self._count += 1
        return [_like(tensor, arrays[i]) if i in arrays else tensor for i, tensor in enumerate(results)]


def _like(tensor: Tensor, array: Array) -> Tensor:
    """An array as a value with the views of another one."""
    parts = (array.real, array.imag) if tensor.dtype.kind == "c" else (array,)
    return Tensor(tensor.shape, tensor.dtype, tuple(map(_view_like, tensor.parts, parts)))


def _view_like(view: View, array: Array) -> View:
    cut = tuple(slice(0, size) for size in view.sizes[0])
    return View((array.transpose(view.order)[cut].copy(),), view.order, view.sizes)


def _constant(tensor: Tensor) -> bool:
    """Whether it is a constant, and the same for all batch sizes."""
    one = all(not isinstance(part.data, ir.Value) and len(part.data) == 1 for part in tensor.parts)
    return one and bool((tensor.shape == tensor.shape[0]).all()) and not tensor.empty


def _array(tensor: Tensor) -> Array:
    """A constant's array, which may be complex."""
    real, *imag = (Tensor(tensor.shape, tensor.dtype, (part,)).array() for part in tensor.parts)
    if not imag:
        return real
    array = np.empty(real.shape, tensor.dtype)
    array.real, array.imag = real, imag[0]
    return array


def _type(tensor: Tensor) -> str:
    return f"tensor<{'x'.join([*map(str, tensor.shape[0]), NAMES[tensor.dtype]])}>"


def _renamed(made: _Traced) -> str:
    """The operation's line with the names of its values in XLA's module."""
    assert made.op is not None
    names = dict(zip(made.op.operands, made.operands, strict=True))
    left, _, right = made.op.text.partition(" = ")
    _, colon, count = left.partition(":")
    pieces = re.split(f"({STRING.pattern})", right)
    for i in range(0, len(pieces), 2):
        pieces[i] = VALUE.sub(lambda match: names[match[0]], pieces[i])
    return f"{made.name}{colon}{count} = {''.join(pieces)}"
