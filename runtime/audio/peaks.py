"""The loudest events of a recording, and the windows around them.

After Perch's own detector for focal recordings (`find_peaks_from_audio` in google-research/perch): a log-mel
spectrogram, in each band only what stands out from the band's noise, summed over the bands; peaks of that sum.
It differs in these points:

- A value stands out when it is 3 standard deviations above its band's noise, not 0.75: short pure tones would be lost
  among so much noise. The noise is what lies about the band's median, so that a sound may take 40% of the time.
- Peaks are those of Ricker wavelets of four widths over the sum's logarithm, each frame with the one that fits best,
  not ridges through ten widths over the sum: so the middle of an event is found, not the moment of most bands.
- A peak counts if it is `LEAST_STRENGTH` above what surrounds it; Perch compares it with 1.5 times the sum's mean.
- Events are ordered by the sum over their length; Perch takes the peak's one frame.
- Bands are compared with themselves over 5 to 10 minutes, not over a recording of any length, without its silence.
- Frames do not reach over the recording's ends, where a sudden start would look like a sound.
- An event that a louder one's window holds already gets none of its own; Perch drops equal windows alone.
- A recording shorter than a window is followed by zeros, as everywhere here, and not repeated.

Of steady noise, white or pink, fewer than one event in 100 minutes is found (there was one in 28 hours, measured on
recordings of 2 s to 10 minutes); gusts, knocks and the holes that MP3 leaves at the lowest bit rates are events.
Chirps of 0.2 to 2 s whose mean power is that of the noise or above are found, and their middle within 0.25 s. What
stays under `FLOOR` in its band, some 90 dB below full scale for a tone, is silence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAME_S, RATE_HZ = 0.08, 100
"""Length of a frame, and frames a second."""
BANDS, LOWEST_HZ, HIGHEST_HZ = 160, 60.0, 10_000.0
FLOOR, SCALE = 1e-2, 0.1
LOUDEST = 1e6
"""Samples are clipped to this: those of damaged files would have no finite spectrum."""
STANDING_OUT, FIRST = 3.0, 1.5
"""Standard deviations above its band's noise from which a value belongs to an event; and those above which it does not
count as noise when the deviation is measured."""
ONE_BAND = 0.1
"""About what one band adds to the sum; its logarithm is taken in this unit, above 1."""
WIDTHS = (12, 25, 50, 100)
"""Half of the wavelets' central lobes, in frames: they fit events of about 0.25, 0.5, 1 and 2 s."""
REACH = 5 * WIDTHS[-1]
LEAST_STRENGTH = 2.5
"""Least fit of a wavelet; a minute of noise rarely exceeds 1.4."""
STRETCH = 300 * RATE_HZ
"""Bands are compared with themselves over this many frames, or up to twice as many at a recording's end."""
BANDS_AT_ONCE = 16
PIECE = 2**16


class PeakFinder:
    """Finds the loudest events of a recording, block by block; it holds no more than 10 minutes.

    Args:
        sample_rate: of the blocks, in Hz.
        window: samples of the windows to be placed.
    """

    def __init__(self, sample_rate: int, window: int) -> None:
        self.step = peak_hop(sample_rate)
        """Samples from one frame's start to the next; windows start at multiples of it."""
        self._frame = round(FRAME_S * sample_rate)
        self._window = window
        self._taper = np.hanning(self._frame + 1)[:-1].astype(np.float32)
        self._mel = _mel_matrix(self._frame, sample_rate)
        self._samples = 0
        self._rest = np.zeros(0, np.float32)  # what the next frame starts with
        self._log_mel: list[NDArray[np.float32]] = []  # frames not yet summed up
        self._frames = 0
        self._activity: list[NDArray[np.float32]] = []

    def add(self, samples: NDArray[np.float32]) -> None:
        """Adds the next samples, about ±1, finite."""
        self._samples += len(samples)
        joined = np.concatenate([self._rest, np.clip(samples, -LOUDEST, LOUDEST)])
        count = max(0, (len(joined) - self._frame) // self.step + 1)
        self._rest = joined[count * self.step :]
        if count:
            frames = np.lib.stride_tricks.sliding_window_view(joined, self._frame)[:: self.step]
            spectrum = np.abs(np.fft.rfft(frames * self._taper)[:, : len(self._mel)]).astype(np.float32)
            self._log_mel.append(SCALE * np.log(np.maximum(spectrum @ self._mel, FLOOR)))
            self._frames += count
        if self._frames >= 2 * STRETCH:
            self._sum_up(STRETCH)

    def starts(self, most: int) -> list[int]:
        """Where windows start, in order and in units of `step`: each centred on an event, and shifted into the file.

        The loudest events come first, up to `most`; one inside the window of a louder one is passed over.
        """
        self._sum_up(self._frames)
        places, loudness = find_events(np.concatenate([np.zeros(0, np.float32), *self._activity]))
        centres = places + self._frame // 2 // self.step
        length = self._window // self.step
        first = np.clip(centres - length // 2, 0, max(0, (self._samples - self._window) // self.step))
        taken: list[int] = []
        covered = np.zeros(len(centres), bool)
        for event in np.argsort(-loudness, kind="stable"):
            if len(taken) == most:
                break
            if not covered[event]:
                start = int(first[event])
                taken.append(start)
                covered |= (centres >= start) & (centres <= start + length)
        return sorted(taken)

    def _sum_up(self, count: int) -> None:
        """Reduces the first `count` buffered frames to one number each."""
        if count:
            log_mel = np.concatenate(self._log_mel)
            self._activity.append(denoised_sum(log_mel[:count]))
            self._log_mel, self._frames = [log_mel[count:]], len(log_mel) - count


def peak_hop(sample_rate: int) -> int:
    """The step in samples at whose multiples windows around events start: 0.01 s."""
    return round(sample_rate / RATE_HZ)


def denoised_sum(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """The part of each band that stands out from its noise, summed over bands: `[frames, bands]` to `[frames]`.

    Frames that are at the floor in all bands, such as a recorder's zeros, count as the usual noise.
    """
    audible = (mel > SCALE * np.log(np.float32(FLOOR))).any(axis=1)
    total = np.zeros(int(audible.sum()), np.float32)
    if not len(total):
        return np.zeros(len(mel), np.float32)
    for band in range(0, mel.shape[1], BANDS_AT_ONCE):
        above = np.ascontiguousarray(mel[audible, band : band + BANDS_AT_ONCE].T)
        above -= np.median(above, axis=1, keepdims=True)
        noise = above <= FIRST * _spread(above, above <= 0)
        above -= (above * noise).sum(axis=1, keepdims=True) / noise.sum(axis=1, keepdims=True)
        total += np.where(above > STANDING_OUT * _spread(above, noise), above, 0).sum(axis=0)
    activity = np.full(len(mel), np.median(total), np.float32)
    activity[audible] = total
    return activity


def find_events(activity: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The frames at the middle of each event, in order, and how loud the events are."""
    kernels = [_ricker(width) for width in WIDTHS]
    places, loudness = [np.zeros(0, np.int64)], [np.zeros(0)]
    margin = REACH + 1
    padded = np.pad(activity, margin, mode="symmetric") if len(activity) else activity
    for start in range(0, len(activity), PIECE):
        piece = padded[start : start + PIECE + 2 * margin].astype(np.float64)
        logarithm = np.log1p(piece / ONE_BAND)
        fits = np.stack([np.convolve(logarithm, kernel, "valid") for kernel in kernels])
        strength = fits.max(axis=0)
        middle = strength[1:-1]
        peaks = np.flatnonzero((middle >= LEAST_STRENGTH) & (middle > strength[:-2]) & (middle >= strength[2:]))
        widths = np.array(WIDTHS)[fits[:, peaks + 1].argmax(axis=0)]
        until = np.concatenate([[0.0], np.cumsum(piece)])
        places.append(start + peaks)
        loudness.append(until[peaks + margin + widths] - until[peaks + margin - widths])
    return np.concatenate(places), np.concatenate(loudness)


def _spread(above: NDArray[np.float32], noise: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The root of the mean square of each row's noise, `[rows, 1]`."""
    return np.sqrt((np.square(above) * noise).sum(axis=1, keepdims=True) / noise.sum(axis=1, keepdims=True))


def _ricker(width: int) -> NDArray[np.float64]:
    """The negative second derivative of a bell curve, `[2 * REACH + 1]`, of sum 0 and norm 1."""
    at = np.arange(-REACH, REACH + 1) / width
    wavelet = (1 - at**2) * np.exp(-(at**2) / 2)
    wavelet -= wavelet.mean()
    return np.asarray(wavelet / np.linalg.norm(wavelet))


def _mel_matrix(frame: int, sample_rate: int) -> NDArray[np.float32]:
    """Triangles of height 1, evenly spaced in mel, over a spectrum's bins up to the highest band: `[bins, bands]`."""
    hertz = np.fft.rfftfreq(frame, 1 / sample_rate)
    hertz = hertz[hertz <= HIGHEST_HZ]
    lowest, highest, *mels = np.log1p(np.array([LOWEST_HZ, HIGHEST_HZ, *hertz]) / 700)
    edges, at = np.linspace(lowest, highest, BANDS + 2), np.array(mels)[:, None]
    rising, falling = ((at - a) / (b - a) for a, b in ((edges[:-2], edges[1:-1]), (edges[2:], edges[1:-1])))
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
