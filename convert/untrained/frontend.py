"""Perch's spectrogram frontends as plain TensorFlow ops: mel bands of an STFT's magnitude, then PCEN.

There are two generations, which compute the magnitude differently (chirp/models/frontend.py in google-research/perch):
"simple" (since 2023) takes Real and Imag of an RFFT; "complex" (2022) first scales, slices and transposes complex
values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from convert import SAMPLE_RATE
from convert.untrained.ops import broadcast, sizes
from convert.untrained.recipe import PCEN, PCEN_TAPS, STRIDE, Frontend, Mel, Pcen, Smoothing, taps


def spectrogram(kind: Frontend, mel: Mel, audio: tf.Tensor, smoothing: Smoothing = "causal") -> tf.Tensor:
    """`[batch, samples]` to PCEN-scaled mel bands, `[batch, frames, channels]`, a frame each 320 samples."""
    magnitude = _simple_magnitude(audio, 640, 1024) if kind == "simple" else _complex_magnitude(audio, 2048)
    energy = tf.einsum("btf,fm->btm", magnitude, _mel_matrix(int(magnitude.shape[-1]), mel))
    return _pcen(energy, PCEN[kind], smoothing)


def _simple_magnitude(audio: tf.Tensor, kernel: int, nfft: int) -> tf.Tensor:
    turns = 2 * np.pi * tf.range(kernel, dtype=tf.float32) / (kernel - 1)
    window = 0.5 - 0.5 * tf.cos(turns)  # numpy.hanning: symmetric
    window = window * (1.0 / tf.reduce_sum(window))
    framed = _frames(audio, kernel, "SAME")
    windowed = broadcast(window, sizes(framed)) * framed
    stft = tf.ensure_shape(tf.signal.rfft(windowed, [nfft]), [audio.shape[0], framed.shape[1], nfft // 2 + 1])
    real, imag = tf.math.real(stft), tf.math.imag(stft)
    return tf.sqrt(real * real + imag * imag)


def _complex_magnitude(audio: tf.Tensor, kernel: int) -> tf.Tensor:
    """scipy.signal.stft: zero borders of half a kernel, a periodic Hann window, a complex scale, one frame too many."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(kernel) / kernel)).astype(np.float32)
    half = [kernel // 2, kernel // 2]
    padded = tf.raw_ops.PadV2(input=audio, paddings=[[0, 0], half], constant_values=0.0)
    framed = _frames(padded, kernel, "VALID")
    windowed = tf.constant(window[None, None]) * framed
    stft = tf.ensure_shape(tf.signal.rfft(windowed, [kernel]), [audio.shape[0], framed.shape[1], kernel // 2 + 1])
    stft = stft * broadcast(tf.constant(1 / window.sum(), tf.complex64), sizes(stft))
    stft = tf.transpose(stft, [0, 2, 1])[..., :-1]
    return tf.abs(tf.transpose(stft, [0, 2, 1]))


def _frames(audio: tf.Tensor, kernel: int, padding: str) -> tf.Tensor:
    """Overlapping frames `[batch, frames, kernel]` by convolution with an identity kernel."""
    column = tf.reshape(audio, tf.stack([sizes(audio)[0], audio.shape[1], 1, 1]))
    identity = tf.constant(np.eye(kernel, dtype=np.float32).reshape(kernel, 1, 1, kernel))
    framed = tf.nn.conv2d(column, identity, [1, STRIDE, 1, 1], padding)
    return tf.reshape(framed, tf.stack([sizes(framed)[0], framed.shape[1], kernel]))


def _mel_matrix(bins: int, bands: Mel) -> tf.Tensor:
    """Triangles evenly spaced in mel, `[bins, channels]`, computed in the graph (HTK's mel; the DC bin is left out)."""

    def mel(hertz: Any) -> tf.Tensor:
        return 1127.0 * tf.math.log1p(tf.realdiv(tf.cast(hertz, tf.float32), 700.0))

    centres = mel(tf.range(1, bins) * tf.constant(1) / (bins - 1) * (SAMPLE_RATE / 2))[:, None]
    low, high = mel(bands.lowest), mel(bands.highest)
    steps = tf.range(bands.channels + 2, dtype=tf.float32) / (bands.channels + 1)
    edges = (low + (high - low) * steps)[None]
    rising = (centres - edges[:, :-2]) / (edges[:, 1:-1] - edges[:, :-2])
    falling = (edges[:, 2:] - centres) / (edges[:, 2:] - edges[:, 1:-1])
    triangles = tf.maximum(0.0, tf.minimum(rising, falling))
    return tf.raw_ops.PadV2(input=triangles, paddings=[[1, 0], [0, 0]], constant_values=0.0)


def _pcen(energy: tf.Tensor, pcen: Pcen, smoothing: Smoothing) -> tf.Tensor:
    """PCEN, smoothed by a depthwise convolution, as if all earlier frames were equal to the first."""
    batch, _, channels = sizes(energy)
    first = tf.broadcast_to(energy[:, 0:1], tf.stack([batch, PCEN_TAPS - 1, channels]))
    history = tf.concat([first, energy], axis=1)
    weights = np.array(taps(pcen, smoothing))[:, None, None, None]
    kernel = tf.constant(np.repeat(weights, channels, axis=2).astype(np.float32))
    column = tf.reshape(history, tf.stack([batch, history.shape[1], 1, channels]))
    smooth = tf.nn.depthwise_conv2d(column, kernel, [1, 1, 1, 1], "VALID")
    smooth = tf.reshape(smooth, tf.stack([batch, energy.shape[1], channels]))
    scaled = tf.realdiv(energy, tf.pow(1e-6 + smooth, pcen.gain))
    return tf.pow(scaled + pcen.bias, 1.0 / pcen.root) - pcen.bias ** (1.0 / pcen.root)
