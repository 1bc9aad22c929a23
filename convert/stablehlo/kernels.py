"""Types in which ONNX Runtime computes on a CPU: of many operations it has no kernel for truths and narrow integers.

What it lacks is computed in a wider type and cast back, which is exact: integers wrap round in both.
"""

from __future__ import annotations

import numpy as np

from convert.stablehlo.tensor import UnknownError


def _types(*names: str) -> frozenset[np.dtype]:
    return frozenset(np.dtype(name) for name in names)


WIDER = {
    np.dtype(narrow): np.dtype(wide)
    for narrow, wide in {
        "bool": "int32", "int8": "int32", "int16": "int32", "int32": "int64", "uint8": "int32", "uint16": "int32",
        "uint32": "int64",
    }.items()
}  # fmt: skip
FLOATS = _types("float16", "float32", "float64")
USUAL = FLOATS | _types("int32", "int64", "uint64")
KERNELS = {
    **dict.fromkeys(("And", "Not", "Or", "Xor"), _types("bool")),
    **dict.fromkeys(("ArgMax", "ArgMin"), FLOATS | _types("int32", "int64")),
    **dict.fromkeys(("Atan", "Conv", "MaxPool", "Tan"), _types("float16", "float32")),
    **dict.fromkeys(("CumSum", "Neg", "Pow", "TopK", "Where"), USUAL - _types("uint64")),
    "Equal": USUAL | _types("bool"),
    "Pad": USUAL | _types("bool", "int8", "uint8", "uint32"),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), FLOATS | _types("int32")),
    **dict.fromkeys(("ReduceProd", "ReduceSum"), FLOATS),
}
"""Of operations for which these are not the usual ones. That TopK, ArgMax and others of float16 are cast is its own."""
ANY = {"Cast", "IsNaN"}
REDUCTIONS = {"ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"}
"""Of integers that ONNX Runtime (1.31) computes by way of float32, or looks at 32 bits of: float64 holds 53."""


def computed_in(op_type: str, dtype: np.dtype) -> np.dtype:
    """The type in which an ONNX operation on such values is computed.

    Raises:
        UnknownError: in none.
    """
    wide = dtype
    while op_type not in ANY and wide not in KERNELS.get(op_type, USUAL):
        if op_type in REDUCTIONS and wide == np.int64:
            return np.dtype(np.float64)
        if wide not in WIDER:
            raise UnknownError(f"it takes {dtype.name}, of which ONNX Runtime computes no {op_type}")
        wide = WIDER[wide]
    return wide
