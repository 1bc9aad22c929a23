"""Types for which ONNX Runtime has kernels on a CPU; many operations have none for boolean, int8 or int16.

Those are computed in a wider type and cast back. That is exact, since integers wrap around in both.
"""

from __future__ import annotations

import numpy as np

from convert.stablehlo.tensor import UnsupportedError


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
"""Types of operations that lack the usual ones. ONNX Runtime itself casts float16 for TopK, ArgMax and others."""
ANY = {"Cast", "IsNaN"}
REDUCTIONS = {"ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"}
"""ONNX Runtime (1.31) reduces integers in float32, or by their low 32 bits; float64 is exact to 53 bits."""


def computed_in(op_type: str, dtype: np.dtype) -> np.dtype:
    """The type, this one or a wider one, in which ONNX Runtime computes an operation on values of a type.

    Raises:
        UnsupportedError: there is none.
    """
    wide = dtype
    while op_type not in ANY and wide not in KERNELS.get(op_type, USUAL):
        if op_type in REDUCTIONS and wide == np.int64:
            return np.dtype(np.float64)
        if wide not in WIDER:
            raise UnsupportedError(f"it takes {dtype.name}, for which ONNX Runtime has no {op_type}")
        wide = WIDER[wide]
    return wide
