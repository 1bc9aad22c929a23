"""What is wrong with the sound of a recording: channels that are dead or cancel each other, samples far beyond ±1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.audio.channels import Channel

MOST_RATIO = 16.0
"""Ratio of two channels' powers (12 dB) above which they cannot have recorded the same place."""
LEAST_MEAN = 0.1
"""Power of the mean of all channels, over that of unrelated channels, below which they cancel each other."""
MOST_PEAK = 16.0
"""Peak (24 dB over full scale) beyond which floats are not scaled to ±1."""
SCALES, SLACK = (15, 23, 31), 1.25
"""Powers of two that programs forget to divide samples of 16, 24 and 32 bits by, and how far resampling overshoots."""
FRAMES = 1024
"""Channels are compared in this many frames of each block."""
MAINS, HUM_S, HUM_BLOCKS = (50, 60), 0.06, 16
"""Frequencies of mains hum in Hz; it is looked for in the first 0.06 s of every 16th block."""
SCORED = "the mean of all is scored, unless --channel (channel=…) names one"


class Levels:
    """Statistics of a stream's channels, added up block by block.

    Whether channels cancel is judged by differences of successive samples, in which birds outweigh wind, and offsets
    vanish. It matters where the mean of all is scored; of a single `channel` only whether it is silent.
    """

    def __init__(self, channels: int, floats: bool, rate: int, channel: Channel = "mix") -> None:
        self._floats, self._rate, self._channel = floats, rate, channel
        self._blocks = 0
        self._hum = np.zeros(
            (len(MAINS), 3, channels)
        )  # power of the sound; of its changes over a period and over a quarter of one
        self._count = 0
        self._peak = 0.0
        self._sum = np.zeros(channels)
        self._products, self._step_products = np.zeros((2, channels, channels))
        self._first: NDArray[np.float32] | None = None
        self._still = list(range(channels))  # channels that held a single value so far

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        """Adds a block, `float32 [frames, channels]`, and what is scored of it, which is finite."""
        first = self._first = block[0].copy() if self._first is None else self._first
        self._still = [channel for channel in self._still if (block[:, channel] == first[channel]).all()]
        if self._floats:
            self._peak = max(self._peak, float(mono.max()), -float(mono.min()))
        if len(self._sum) > 1 and self._channel == "mix":
            head = block[:FRAMES]
            self._count += len(head)
            with np.errstate(invalid="ignore", over="ignore"):  # then no note concerns channels
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

    def notes(self, complete: bool) -> list[str]:
        """What a user should know, each a phrase that follows the recording's name.

        Notes hold no figures, so that all parts of a recording give the same. `complete` is whether all of it was read.
        """
        channels = len(self._sum)
        if self._first is None:
            return []
        if len(self._still) == channels:
            return [f"is silent {'from beginning to end' if complete else 'for minutes on end'}: all samples are equal"]
        notes = self._compared() if self._channel == "mix" else []
        if self._channel in [channel + 1 for channel in self._still]:
            notes.append(f"is silent in channel {self._channel} of {channels}, which is scored")
        if self._peak > MOST_PEAK:
            power = next((power for power in SCALES if self._peak <= SLACK * 2**power), SCALES[-1])
            notes.append(f"holds floats up to about {2**power:,} (2^{power}) where ±1 is expected; scored as they are")
        return notes

    def _compared(self) -> list[str]:
        """What is wrong with channels whose mean is scored."""
        notes, channels = [], len(self._sum)
        if self._still:
            silent = ", ".join(str(channel + 1) for channel in self._still)
            notes.append(f"is silent in channel {silent} of {channels}; {SCORED}")
        alive: NDArray[np.int64] = np.delete(np.arange(channels), self._still)
        if len(alive) < 2:
            return notes
        power = (self._products.diagonal() / self._count - np.square(self._sum / self._count))[alive]
        quiet, loud = alive[power.argmin()] + 1, alive[power.argmax()] + 1
        if 0 < len(humming := [channel for channel in alive if self._hums(channel)]) < len(alive):
            there = ", ".join(str(channel + 1) for channel in humming)
            notes.append(f"has loud hum in channel {there} of {channels}; {SCORED}")
        elif power.max() > MOST_RATIO * power.min():
            notes.append(
                f"is far quieter in channel {quiet} than in channel {loud}: one may be dead, or the other "
                f"have loud hum; {SCORED}"
            )
        if self._step_products.sum() < LEAST_MEAN * self._step_products.trace():
            notes.append(f"has channels in opposite phase, which cancel each other; {SCORED}")
        return notes

    def _hums(self, channel: int) -> bool:
        """Whether a channel repeats with the mains' period, as rumble does not, and is low, as crickets are not."""
        low = (2 * np.pi * 1000 / self._rate) ** 2  # of a tone of 1 kHz
        if self._step_products[channel, channel] > low * self._products[channel, channel]:
            return False
        return any(
            change < 0.2 * power and quarter > 0.5 * power for power, change, quarter in self._hum[:, :, channel]
        )
