"""Which channel of a recording is scored, and what the rows of a channel are called."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.errors import RecordingError, counted

OF_CHANNEL = re.compile(r"_ch(\d+)_[^_]*$")
Channel = int | Literal["mix", "loudest"]
"""The mean of all channels, the one that is loudest in each window, or a channel counted from 1."""


def chosen(block: NDArray[np.float32], channel: Channel) -> NDArray[np.float32]:
    """The channel of a block `[frames, channels]`: `[frames]`; for "loudest" all of them, if there are several.

    The mean of two channels has the same bits as `mean`, in a tenth of the time.
    """
    if block.shape[1] == 1:
        return block[:, 0]
    if channel == "loudest":
        return block
    if channel != "mix":
        return np.ascontiguousarray(block[:, channel - 1])
    return np.asarray((block[:, 0] + block[:, 1]) / 2 if block.shape[1] == 2 else block.mean(axis=1), np.float32)


def loudest(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of a window `[samples, channels]` the channel whose samples change most: sum((x_i - x_(i-1))^2) is greatest.

    Steps from sample to sample, since birds outweigh wind and hum in them, and offsets vanish. Of equals the first.
    """
    steps = np.diff(window, axis=0).astype(np.float64)
    return np.ascontiguousarray(window[:, np.einsum("ij,ij->j", steps, steps).argmax()])


def channel_name(recording: str, channel: int | None) -> str:
    """What the rows of a recording are called, or those of one of its channels."""
    return recording if channel is None else f"{recording}_ch{channel}"


def channel_of(row_id: str) -> int:
    """The channel of a row that is named after one. Raises ValueError if it is not."""
    match = OF_CHANNEL.search(row_id)
    if match is None:
        raise ValueError(f"{row_id} names no channel")
    return int(match[1])


def check_channel(channels: int, channel: Channel) -> None:
    """Raises RecordingError if a recording lacks the channel that is to be scored."""
    if isinstance(channel, int) and channel > channels:
        raise RecordingError(f"has {counted(channels, 'channel')}, and channel {channel} was asked for")
