"""MLIR's text as TensorFlow prints it, and spellings that it may print."""

from __future__ import annotations

import re

import numpy as np
import pytest

from convert.stablehlo.text import Op, TextError, literal, parse

CONSTANTS = [
    ("dense<1.5> : tensor<f32>", np.float32(1.5)),
    ("dense<0xFF800000> : tensor<f32>", np.float32(-np.inf)),
    ("dense<[0x7F800000, 2.0, 0x7FC00000]> : tensor<3xf32>", np.array([np.inf, 2, np.nan], np.float32)),
    ("dense<0x7FF0000000000000> : tensor<2xf64>", np.full(2, np.inf)),
    ("dense<0x7C00> : tensor<f16>", np.float16(np.inf)),
    ("dense<0xFF80> : tensor<bf16>", np.float32(-np.inf)),
    ('dense<"0x803F0040"> : tensor<2xbf16>', np.array([1, 2], np.float32)),
    ("dense<[[1, -2], [3, 4], [5, 6]]> : tensor<3x2xi32>", np.array([[1, -2], [3, 4], [5, 6]], np.int32)),
    ("dense<-9223372036854775808> : tensor<i64>", np.int64(-(2**63))),
    ("dense<9007199254740993> : tensor<1xi64>", np.array([2**53 + 1])),
    ("dense<255> : tensor<2x2xui8>", np.full((2, 2), 255, np.uint8)),
    ("dense<4294967295> : tensor<ui32>", np.uint32(2**32 - 1)),
    ("dense<[true, false]> : tensor<2xi1>", np.array([True, False])),
    ("dense<true> : tensor<i1>", np.bool_(True)),
    ('dense<"0x000100"> : tensor<3xi1>', np.array([False, True, False])),
    ("dense<(1.0,-2.5)> : tensor<complex<f32>>", np.complex64(1 - 2.5j)),
    ("dense<[(0.0,1.0), (2.0,0.0)]> : tensor<2xcomplex<f32>>", np.array([1j, 2], np.complex64)),
    ('dense<"0x0000803F00000040"> : tensor<2xf32>', np.array([1, 2], np.float32)),
    ('dense<"0x0000803F00000040"> : tensor<complex<f32>>', np.complex64(1 + 2j)),
    ('dense<"0x0000803F"> : tensor<2x3xf32>', np.ones((2, 3), np.float32)),
    ("dense<> : tensor<0x4xf32>", np.zeros((0, 4), np.float32)),
    ("dense<1.0E-10> : tensor<1x1xf32>", np.full((1, 1), 1e-10, np.float32)),
]


@pytest.mark.parametrize(("text", "expected"), CONSTANTS, ids=[text for text, _ in CONSTANTS])
def test_constants(text: str, expected: np.ndarray) -> None:
    header, types = text.rsplit(" : ", 1)
    array = literal(Op("stablehlo.constant", ["%0"], header, types, 1))
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(array, expected)


MODULE = """
module @"jit(f)" attributes {mhlo.num_partitions = 1 : i32} {
  func.func public @main(%arg0: tensor<i32> {jax.global_constant = "_platform_index"}, %arg1: tensor<?x8xf32>) -> tensor<?x8xf32> {
    %0:2 = call @"inner (1)"(%arg1) : (tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<i32>)
    %1 = "stablehlo.case"(%arg0) ({
      stablehlo.return %0#0 : tensor<?x8xf32>
    }, {
      %2 = stablehlo.negate %0#0 : tensor<?x8xf32>
      stablehlo.return %2 : tensor<?x8xf32>
    }) : (tensor<i32>) -> tensor<?x8xf32>
    %c = stablehlo.constant dense<0> : tensor<i32>
    %3:2 = stablehlo.while(%iterArg = %c, %iterArg_0 = %1) : tensor<i32>, tensor<?x8xf32>
     cond {
      %4 = stablehlo.compare  LT, %iterArg, %c,  SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %4 : tensor<i1>
    } do {
      stablehlo.return %iterArg, %iterArg_0 : tensor<i32>, tensor<?x8xf32>
    }
    stablehlo.custom_call @shape_assertion(%c) {error_message = "a -> %b : @c {1}"} : (tensor<i32>) -> ()
    return %3#1 : tensor<?x8xf32>
  }
  func.func private @"inner (1)"(%arg0: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<i32>) {
    %cst = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %c = stablehlo.constant dense<0> : tensor<i32>
    %0 = stablehlo.iota dim = 1 : tensor<2x8xi32>
    %1:2 = stablehlo.reduce(%arg0 init: %cst), (%0 init: %c) across dimensions = [1] : (tensor<?x8xf32>, tensor<2x8xi32>, tensor<f32>, tensor<i32>) -> (tensor<?xf32>, tensor<?xi32>)
     reducer(%arg1: tensor<f32>, %arg3: tensor<f32>) (%arg2: tensor<i32>, %arg4: tensor<i32>)  {
      %2 = stablehlo.maximum %arg1, %arg3 : tensor<f32>
      stablehlo.return %2, %arg2 : tensor<f32>, tensor<i32>
    }
    return %arg0, %c : tensor<?x8xf32>, tensor<i32>
  }
}
"""  # noqa: E501


def test_functions_and_regions() -> None:
    functions = parse(MODULE)
    main, inner = functions["main"], functions["inner (1)"]
    assert (main.arguments, main.platform_index, inner.platform_index) == (["%arg0", "%arg1"], True, False)
    call, case, _, loop, assertion, end = main.ops
    assert (call.symbol, call.operands, call.results) == ("inner (1)", ["%arg1"], ["%0#0", "%0#1"])
    assert [[op.name for op in region.ops] for region in case.regions] == [
        ["stablehlo.return"],
        ["stablehlo.negate", "stablehlo.return"],
    ]
    assert (case.operands, case.line) == (["%arg0"], 5)
    assert loop.operands == ["%iterArg", "%c", "%iterArg_0", "%1"]
    assert [len(region.ops) for region in loop.regions] == [2, 1]
    assert (assertion.symbol, assertion.operands, assertion.results) == ("shape_assertion", ["%c"], [])
    assert end.operands == ["%3#1"]
    reduction = inner.ops[3]
    assert reduction.regions[0].arguments == ["%arg1", "%arg3", "%arg2", "%arg4"]
    assert [kind.sizes for kind in reduction.result_types] == [(None,), (None,)]


def test_attributes() -> None:
    header = "(%0, %1) <{window = array<i64: 1, 3>, padding = dense<[[0, 1], [2, 3]]> : tensor<2x2xi64>, k = -4 : i64}>"
    op = Op("stablehlo.reduce_window", ["%2"], header, "(tensor<4xf32>) -> tensor<2xcomplex<f32>>", 3)
    assert (op.ints("window"), op.pairs("padding"), op.integer("k")) == ([1, 3], [(0, 1), (2, 3)], -4)
    assert op.result_types[0].dtype == np.complex64
    splat = Op("x", [], "padding = dense<1> : tensor<2x2xi64>", "", 1)
    assert splat.pairs("padding") == [(1, 1), (1, 1)]
    with pytest.raises(TextError, match=re.escape("stablehlo.reduce_window in line 3 has no strides")):
        op.ints("strides")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("func.func @main(%arg0: tensor<f32>) -> tensor<f32> {\n%0 = stablehlo.sine %arg0", "ends in the middle"),
        ("func.func @main(%arg0: tensor<f32>) -> tensor<f32> {\n?!\n}", "line 2 of the module cannot be read: ?!"),
    ],
)
def test_unreadable(text: str, said: str) -> None:
    with pytest.raises(TextError, match=re.escape(said)):
        parse(text)
