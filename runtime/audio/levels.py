"""What is odd about the sound of a recording: channels that are dead or cancel each other, floats of another scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_RATIO = 16.0
"""Power of one channel over that of another (12 dB) from which they do not hear the same place."""
LEAST_MEAN = 0.1
"""Power of the mean of all channels over what it has if they are unrelated, below which they cancel each other."""
MOST_PEAK = 16.0
"""Floats beyond this (24 dB over full scale) are no amplitudes of ±1."""
SCALES, SLACK = (15, 23, 31), 1.25
"""Powers of two that programs forget to divide by, for samples of 16, 24 and 32 bits; resampling overshoots."""
FRAMES = 1024
"""How many frames of each block channels are compared in."""
MAINS, HUM_S, HUM_BLOCKS = (50, 60), 0.06, 16
"""Frequencies of hum in Hz, and how many seconds of every how many blocks it is looked for in."""


class Levels:
    """Adds up what the channels of a stream hold, block by block.

    Whether channels cancel is told from differences from sample to sample: birds more than wind, and no offsets.
    """

    def __init__(self, channels: int, floats: bool, rate: int) -> None:
        self._floats, self._rate = floats, rate
        self._blocks = 0
        self._hum = np.zeros((len(MAINS), 3, channels))  # power, and what a period and a quarter of it change
        self._count = 0
        self._peak = 0.0
        self._sum = np.zeros(channels)
        self._products, self._step_products = np.zeros((2, channels, channels))
        self._first: NDArray[np.float32] | None = None
        self._still = list(range(channels))  # those that held one value so far

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        """Takes a block, `float32 [frames, channels]`, and the mean of its channels, which is finite."""
        first = self._first = block[0].copy() if self._first is None else self._first
        self._still = [channel for channel in self._still if (block[:, channel] == first[channel]).all()]
        if self._floats:
            self._peak = max(self._peak, float(mono.max()), -float(mono.min()))
        if len(self._sum) > 1:
            head = block[:FRAMES]
            self._count += len(head)
            with np.errstate(invalid="ignore", over="ignore"):  # then nothing is said of channels
                self._sum += np.ones(len(head), np.float32) @ head
                self._products += head.T @ head
                steps = head[1:] - head[:-1]
                self._step_products += steps.T @ steps
                if self._blocks % HUM_BLOCKS == 0:
                    self._add_hum(block[: round(HUM_S * self._rate)])
            self._blocks += 1

    def _add_hum(self, head: NDArray[np.float32]) -> None:
        head = head - np.full(len(head), 1 / len(head), np.float32) @ head
        for hum, hertz in zip(self._hum, MAINS):
            period = round(self._rate / hertz)
            if len(head) > period:
                shifted = (head[shift:] - head[:-shift] for shift in (period, max(1, period // 4)))
                hum += [np.einsum("ij,ij->j", each, each) / len(each) for each in (head, *shifted)]

    def notes(self, whole: bool) -> list[str]:
        """What a user should know, each a phrase that follows the recording's name.

        Without figures, so that parts of a recording say the same. `whole` is whether all of it was read.
        """
        channels = len(self._sum)
        if self._first is None:
            return []
        if len(self._still) == channels:
            return [f"is silent {'from beginning to end' if whole else 'for minutes on end'}: it holds one value alone"]
        notes = []
        if self._still:
            silent = ", ".join(str(channel + 1) for channel in self._still)
            notes.append(f"is silent in channel {silent} of {channels}; the mean of all is scored")
        alive = np.delete(np.arange(channels), self._still)
        if len(alive) > 1:
            notes += self._compared(alive)
        if self._peak > MOST_PEAK:
            power = next((power for power in SCALES if self._peak <= SLACK * 2**power), SCALES[-1])
            notes.append(f"holds floats up to about {2**power:,} (2^{power}) where ±1 is expected; scored as they are")
        return notes

    def _compared(self, alive: NDArray[np.int64]) -> list[str]:
        """What is odd about channels that are not silent."""
        notes = []
        power = (self._products.diagonal() / self._count - np.square(self._sum / self._count))[alive]
        quiet, loud = alive[power.argmin()] + 1, alive[power.argmax()] + 1
        if 0 < len(humming := [channel for channel in alive if self._hums(channel)]) < len(alive):
            there = ", ".join(str(channel + 1) for channel in humming)
            notes.append(f"is full of hum in channel {there} of {len(self._sum)}; the mean of all is scored")
        elif power.max() > MOST_RATIO * power.min():
            notes.append(
                f"is far quieter in channel {quiet} than in channel {loud}: one may be dead, or the other full of hum; "
                "the mean of all is scored"
            )
        if self._step_products.sum() < LEAST_MEAN * self._step_products.trace():
            notes.append("has channels in opposite phase, which cancel in the mean of all that is scored")
        return notes

    def _hums(self, channel: int) -> bool:
        """Whether a channel repeats itself with the period of the mains, and is low: no rumble, and no cricket."""
        low = (2 * np.pi * 1000 / self._rate) ** 2  # what a tone of 1 kHz changes from sample to sample
        if self._step_products[channel, channel] > low * self._products[channel, channel]:
            return False
        return any(
            change < 0.2 * power and quarter > 0.5 * power for power, change, quarter in self._hum[:, :, channel]
        )
