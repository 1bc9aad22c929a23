"""Operations on elements, from JAX to ONNX: each of a value and of a constant."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax, nn

from tests.support.jax_modules import Function, assert_equal_to_jax, each, sample

SHAPES = st.lists(st.integers(1, 4), max_size=3).map(lambda sizes: (1, *sizes))

SMOOTH: dict[str, Function] = {
    name: getattr(module, name)
    for module, names in {
        jnp: "arcsinh arctan cbrt cos cosh exp exp2 expm1 sin sinc sinh square tanh",
        nn: "celu elu gelu hard_sigmoid hard_swish leaky_relu log_sigmoid mish relu relu6 selu sigmoid silu softplus",
        jax.scipy.special: "erf erfc",
    }.items()
    for name in names.split()
} | {
    "gelu by erf": lambda x: nn.gelu(x, approximate=False),
    "of positive numbers": lambda x: {
        f.__name__: f(jnp.abs(x) + 0.1) for f in (jnp.log, jnp.log10, jnp.log1p, jnp.log2, jnp.sqrt, lax.rsqrt)
    },
    "within 1": lambda x: {f.__name__: f(jnp.tanh(x) * 0.9) for f in (jnp.arccos, jnp.arcsin, jnp.arctanh, jnp.tan)},
    "powers": lambda x: [
        x**2,
        x**3,
        lax.integer_pow(x, -2),
        (jnp.abs(x) + 0.1) ** 0.3,
        2.0**x,
        jnp.abs(x) ** jnp.abs(x),
    ],
    "quotients": lambda x: [
        x / 3,
        3 / (jnp.abs(x) + 1),
        jnp.mod(x, 0.7),
        jnp.fmod(x, -0.7),
        x // 0.3,
        jnp.remainder(x, -2),
    ],
    "arctan2": lambda x: [jnp.arctan2(x, 1 - x), jnp.arctan2(1.0, x), jnp.arctan2(x, -2.0)],
    "sums": lambda x: [x + 1, 1 - x, -x, jnp.logaddexp(x, 2 * x), jnp.hypot(x, 2.0), jnp.abs(x)],
}
STEPS: dict[str, Function] = {
    "rounded": lambda x: [jnp.ceil(3 * x), jnp.floor(3 * x), jnp.round(3 * x), jnp.trunc(3 * x), jnp.round(x, 1)],
    "halves": lambda x: [lax.round(jnp.floor(3 * x) / 2), jnp.round(jnp.floor(3 * x) / 2)],
    "limited": lambda x: [jnp.clip(x, -0.5, 0.5), lax.clamp(-0.5, x, 0.7), jnp.maximum(x, 0.1), jnp.minimum(x, 0.1)],
    "compared": lambda x: [
        x < 0.3,
        x <= 0,
        x > 0.3,
        x >= 0,
        x == x,
        x != 0,
        jnp.isnan(x),
        jnp.isfinite(x),
        jnp.isinf(x),
    ],
    "logic": lambda x: [(x > 0) & (x < 1), (x > 0) | (x < -1), (x > 0) ^ (x > 1), ~(x > 0), (x > 0) < (x > 1)],
    "chosen": lambda x: [jnp.where(x > 0, x, -2 * x), jnp.where(x > 0, 1.0, x), lax.select_n(x > 0, x, x * 3)],
    "signs": lambda x: [jnp.sign(x), jnp.heaviside(x, 0.5), jnp.nan_to_num(x)],
    "cast": lambda x: [
        (3 * x).astype(jnp.int32),
        x.astype(bool),
        (x > 0).astype(jnp.float32),
        jnp.int8(3 * x).astype(float),
    ],
    "left": lambda x: [lax.stop_gradient(x), lax.optimization_barrier(x), lax.reduce_precision(x, 5, 10)],
}
INTEGERS: dict[str, Function] = {
    "arithmetic": lambda x: [x + 3, 3 - x, x * x, -x, abs(x), jnp.sign(x), x**2, jnp.square(x)],
    "divided": lambda x: [
        x // 4,
        x % 4,
        x // -4,
        x % -4,
        lax.div(x, np.int32(-4)),
        lax.rem(x, np.int32(4)),
        lax.rem(x, np.int32(-4)),
    ],
    "compared": lambda x: [x < 3, x == 2, x != 2, jnp.maximum(x, 1), jnp.minimum(x, 1), jnp.clip(x, -2, 2)],
    "cast": lambda x: [x.astype(jnp.float32) / 3, x.astype(bool), jnp.where(x > 0, x, 7), x / 3],
}
BITS: dict[str, Function] = {
    "logic": lambda x: [x & 6, x | 9, x ^ 5, ~x],
    "shifts": lambda x: [x << 2, x >> 1, lax.shift_right_logical(x, np.int32(3))],
    "floats": lambda x: [lax.bitcast_convert_type(x, jnp.float32), jnp.signbit(x.astype(jnp.float32))],
}
TRUTH: dict[str, Function] = {
    "logic": lambda x: [x & True, x | ~x, x ^ True, ~x, jnp.logical_xor(x, ~x), x == ~x, x != x],
    "numbers": lambda x: [x.astype(jnp.int32), x.astype(jnp.float32), jnp.where(x, 1.5, -2.0), x + 1, x * 2.0],
}
TOPICS = {
    "smooth": (SMOOTH, np.float32),
    "steps": (STEPS, np.float32),
    "integers": (INTEGERS, np.int32),
    "truth": (TRUTH, np.bool_),
}


@pytest.mark.parametrize("topic", TOPICS)
@settings(max_examples=2)
@given(SHAPES)
def test_elements(topic: str, shape: tuple[int, ...]) -> None:
    cases, dtype = TOPICS[topic]
    assert_equal_to_jax(each(cases, sample((3, *shape[1:]), dtype)), shape, dtype)


def test_bits_of_constants() -> None:
    constant = sample((3, 4), np.int32)
    assert_equal_to_jax(lambda x: [x, each(BITS)(constant), each(BITS)(constant[:0])], (1, 2))


LIMITS = [0.0, 1e-35, 1e-30, 1e-12, 1e-7, 1e-4, 0.01, 0.5, 1.0, 2.5, 17.0, 80.0, 1e4, 1e12, 3e38, np.inf]


def test_exact_over_the_whole_range() -> None:
    """To 4 units in the last place, wherever a number is tiny, huge, infinite, or not a number."""
    cases: dict[str, Function] = {
        "log1p": jnp.log1p,
        "expm1": jnp.expm1,
        "round": lambda x: [jnp.round(x), lax.round(x), jnp.floor(x), jnp.ceil(x)],
        "finite": lambda x: [jnp.isfinite(x), jnp.isinf(x), jnp.isnan(x)],
        "compared": lambda x: [x == x, x != x, x < 1, x >= 1, x > x, jnp.nan_to_num(x)],
        "limited": lambda x: [jnp.maximum(x, 0.5), jnp.minimum(x, 0.5), jnp.clip(x, -1, 1), nn.relu(x)],
        "roots": lambda x: [jnp.sqrt(jnp.abs(x)), jnp.log(jnp.abs(x)), jnp.abs(x), jnp.sign(x)],
        "softplus": nn.softplus,
    }
    values = np.array([*LIMITS, *(-n for n in LIMITS), -1.0, -(1 - 2**-24), np.nan], np.float32)
    assert_equal_to_jax(
        each(cases, values),
        (1, len(values)),
        close=5e-7,
        of_greatest=0,
        inputs=lambda batch: np.repeat(values[None], batch, axis=0),
    )


HALVES: dict[str, Function] = {
    name: lambda x, dtype=dtype: [
        x.astype(dtype).astype(jnp.float32),
        (x.astype(dtype) * 2 + 1).astype(jnp.float32),
        jnp.matmul(x.astype(dtype), jnp.ones((4, 3), dtype), preferred_element_type=jnp.float32),
        jnp.max(x.astype(dtype), axis=1).astype(jnp.float32),
    ]
    for name, dtype in {"bfloat16": jnp.bfloat16, "float16": jnp.float16}.items()
}


def test_halves() -> None:
    """To bfloat16's 8 bits: sums in it are kept in float32."""
    assert_equal_to_jax(each(HALVES, sample((3, 4))), (1, 4), close=2**-8)
