"""Small audio models in JAX, with other frontends, backbones and poolings than Perch has."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn
from numpy.typing import NDArray

Array = Any
RATE, FRAME, HOP, BANDS = 32_000, 640, 320, 24


class Seeded:
    """Random weights, the same for the same seed and order of calls."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> Array:
        scale = 1 / np.sqrt(max(1, np.prod(shape[:-1])))
        return (scale * self._rng.standard_normal(shape)).astype(np.float32)


def mel_matrix(bins: int) -> NDArray[np.float32]:
    """Triangular filters, evenly spaced in mel: `[bins, BANDS]`."""
    mels = np.linspace(1127 * np.log1p(60 / 700), 1127 * np.log1p(16_000 / 700), BANDS + 2)
    edges = 700 * np.expm1(mels / 1127) / (RATE / 2) * (bins - 1)
    at = np.arange(bins)[:, None]
    rising, falling = ((at - a) / (b - a) for a, b in ((edges[:-2], edges[1:-1]), (edges[2:], edges[1:-1])))
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def conv(x: Array, kernel: Array, stride: int = 1, **options: Any) -> Array:
    sizes = "HW"[: x.ndim - 2]
    names = (f"N{sizes}C", f"{sizes}IO", f"N{sizes}C")
    options = {"padding": "SAME", "dimension_numbers": names} | options
    return lax.conv_general_dilated(x, kernel, (stride,) * len(sizes), **options)


def layer_norm(x: Array, axes: tuple[int, ...] = (-1,)) -> Array:
    mean = jnp.mean(x, axes, keepdims=True)
    return (x - mean) * lax.rsqrt(jnp.mean(jnp.square(x - mean), axes, keepdims=True) + 1e-5)


def group_norm(x: Array, groups: int) -> Array:
    grouped = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    return layer_norm(grouped, (1, 2, 4)).reshape(x.shape)


def batch_norm(x: Array, new: Seeded) -> Array:
    mean, variance, scale, offset = new(x.shape[-1]), 1 + new(x.shape[-1]) ** 2, 1 + new(x.shape[-1]), new(x.shape[-1])
    return (x - mean) * (lax.rsqrt(variance + 1e-3) * scale) + offset


def framed_by_gather(audio: Array) -> Array:
    starts = np.arange(0, audio.shape[1] - FRAME + 1, HOP)
    return audio[:, starts[:, None] + np.arange(FRAME)]


def framed_by_convolution(audio: Array) -> Array:
    padded = jax.vmap(lambda window: jnp.pad(window, FRAME // 2, mode="reflect"))(audio)
    return lax.conv_general_dilated_patches(
        padded[..., None], (FRAME,), (HOP,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )


def pcen_by_scan(audio: Array) -> dict[str, Array]:
    """Power spectrum, mel, PCEN smoothed frame by frame; squeeze-and-excite blocks; attention over time."""
    new = Seeded(1)
    spectrum = jnp.fft.rfft(framed_by_gather(audio) * np.hanning(FRAME).astype(np.float32), 1024)
    energy = (spectrum * jnp.conj(spectrum)).real @ mel_matrix(513)

    def step(smooth: Array, frame: Array) -> tuple[Array, Array]:
        smooth = 0.96 * smooth + 0.04 * frame
        return smooth, smooth

    _, smooth = lax.scan(step, energy[:, 0], energy.swapaxes(0, 1))
    pcen = (energy / (1e-6 + smooth.swapaxes(0, 1)) ** 0.8 + 2.0) ** 0.5 - 2.0**0.5
    x = nn.swish(batch_norm(conv(pcen[..., None], new(3, 3, 1, 8), 2), new))
    for stride in (1, 2):
        inside = nn.relu(batch_norm(conv(x, new(1, 1, 8, 16)), new))
        inside = nn.relu(batch_norm(conv(inside, new(3, 3, 1, 16), stride, feature_group_count=16), new))
        gate = nn.sigmoid(nn.relu(jnp.mean(inside, (1, 2)) @ new(16, 4)) @ new(4, 16))
        inside = batch_norm(conv(inside * gate[:, None, None], new(1, 1, 16, 8)), new)
        x = inside + x if stride == 1 else inside
    frames = x.mean(2)
    weights = nn.softmax(jnp.tanh(frames @ new(8, 4)) @ new(4, 1), axis=1)
    embedding = jnp.sum(frames * weights, axis=1)
    return {"embedding": embedding, "frontend": pcen, "label": embedding @ new(8, 10) + new(10)}


def decibels_and_residuals(audio: Array) -> dict[str, Array]:
    """Decibels below the loudest, normalised in each window; residual blocks, max pooling."""
    new = Seeded(2)
    audio = audio - jnp.mean(audio, axis=1, keepdims=True)
    audio = audio * (0.25 / jnp.maximum(jnp.max(jnp.abs(audio), axis=1, keepdims=True), 1e-6))
    spectrum = jnp.fft.rfft(framed_by_convolution(audio) * np.hamming(FRAME).astype(np.float32))
    power = jnp.maximum(1e-10, jnp.square(jnp.abs(spectrum)) @ mel_matrix(FRAME // 2 + 1))
    decibels = 10 * jnp.log10(power) - 10 * jnp.log10(jnp.max(power, axis=(1, 2), keepdims=True))
    decibels = jnp.clip(decibels, -80.0, 0.0)
    x = ((decibels - decibels.mean((1, 2), keepdims=True)) / (decibels.std((1, 2), keepdims=True) + 1e-3))[..., None]
    x = nn.relu(batch_norm(conv(x, new(5, 5, 1, 8), 2), new))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
    for width in (8, 16):
        stride = 1 if width == x.shape[-1] else 2
        inside = nn.leaky_relu(batch_norm(conv(x, new(3, 3, x.shape[-1], width), stride), new))
        inside = batch_norm(conv(inside, new(3, 3, width, width)), new)
        shortcut = x if stride == 1 else jnp.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (4, 4)))
        x = nn.relu(inside + shortcut)
    embedding = jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], axis=-1)
    hidden = nn.gelu(layer_norm(embedding) @ new(32, 16), approximate=False)
    label = hidden @ new(16, 10)
    return {"embedding": embedding, "label": label, "scores": nn.log_softmax(label), "spectrogram": decibels}


def conformer(audio: Array) -> dict[str, Array]:
    """Log-mel with fewer frames; attention with relative positions, gated convolutions, a class token."""
    new = Seeded(3)
    spectrum = jnp.fft.fft(framed_by_gather(audio) * np.hanning(FRAME).astype(np.float32))[..., : FRAME // 2 + 1]
    mel = jnp.log1p(1e3 * jnp.sqrt(spectrum.real**2 + spectrum.imag**2) @ mel_matrix(FRAME // 2 + 1))
    x = nn.gelu(conv(mel, new(5, BANDS, 16), 4))
    token = jnp.broadcast_to(new(1, 1, 16), (x.shape[0], 1, 16))
    x = jnp.concatenate([token, x + new(x.shape[1], 16)], axis=1)
    count = x.shape[1]
    apart = np.clip(np.arange(count)[:, None] - np.arange(count), -8, 8) + 8
    for _ in range(2):
        x = x + 0.5 * nn.swish(layer_norm(x) @ new(16, 32)) @ new(32, 16)
        queries, keys, values = jnp.split((layer_norm(x) @ new(16, 48)).reshape(x.shape[0], count, 4, 12), 3, axis=-1)
        scores = jnp.einsum("bqhd,bkhd->bhqk", queries, keys) / 2 + jnp.take(new(4, 17), apart, axis=1)
        x = x + jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(scores), values).reshape(x.shape[0], count, 16) @ new(16, 16)
        gated = nn.glu(layer_norm(x) @ new(16, 32))
        x = x + nn.silu(layer_norm(conv(gated, new(7, 1, 16), feature_group_count=16))) @ new(16, 16)
    embedding = layer_norm(x)[:, 0]
    label = embedding @ new(16, 10)
    best, places = lax.top_k(label, 3)
    return {"best": best, "embedding": embedding, "label": label, "places": places}


def learned_filters(audio: Array) -> dict[str, Array]:
    """Gabor filters on samples, squared and smoothed; dilated grouped convolutions; a head in bfloat16."""
    new = Seeded(4)
    at = np.arange(-50, 51)[:, None]
    waves = np.exp(-0.5 * (at / 12) ** 2 + 1j * np.pi * at * np.linspace(0.01, 0.9, 8))
    real, imag = (conv(audio[..., None], part.astype(np.float32)[:, None], 2) for part in (waves.real, waves.imag))
    smooth = np.repeat(np.hanning(81).astype(np.float32)[:, None, None], 8, axis=2)
    energy = conv(real**2 + imag**2, smooth, 40, feature_group_count=8)
    x = jnp.cbrt(energy) @ new(8, 16)
    for dilation in (1, 2, 4):
        inside = conv(x, new(3, 4, 32), rhs_dilation=(dilation,), feature_group_count=4, padding=[(2 * dilation, 0)])
        filtered, gate = jnp.split(inside, 2, axis=-1)
        x = x + (jnp.tanh(filtered) * nn.hard_sigmoid(gate)) @ new(16, 16)
    x = group_norm(x[:, None], 4)[:, 0]
    pooled = lax.reduce_window(x, 0.0, lax.add, (1, 4, 1), (1, 4, 1), "VALID") / 4
    embedding = jnp.mean(nn.softplus(pooled) ** 3, axis=1) ** (1 / 3)
    label = (embedding.astype(jnp.bfloat16) @ jnp.asarray(new(16, 10), jnp.bfloat16)).astype(jnp.float32)
    return {"class": jnp.argmax(embedding, -1), "embedding": embedding, "frontend": energy, "label": label}


MODELS = {f.__name__: f for f in (conformer, decibels_and_residuals, learned_filters, pcen_by_scan)}
