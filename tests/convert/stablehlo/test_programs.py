"""Programs made at random, in which one step's broadcasts, orders of axes and known parts meet the next one's.

A size is a number, or, where it is negative, so many times the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from tests.support.jax_modules import Function, assert_equal_to_jax, sample


@dataclass(eq=False)
class Program:
    draw: Callable[[st.SearchStrategy[Any]], Any]
    sizes: list[int]
    steps: list[Function] = field(default_factory=list)

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def number(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def axis(self) -> int:
        """One whose size is a number."""
        return int(self.pick(*(axis for axis, size in enumerate(self.sizes) if size > 0)))

    def constant(self) -> Any:
        """That can be broadcast to the value: its axes are whole or 1 long."""
        return sample([1 if size < 0 or self.pick(True, False) else size for size in self.sizes])

    def __call__(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return [x.real, x.imag] if jnp.iscomplexobj(x) else x


def permuted(p: Program) -> Function:
    order = p.draw(st.permutations(range(len(p.sizes))))
    p.sizes = [p.sizes[axis] for axis in order]
    return lambda x: x.transpose(order)


def broadcast(p: Program) -> Function:
    place, size = p.number(0, len(p.sizes)), p.number(1, 3)
    p.sizes.insert(place, size)
    return lambda x: jnp.repeat(jnp.expand_dims(x, place), size, place) if size > 2 else spread(x, place, size)


def spread(x: Any, place: int, size: int) -> Any:
    return jnp.broadcast_to(jnp.expand_dims(x, place), (*x.shape[:place], size, *x.shape[place:]))


def reduced(p: Program) -> Function:
    axis, keeps = p.axis(), p.pick(True, False)
    p.sizes[axis : axis + 1] = [1] if keeps else []
    return lambda x: jnp.mean(x, axis=axis, keepdims=keeps)


def levelled(p: Program) -> Function:
    axis = p.axis()
    return lambda x: jnp.broadcast_to(jnp.sum(x, axis=axis, keepdims=True), x.shape)


def centred(p: Program) -> Function:
    axis = p.number(0, len(p.sizes) - 1)
    return lambda x: x - jnp.mean(x, axis=axis, keepdims=True)


def cut(p: Program) -> Function:
    axis, stride = p.axis(), p.number(1, 2)
    start = p.number(0, p.sizes[axis] - 1)
    limit = p.number(start + 1, p.sizes[axis])
    p.sizes[axis] = -(-(limit - start) // stride)
    return lambda x: lax.slice_in_dim(x, start, limit, stride, axis)


def padded(p: Program) -> Function:
    axis, low, high, between = p.axis(), p.number(-1, 2), p.number(0, 2), p.number(0, 1)
    size = p.sizes[axis] + (p.sizes[axis] - 1) * between + low + high
    if size < 1:
        return lambda x: x
    p.sizes[axis] = size
    return lambda x: lax.pad(
        x, x.dtype.type(2), [(low, high, between) if a == axis else (0, 0, 0) for a in range(x.ndim)]
    )


def turned(p: Program) -> Function:
    axis = p.axis()
    return lambda x: jnp.flip(x, axis)


def extended(p: Program) -> Function:
    axis, first, kind = p.axis(), p.pick(True, False), p.pick("constant", "zeros", "mean", "part")
    constant = p.constant()
    p.sizes[axis] *= 2

    def step(x: Any) -> Any:
        added = {
            "constant": jnp.broadcast_to(constant, x.shape).astype(x.dtype),
            "zeros": jnp.zeros(x.shape, x.dtype),
            "mean": jnp.broadcast_to(jnp.mean(x, axis=axis, keepdims=True), x.shape),
            "part": jnp.flip(x, axis),
        }[kind]
        return jnp.concatenate([added, x] if first else [x, added], axis)

    return step


def combined(p: Program) -> Function:
    constant, kind = p.constant(), p.pick("add", "multiply", "where")
    if kind == "where":
        return lambda x: jnp.where(constant > 0, x, constant)
    return lambda x: getattr(jnp, kind)(x, constant)


def with_itself(p: Program) -> Function:
    """In two orders of axes at once."""
    axis, other = p.axis(), p.axis()
    if p.sizes[axis] != p.sizes[other]:
        return lambda x: x + jnp.flip(x, axis)
    return lambda x: x * 0.5 + jnp.swapaxes(x, axis, other)


def merged(p: Program) -> Function:
    if len(p.sizes) < 2:
        return lambda x: x
    axis = p.number(0, len(p.sizes) - 2)
    p.sizes[axis : axis + 2] = [p.sizes[axis] * p.sizes[axis + 1]]
    return lambda x: x.reshape(*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :])


def split(p: Program) -> Function:
    axis = p.number(0, len(p.sizes) - 1)
    factor = next((factor for factor in (2, 3) if p.sizes[axis] % factor == 0), 1)
    first = p.pick(True, False)
    left = abs(p.sizes[axis]) // factor * (1 if p.sizes[axis] > 0 else -1)
    p.sizes[axis : axis + 1] = [factor, left] if first else [left, factor]

    def step(x: Any) -> Any:
        left = x.shape[axis] // factor
        return x.reshape(*x.shape[:axis], *([factor, left] if first else [left, factor]), *x.shape[axis + 1 :])

    return step


def taken(p: Program) -> Function:
    axis = p.axis()
    places = np.array(p.draw(st.lists(st.integers(0, p.sizes[axis] - 1), min_size=1, max_size=4)))
    if len(places) == 4:
        places = places.reshape(2, 2)
    p.sizes[axis : axis + 1] = places.shape
    return lambda x: jnp.take(x, places, axis)


def picked(p: Program) -> Function:
    """One element for each row of two axes."""
    axis, other = p.axis(), p.axis()
    if axis == other:
        return lambda x: x
    axis, other = min(axis, other), max(axis, other)
    places = [np.arange(3) % p.sizes[axis], np.arange(3)[::-1] % p.sizes[other]]
    p.sizes = [3, *(size for a, size in enumerate(p.sizes) if a not in (axis, other))]
    return lambda x: jnp.moveaxis(x, (axis, other), (0, 1))[places[0], places[1]]


def multiplied(p: Program) -> Function:
    axis, size, last = p.axis(), p.number(1, 3), p.pick(True, False)
    weights = sample((p.sizes[axis], size))
    p.sizes.pop(axis)
    p.sizes.insert(len(p.sizes) if last else axis, size)

    def step(x: Any) -> Any:
        product = jnp.tensordot(x, weights.astype(x.dtype), axes=([axis], [0]))
        return product if last else jnp.moveaxis(product, -1, axis)

    return step


def replaced(p: Program) -> Function:
    axis = p.axis()
    place = (*[slice(None)] * axis, p.number(0, p.sizes[axis] - 1))
    return p.pick(lambda x: x.at[place].set(3.0), lambda x: x if jnp.iscomplexobj(x) else x.at[place].add(x[place] + 1))


STEPS = (
    broadcast, centred, combined, cut, extended, levelled, merged, multiplied, padded, permuted, picked, reduced,
    replaced, split, taken, turned, with_itself,
)  # fmt: skip
COMPLEX: tuple[Function, ...] = (
    lambda x: x.astype(complex),
    lambda x: lax.complex(jnp.ones_like(x), x),
    lambda x: lax.complex(x, jnp.flip(x, -1)),
    lambda x: x * jnp.exp(1j * jnp.arange(x.shape[-1])),
)


@st.composite
def programs(draw: st.DrawFn) -> tuple[tuple[int, ...], Program]:
    shape = (1, *draw(st.lists(st.integers(1, 6), min_size=2, max_size=3)))
    program = Program(draw, [-1, *shape[1:]])
    if draw(st.booleans()):
        program.steps.append(draw(st.sampled_from(COMPLEX)))
    for _ in range(draw(st.integers(3, 9))):
        if len(program.sizes) < 5 and abs(np.prod(program.sizes)) < 2000 and any(size > 0 for size in program.sizes):
            program.steps.append(draw(st.sampled_from(STEPS))(program))
    return shape, program


@settings(max_examples=15)
@given(programs())
def test_program(case: tuple[tuple[int, ...], Program]) -> None:
    shape, program = case
    assert_equal_to_jax(program, shape, floor=10)
