"""Perch's spectrogram frontends in JAX (chirp/models/frontend.py in google-research/perch), by time:

"complex" (2022): scipy's STFT, in complex numbers, its magnitude in mel bands, PCEN. "simple" (2023 on): frames by
convolution, real and imaginary part of an RFFT apart, PCEN. "log" (Perch v2): as "complex", but the logarithm.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from convert import SAMPLE_RATE
from convert.untrained.bands import FREQUENCIES, MEL_CHANNELS, PCEN, PCEN_TAPS, STRIDE, Pcen

Frontend = Literal["simple", "complex", "log"]
LOG_FLOOR, LOG_SCALE = 1e-2, 0.1


def spectrogram(kind: Frontend, audio: jax.Array) -> jax.Array:
    """`[batch, samples]` to scaled mel bands, `[batch, frames, channels]`, a frame each 320 samples."""
    if kind == "log":
        mel = _complex_magnitude(audio, 640, 1024) @ _mel_matrix(513, 128, 60.0, 16_000.0)
        return LOG_SCALE * jnp.log(jnp.maximum(mel, LOG_FLOOR) + 0.0)
    magnitude = _simple_magnitude(audio, 640, 1024) if kind == "simple" else _complex_magnitude(audio, 2048, 2048)
    return _pcen(magnitude @ _mel_matrix(magnitude.shape[-1], MEL_CHANNELS, *FREQUENCIES), PCEN[kind])


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
    return jnp.abs(jnp.swapaxes(stft[..., :-1], -1, -2)) ** 1.0  # scipy's borders make one frame too many


@partial(jax.jit, static_argnums=(0, 1))
def _mel_matrix(bins: int, channels: int, lowest: float, highest: float) -> jax.Array:
    """Triangles evenly spaced in mel, `[bins, channels]`, computed in the graph (HTK's: the DC bin is left out)."""

    def mel(hertz: jax.typing.ArrayLike) -> jax.Array:
        return 1127.0 * jnp.log1p(hertz / 700.0)

    centres = mel(jnp.linspace(0.0, SAMPLE_RATE / 2, bins)[1:])[:, None]
    edges = jnp.linspace(mel(lowest), mel(highest), channels + 2)
    low, middle, high = edges[None, :-2], edges[None, 1:-1], edges[None, 2:]
    triangles = jnp.maximum(0.0, jnp.minimum((centres - low) / (middle - low), (high - centres) / (high - middle)))
    return jnp.pad(triangles, ((1, 0), (0, 0)))


def _pcen(energy: jax.Array, pcen: Pcen) -> jax.Array:
    """PCEN, its smoother a causal depthwise convolution that takes the first frame for all that came before."""
    history = jnp.concatenate([jnp.repeat(energy[:, 0:1], PCEN_TAPS - 1, axis=1), energy], axis=1)
    keep = 1.0 - pcen.smoothing
    taps = jnp.array([keep**k for k in range(PCEN_TAPS - 1, 0, -1)] + [1.0]) * pcen.smoothing
    taps = taps.at[0].divide(pcen.smoothing)
    channels = energy.shape[-1]
    smooth = lax.conv_general_dilated(
        history,
        jnp.repeat(taps[None, None, :], channels, axis=1),
        (1,),
        "VALID",
        feature_group_count=channels,
        dimension_numbers=("NTC", "IOT", "NTC"),
    )
    root = 1.0 / pcen.root
    return (energy / (1e-6 + smooth) ** pcen.gain + pcen.bias) ** root - pcen.bias**root
