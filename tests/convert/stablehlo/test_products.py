"""Products, convolutions, pooling, reductions and Fourier transforms, from JAX to ONNX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax, nn

from tests.support.jax_modules import Function, assert_equal_to_jax, each, sample

REDUCTIONS: dict[str, Function] = {
    **{
        f.__name__: lambda x, f=f: [f(x), f(x, axis=1), f(x, axis=(0, 2))]
        for f in (jnp.max, jnp.mean, jnp.min, jnp.sum)
    },
    "products": lambda x: [jnp.prod(x, axis=1), jnp.sum(x, axis=2, keepdims=True), jnp.sum(x, axis=1, initial=2.0)],
    "spread": lambda x: [jnp.var(x, axis=(1, 2)), jnp.std(x, axis=1), jnp.ptp(x, axis=2), jnp.linalg.norm(x, axis=2)],
    "truth": lambda x: [jnp.any(x > 1, axis=1), jnp.all(x > -1, axis=2), jnp.sum(x > 0, axis=1), jnp.mean(x > 0)],
    "integers": lambda x: [jnp.sum(jnp.int32(3 * x), axis=1), jnp.max(jnp.int32(3 * x), axis=2)],
    "places": lambda x: [jnp.argmax(x, axis=1), jnp.argmin(jnp.round(x), axis=-1), jnp.argmax(jnp.int32(x), axis=1)],
    "some": lambda x: [
        jnp.sum(x, axis=1, where=x > 0),
        jnp.max(x, axis=1, initial=0.3),
        jnp.average(x, 1, jnp.arange(6)),
    ],
    "soft": lambda x: [nn.softmax(x, axis=1), nn.log_softmax(x), nn.logsumexp(x, axis=(1, 2)), nn.standardize(x)],
    "best": lambda x: [lax.top_k(x, 3), lax.top_k(x.swapaxes(1, 2), 2)],
    "running": lambda x: [jnp.cumsum(x, 1), lax.cumsum(x, 2, reverse=True), jnp.cumsum(jnp.int32(3 * x), 1)],
    "running greatest": lambda x: [lax.cummax(x, 1), lax.cummin(x, 2, reverse=True)],
    "of what is spread": lambda x: [
        f(jnp.broadcast_to(x[:, :, :1], x.shape), axis=2) for f in (jnp.sum, jnp.max, jnp.cumsum)
    ],
}


def test_reductions() -> None:
    assert_equal_to_jax(each(REDUCTIONS, sample((3, 6, 8))), (1, 6, 8))


SQUARE, CUBE = sample((8, 8)), sample((6, 8, 3))
PRODUCTS: dict[str, Function] = {
    equation: lambda x, equation=equation: jnp.einsum(equation, x, x)
    for equation in (
        "bij,bkj->bik",
        "bij,bij->bi",
        "bij,bij->b",
        "bij,bij->",
        "bij,ckj->bcik",
        "bij,cij->bc",
        "bij,bik->jbk",
    )
} | {
    "matrix": lambda x: [x @ SQUARE, SQUARE @ x.swapaxes(1, 2), x @ SQUARE[0], jnp.tensordot(x, CUBE, axes=2)],
    "three": lambda x: jnp.einsum("bij,jk,bik->bi", x, SQUARE, x),
    "spread": lambda x: [
        jnp.broadcast_to(x[:, :, :1], x.shape) @ SQUARE,
        jnp.broadcast_to(CUBE[..., 0].T, (x.shape[0], 8, 6)) @ x,
    ],
    "integers": lambda x: jnp.int32(3 * x) @ jnp.ones((8, 2), jnp.int32),
    "attention": lambda x: nn.dot_product_attention(*[x.reshape(x.shape[0], 6, 2, 4)] * 3),
}


def test_products() -> None:
    assert_equal_to_jax(each(PRODUCTS, sample((3, 6, 8))), (1, 6, 8))


@st.composite
def products(draw: st.DrawFn) -> tuple[tuple[int, ...], Function]:
    """A product over any axes with a constant of any order of axes."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    summed = draw(st.lists(st.sampled_from(range(1, len(sizes) + 1)), unique=True))
    own = draw(st.lists(st.integers(1, 3), max_size=2))
    order = draw(st.permutations(range(len(summed) + len(own))))
    weights = sample([*(sizes[a - 1] for a in summed), *own]).transpose(order)
    axes = [order.index(i) for i in range(len(summed))]
    return (1, *sizes), lambda x: [
        lax.dot_general(x, weights, ((summed, axes), ((), ()))),
        lax.dot_general(weights, x, ((axes, summed), ((), ()))),
    ]


@settings(max_examples=6)
@given(products())
def test_product_over_axes(case: tuple[tuple[int, ...], Function]) -> None:
    shape, function = case
    assert_equal_to_jax(function, shape)


LAYOUTS = {1: ("NWC WIO NWC", "NCW OIW NCW", "NCW WIO NWC"), 2: ("NHWC HWIO NHWC", "NCHW OIHW NCHW", "HWNC IHWO NCHW")}


@st.composite
def convolutions(draw: st.DrawFn, axes: int) -> tuple[tuple[int, ...], Function]:
    layout = draw(st.sampled_from(LAYOUTS[axes])).split()
    groups, inside, outside = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 2))

    def of_each(low: int, high: int) -> list[int]:
        return [draw(st.integers(low, high)) for _ in range(axes)]

    sizes, taps, spread = of_each(6, 9), of_each(1, 3), of_each(1, 2)
    same = ["SAME", "VALID"] if max(spread) == 1 else []
    pads = draw(st.sampled_from([*same, [(2, 1)] * axes, [(-1, 2)] * axes]))
    reversal = draw(st.booleans()) and max(spread) == 1
    options: dict[str, Any] = {
        "window_strides": of_each(1, 3),
        "padding": pads,
        "lhs_dilation": spread,
        "rhs_dilation": of_each(1, 2),
        "feature_group_count": groups,
    }
    letters = dict(zip("HW"[-axes:], sizes, strict=True)) | {"N": 1, "C": groups * inside}
    kernel = dict(zip("HW"[-axes:], taps, strict=True)) | {"I": inside, "O": groups * outside}
    weights = sample([kernel[letter] for letter in layout[1]])
    first = [letters[letter] for letter in "N" + layout[0].replace("N", "")]

    def function(x: Any) -> Any:
        images = jnp.moveaxis(x, 0, layout[0].index("N"))
        used = lax.rev(weights, [layout[1].index(a) for a in "HW"[-axes:]]) if reversal else weights
        return lax.conv_general_dilated(images, used, dimension_numbers=tuple(layout), **options)

    return tuple(first), function


@pytest.mark.parametrize("axes", LAYOUTS)
@settings(max_examples=5)
@given(st.data())
def test_convolutions(axes: int, data: st.DataObject) -> None:
    shape, function = data.draw(convolutions(axes))
    assert_equal_to_jax(function, shape)


KERNEL, NHWC = sample((3, 3, 4, 6)), ("NHWC", "HWIO", "NHWC")


def pooled(
    start: float, operation: Function, window: tuple[int, ...], strides: tuple[int, ...], **options: Any
) -> Function:
    options = {"padding": "SAME"} | options
    return lambda x: lax.reduce_window(x, start, operation, (1, *window), (1, *strides), **options)


mean_of_9 = pooled(0.0, lax.add, (3, 3, 1), (2, 2, 1))
neighbours = pooled(0.0, lax.add, (1, 1, 3), (1, 1, 1))
WINDOWS: dict[str, Function] = {
    "transposed": lambda x: lax.conv_transpose(x, KERNEL, (2, 2), "SAME"),
    "transposed kernel": lambda x: lax.conv_transpose(x, KERNEL.swapaxes(2, 3), (2, 2), "VALID", transpose_kernel=True),
    "patches": lambda x: lax.conv_general_dilated_patches(x, (3, 3), (2, 2), "SAME", dimension_numbers=NHWC),
    "greatest": pooled(-jnp.inf, lax.max, (3, 3, 1), (2, 2, 1)),
    "least": pooled(jnp.inf, lax.min, (3, 1, 1), (1, 1, 1)),
    "greatest from 0": pooled(0.0, lax.max, (2, 2, 1), (1, 1, 1), padding="VALID"),
    "dilated": pooled(-jnp.inf, lax.max, (3, 2, 1), (1, 1, 1), padding="VALID", window_dilation=(1, 2, 1, 1)),
    "mean": lambda x: mean_of_9(x) / mean_of_9(jnp.ones_like(x)),
    "local response": lambda x: x / (1 + neighbours(x * x)) ** 0.75,
}


def test_windows() -> None:
    assert_equal_to_jax(each(WINDOWS, sample((2, 9, 7, 4))), (1, 9, 7, 4))


HANN = np.hanning(64).astype(np.float32)


def stft(x: Any) -> Any:
    return jnp.fft.rfft(x[:, np.arange(0, 337, 48)[:, None] + np.arange(64)] * HANN)


TRANSFORMS: dict[str, Function] = {
    "magnitude": lambda x: [jnp.abs(stft(x)), jnp.abs(stft(x)) ** 2],
    "power": lambda x: [(stft(x) * jnp.conj(stft(x))).real, stft(x).real ** 2 + stft(x).imag ** 2],
    "phase": lambda x: jnp.cos(jnp.angle(stft(x)[..., 1:-1])),
    "whole": lambda x: [jnp.abs(jnp.fft.fft(x)), jnp.fft.ifft(jnp.fft.fft(x)).real, jnp.abs(jnp.fft.rfft(x, 512))],
    "back": lambda x: [
        jnp.fft.irfft(jnp.fft.rfft(x)),
        jnp.fft.irfft(jnp.fft.rfft(x), 399),
        jnp.fft.irfft(x.astype(complex)),
    ],
    "factors": lambda x: [
        (stft(x) * 2j).imag,
        jnp.abs(stft(x) / (1 + 2j)),
        (stft(x) * np.exp(1j * np.arange(33))).real,
    ],
    "sums": lambda x: [jnp.abs(stft(x) + 1j), jnp.abs(jnp.sum(stft(x), 1)), jnp.abs(jnp.mean(stft(x), 2) - 1)],
    "products": lambda x: [
        jnp.abs(stft(x) @ sample((33, 5))),
        jnp.einsum("btf,bsf->bts", stft(x), jnp.conj(stft(x))).real,
    ],
    "moved": lambda x: [jnp.abs(stft(x)[:, ::2, 1:].swapaxes(1, 2)), jnp.abs(stft(x).reshape(x.shape[0], -1)[:, ::-1])],
    "padded": lambda x: [jnp.abs(jnp.pad(stft(x), ((0, 0), (0, 1), (2, 0)))), jnp.abs(jnp.where(x > 0, x * 1j, 0))],
    "one part known": lambda x: [
        (lax.complex(part, other)[:, 3:9].reshape(x.shape[0], 2, 3).swapaxes(1, 2) * (1 + 2j)).imag
        for part, other in ((x, jnp.zeros_like(x)), (jnp.ones_like(x), x), (x, x * 0 + 2))
    ],
    "joined": lambda x: jnp.abs(jnp.concatenate([x.astype(complex), 1j * x, stft(x)[:, 0]], 1)),
    "scipy": lambda x: jnp.abs(jax.scipy.signal.stft(x, nperseg=64)[2]),
    "cosine": lambda x: jax.scipy.fft.dct(x, norm="ortho"),
}


def test_transforms() -> None:
    """To 3e-5: products with a DFT matrix of 512 add up more than an FFT does."""
    assert_equal_to_jax(each(TRANSFORMS, sample((2, 400))), (1, 400), close=3e-5)
