"""A parser of MLIR's text, as far as TensorFlow prints it for a SavedModel's functions.

MLIR prints one operation per line; the regions of an operation start at the end of its line, or on the lines after it.
The text between an operation's name and its types is kept as it is, and `Op` searches it for attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

from convert.errors import ConversionError
from convert.passes.edit import Array

TYPE = re.compile(r"tensor<((?:[^<>]|<(?:[^<>]|<[^<>]*>)*>)*)>")
VALUE = re.compile(r"%[\w$.-]+(?:#\d+)?")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
OP = re.compile(r'(?:(%[\w$.-]+)(?::(\d+))? = )?"?([A-Za-z_][\w.$]*)"?(.*)')
FUNCTION = re.compile(r'func\.func (?:private |public )?@("[^"]*"|[\w.$-]+)\(')
NUMBER = {"true": 1.0, "false": 0.0, "inf": np.inf, "nan": np.nan}
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
"""Computed in float32: values are rounded where they are converted to bfloat16, not after each operation."""
DTYPES = {
    "bf16": BFLOAT16, "f16": np.float16, "f32": np.float32, "f64": np.float64,
    "i1": np.bool_, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
    "ui8": np.uint8, "ui16": np.uint16, "ui32": np.uint32, "ui64": np.uint64,
    "complex<f32>": np.complex64, "complex<f64>": np.complex128,
}  # fmt: skip


class TextError(ConversionError):
    """A line of the text cannot be parsed; says which."""


@dataclass(frozen=True)
class TensorType:
    """A type `tensor<...>`. Sizes that are not static are None; `dtype` is None if elements are not numbers."""

    sizes: tuple[int | None, ...]
    dtype: np.dtype | None

    @classmethod
    def parse(cls, text: str) -> TensorType:
        """Parses the text between the brackets of `tensor<...>`."""
        *sizes, element = text.partition(",")[0].split("x") if "complex" not in text else _complex_parts(text)
        if element not in DTYPES or "*" in sizes:
            return cls((), None)
        return cls(tuple(None if size == "?" else int(size) for size in sizes), np.dtype(DTYPES[element]))


def _complex_parts(text: str) -> list[str]:
    sizes, _, element = text.partition("complex")
    return [*sizes.rstrip("x").split("x"), f"complex{element}"] if sizes else [f"complex{element}"]


@dataclass
class Region:
    """A block of operations and the names of its arguments."""

    arguments: list[str]
    ops: list[Op]


@dataclass
class Op:
    """One operation.

    `results` are the names of its values, `header` is the text between its name and its types, `text` its first line.
    """

    name: str
    results: list[str]
    header: str
    types: str
    line: int
    regions: list[Region] = field(default_factory=list)
    text: str = ""

    @property
    def operands(self) -> list[str]:
        return VALUE.findall(STRING.sub('""', self.header))

    @property
    def symbol(self) -> str:
        """The name of the function or custom call that it refers to, without the @."""
        match = re.search(r'@("[^"]*"|[\w.$-]+)', self.header)
        if match is None:
            raise TextError(f"{self.name} in line {self.line} names no function")
        return match[1].strip('"')

    @property
    def result_types(self) -> list[TensorType]:
        _, arrow, after = self.types.rpartition("->")
        return [TensorType.parse(inner) for inner in TYPE.findall(after if arrow else self.types)]

    def ints(self, key: str, default: list[int] | None = None) -> list[int]:
        """The list of integers `key = [1, 2]` or `key = array<i64: 1, 2>`."""
        match = re.search(rf"\b{key} = (?:\[|array<i64(?::|>))([^\]>]*)", self.header)
        if match is None and default is None:
            raise TextError(f"{self.name} in line {self.line} has no {key}")
        return [int(n) for n in match[1].split(",") if n.strip()] if match else list(default or [])

    def integer(self, key: str, default: int | None = None) -> int:
        """The integer `key = 1`."""
        match = re.search(rf"\b{key} = (-?\d+)", self.header)
        if match is None and default is None:
            raise TextError(f"{self.name} in line {self.line} has no {key}")
        return int(match[1]) if match else int(default or 0)

    def pairs(self, key: str) -> list[tuple[int, int]] | None:
        """Pairs of integers, `key = [[1, 2], [3, 4]]` or `key = dense<...>`; None where the key is missing."""
        match = re.search(rf"\b{key} = (\[\[.*?\]\]|dense<.*?> : tensor<(\d+)x2x)", self.header)
        if match is None:
            return None
        numbers = [int(n) for n in re.findall(r"-?\d+", match[1].partition(">")[0])]
        if len(numbers) == 1:  # a splat
            numbers *= 2 * int(match[2])
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    def word(self, pattern: str) -> str | None:
        """The first group of a pattern in the header; None where it does not match."""
        match = re.search(pattern, self.header)
        return match[1] if match else None


@dataclass
class Function:
    """A function; `platform_index` says whether its first argument is the index of the platform it runs on."""

    name: str
    arguments: list[str]
    platform_index: bool
    ops: list[Op]


def parse(text: str) -> dict[str, Function]:
    """The functions of a module by name.

    Raises:
        TextError: a line cannot be parsed.
    """
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    functions: dict[str, Function] = {}
    for _, line in lines:
        match = FUNCTION.match(line)
        if match is None:
            continue
        name = match[1].strip('"')
        head = STRING.sub('""', line[match.end() :].partition(" -> ")[0])
        arguments = re.findall(r"(%[\w$.-]+): ", head)
        first = line[match.end() :].partition(", %")[0]
        region, _ = _region(lines)
        functions[name] = Function(name, arguments, '"_platform_index"' in first, region.ops)
    return functions


def _region(lines: Iterator[tuple[int, str]]) -> tuple[Region, str]:
    """The region up to its closing brace, and the line of that brace."""
    region = Region([], [])
    for number, line in lines:
        if line.startswith("}"):
            return region, line
        if line.startswith("^"):
            region.arguments = re.findall(r"(%[\w$.-]+): ", line)
        elif line.startswith("reducer("):
            inner, _ = _region(lines)
            inner.arguments = re.findall(r"(%[\w$.-]+): ", line)
            region.ops[-1].regions.append(inner)
        elif line == "cond {":
            condition, _ = _region(lines)
            body, _ = _region(lines)
            region.ops[-1].regions += [condition, body]
        elif line:
            region.ops.append(_op(number, line, lines))
    raise TextError("the module's text ends in the middle of a function")


def _op(number: int, line: str, lines: Iterator[tuple[int, str]]) -> Op:
    match = OP.fullmatch(line)
    if match is None:
        raise TextError(f"line {number} of the module cannot be read: {line[:80]}")
    first, count, name, rest = match.groups()
    regions: list[Region] = []
    if rest.endswith("({"):
        rest = rest[:-2]
        closing = "}, {"
        while closing == "}, {":
            region, closing = _region(lines)
            regions.append(region)
        rest += closing[1:]
    header, _, types = rest.rpartition(" : ") if " : " in rest else (rest, "", "")
    results = [first] if first and not count else [f"{first}#{i}" for i in range(int(count or 0))]
    return Op(name, results, header, types, number, regions, line)


def literal(op: Op) -> Array:
    """The array of a constant, printed as nested lists of numbers, as one number for all elements, or as hex bytes."""
    (kind,) = op.result_types
    match = re.search(r"dense<(.*)>$", op.header.strip(), re.DOTALL)
    if match is None or kind.dtype is None or None in kind.sizes:
        raise TextError(f"the constant in line {op.line} cannot be read: {op.header[:80]}")
    text, sizes = match[1], tuple(size or 0 for size in kind.sizes)
    if text.startswith('"0x'):
        raw = bytes.fromhex(text[3:-1])
        if kind.dtype == np.bool_ and len(raw) * 8 >= np.prod(sizes) > len(raw):  # packed bits
            return (
                np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[: np.prod(sizes)]
                .astype(bool)
                .reshape(sizes)
            )
        array = np.frombuffer(raw, kind.dtype)
    else:
        array = _numbers(text, kind.dtype)
    if kind.dtype == BFLOAT16:
        array = array.astype(np.float32)
    return np.full(sizes, array.reshape(())) if array.size == 1 else array.reshape(sizes)


def _numbers(text: str, dtype: np.dtype) -> Array:
    words = re.findall(r"[^\s\[\](),]+", text)
    part = np.empty(0, dtype).real.dtype if dtype.kind == "c" else dtype
    if any(word.startswith("0x") for word in words):  # a float by its bits: infinity or NaN
        unsigned = np.dtype(f"u{part.itemsize}")
        numbers = np.array(
            [np.array(int(w, 16), unsigned).view(part) if w.startswith("0x") else float(w) for w in words], part
        )
    elif part.kind in "iu":
        numbers = np.array([int(word) for word in words], part)
    else:
        numbers = np.array([float(NUMBER.get(word, word)) for word in words]).astype(part)
    return numbers.view(dtype) if dtype.kind == "c" else numbers
