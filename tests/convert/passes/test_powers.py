"""The pass that computes powers by what is quick."""

from __future__ import annotations

import numpy as np
import pytest

from convert.passes.frontend.powers import plain_powers
from tests.support.graphs import assert_same, graph_of, normal, ops, outputs_of


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [
        (2, {"Mul": 1}),
        (0.5, {"Sqrt": 1}),
        (0.25, {"Sqrt": 2}),
        (0.8, {"Pow": 1}),
        (3, {"Pow": 1}),
        (-0.5, {"Pow": 1}),
    ],
)
def test_power(exponent: float, expected: dict[str, int]) -> None:
    model = graph_of("g (float[n, 50] x) => (float[n, 50] y) { y = Pow (x, p) }", p=np.float32(exponent))
    x = np.exp(4 * normal(3, 50)) if exponent != round(exponent) else normal(3, 50)
    assert ops(assert_same(model, x, plain_powers, tolerance=2e-6)) == expected


@pytest.mark.parametrize("exponent", [0.5, 0.25])
def test_power_of_what_is_not_positive(exponent: float) -> None:
    model = graph_of("g (float[n] x) => (float[n] y) { y = Pow (x, p) }", p=np.float32(exponent))
    x = np.array([0, 1, np.inf, -1, np.nan], np.float32)
    before = outputs_of(model, x)[0]
    plain_powers(model.graph)
    np.testing.assert_array_equal(outputs_of(model, x)[0], before)


def test_exponent_that_is_no_single_constant_stays() -> None:
    text = "g (float[n, 2] x) => (float[n, 2] y, float[n, 2] z) { y = Pow (x, p) z = Pow (x, x) }"
    model = assert_same(graph_of(text, p=np.array([2, 0.5], np.float32)), np.abs(normal(4, 2)), plain_powers)
    assert ops(model) == {"Pow": 2}


def test_power_of_one_is_nothing() -> None:
    text = "g (float[n, 50] x) => (float[n, 50] y) { same = Pow (x, p)\n y = Relu (same) }"
    assert ops(assert_same(graph_of(text, p=np.float32(1)), normal(3, 50), plain_powers)) == {"Relu": 1}
