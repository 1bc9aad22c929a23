"""Perch's spectrogram frontends in JAX (chirp/models/frontend.py in google-research/perch)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from convert import SAMPLE_RATE
from convert.untrained.recipe import LOG_FLOOR, LOG_SCALE, PCEN, PCEN_TAPS, STRIDE, Pcen, Recipe, Smoothing, taps

LOG_OFFSET = 0.0  # no effect, but Google's code adds it and the exporter keeps it


def spectrogram(recipe: Recipe, audio: jax.Array) -> jax.Array:
    """`[batch, samples]` to scaled mel bands, `[batch, frames, channels]`, a frame each 320 samples."""
    if recipe.frontend == "simple":
        magnitude = _simple_magnitude(audio, 640, 1024)
    else:
        magnitude = _complex_magnitude(audio, *((640, 1024) if recipe.is_v2 else (2048, 2048)))
    energy = magnitude @ _mel_matrix(magnitude.shape[-1], *recipe.mel)
    if recipe.is_v2:
        return LOG_SCALE * jnp.log(jnp.maximum(energy, LOG_FLOOR) + LOG_OFFSET)
    return _pcen(energy, PCEN[recipe.frontend], recipe.smoothing)


def _simple_magnitude(audio: jax.Array, kernel: int, nfft: int) -> jax.Array:
    column = jnp.reshape(audio, (-1, audio.shape[-1], 1))
    framed = lax.conv_general_dilated_patches(
        column, (kernel,), (STRIDE,), "SAME", dimension_numbers=("NTC", "OIT", "NTC")
    )
    window = jnp.hanning(kernel)
    window *= 1.0 / window.sum()
    stft = jnp.fft.rfft(window[None, None, :] * framed, n=nfft, axis=-1)
    return jnp.sqrt(stft.real**2 + stft.imag**2)


def _complex_magnitude(audio: jax.Array, kernel: int, nfft: int) -> jax.Array:
    _, _, stft = jax.scipy.signal.stft(audio, nperseg=kernel, noverlap=kernel - STRIDE, nfft=nfft, padded=False)
    return jnp.abs(jnp.swapaxes(stft[..., :-1], -1, -2)) ** 1.0  # SciPy's borders give one frame too many


def _triangles(bins: int, channels: int, lowest: float, highest: float) -> jax.Array:
    """Triangles evenly spaced in mel, `[bins, channels]`, computed in the graph (HTK's: the DC bin is left out)."""

    def mel(hertz: jax.typing.ArrayLike) -> jax.Array:
        return 1127.0 * jnp.log1p(hertz / 700.0)

    centres = mel(jnp.linspace(0.0, SAMPLE_RATE / 2, bins)[1:])[:, None]
    edges = jnp.linspace(mel(lowest), mel(highest), channels + 2)
    low, middle, high = edges[None, :-2], edges[None, 1:-1], edges[None, 2:]
    triangles = jnp.maximum(0.0, jnp.minimum((centres - low) / (middle - low), (high - centres) / (high - middle)))
    return jnp.pad(triangles, ((1, 0), (0, 0)))


_mel_matrix = jax.jit(_triangles, static_argnums=(0, 1))


def _pcen(energy: jax.Array, pcen: Pcen, smoothing: Smoothing) -> jax.Array:
    """PCEN, smoothed by a depthwise convolution, as if all earlier frames were equal to the first."""
    first = lax.slice_in_dim(energy, 0, 1, axis=1)
    history = jnp.concatenate([jnp.repeat(first, PCEN_TAPS - 1, axis=1), energy], axis=1)
    channels = energy.shape[-1]
    smooth = lax.conv_general_dilated(
        history,
        jnp.repeat(jnp.array(taps(pcen, smoothing))[None, None, :], channels, axis=1),
        (1,),
        "VALID",
        feature_group_count=channels,
        dimension_numbers=("NTC", "IOT", "NTC"),
    )
    root = 1.0 / pcen.root
    return (energy / (1e-6 + smooth) ** pcen.gain + pcen.bias) ** root - pcen.bias**root
