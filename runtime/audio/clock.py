"""When a recording began: by what its recorder wrote into the file, or by the file's name.

A time is a `datetime`, the recorder's own clock; with its offset from UTC if that is known, else without one.
"""

from __future__ import annotations

import contextlib
import functools
import re
import struct
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone, tzinfo

import numpy as np
from numpy.typing import NDArray

YEARS = range(1970, 2100)
AUDIOMOTH = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4})(?: \((UTC)([+-]\d{1,2})?(?::(\d\d))?\))?"
)
WAMD_START = 5
"""The field of Wildlife Acoustics' metadata that holds the time."""
MINUTE, MOST_OFFSET = timedelta(minutes=1), timedelta(hours=14)
IN_USE = frozenset((*range(-720, 841, 60), -570, -270, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765, 825))
"""Offsets from UTC that clocks show somewhere, or did in recent decades, in minutes."""
OFFSET = r"(?P<offset>(?:Z|[+-]\d\d:\d\d|\+\d{4}|-\d{4}(?![_-]\d))(?![^\W_]))?"
"""Letters and digits directly behind it make it something else; so does a number behind -0600, as in -0600_0700."""
NAMES = (
    re.compile(r"(?<!\d)(\d{4})(\d\d)(\d\d)[_T$-](\d\d)(\d\d)(\d\d)(?!\d)" + OFFSET),
    re.compile(r"(?<!\d)(\d{4})-(\d\d)-(\d\d)[_T -](\d\d)[-_.:](\d\d)[-_.:](\d\d)(?!\d)" + OFFSET),
)
"""`20240512_053000`, `20240512T053000+1000`, `2024-05-12_05-30-00`, with anything before and after."""


def time_in_chunks(chunks: Mapping[bytes, bytes]) -> datetime | None:
    """The time in the chunks of a WAV, by their names: from GUANO, AudioMoth's comment, or Wildlife Acoustics' own
    metadata, whichever is first there; None if there is none."""
    times = (_of_guano(chunks), _of_audiomoth(chunks), _of_wamd(chunks))
    return next((time for time in times if time is not None), None)


def time_in_name(stem: str) -> datetime | None:
    """The first time in a file's name, by the patterns of `NAMES`; None if there is none."""
    for pattern in NAMES:
        for match in pattern.finditer(stem):
            numbers, offset = match.groups()[:6], match["offset"]
            if (time := _made(*map(int, numbers), zone=_in_use(offset) if offset else None)) is not None:
                return time
    return None


def began(written: datetime | None, stem: str, zone: str | None) -> datetime | None:
    """When a recording began: the time `written` in its file, else the one in its name; None if neither is there.

    A time without an offset gets that of `zone` at this time, if a zone is given, and if ISO 8601 can write it: it has
    no seconds, as Liberia's had before 1972. A recorder's clock does not jump when summer time begins or ends, so the
    offset holds for all of the recording.
    """
    time = written or time_in_name(stem)
    if time is None or time.tzinfo is not None or zone is None:
        return time
    offset = time.replace(tzinfo=zone_of(zone)).utcoffset() or timedelta()
    return time if offset % MINUTE else time.replace(tzinfo=timezone(offset))


@functools.lru_cache
def zone_of(text: str) -> tzinfo:
    """A zone of the IANA's database, or an offset such as +10:00.

    Raises:
        ValueError, OSError: there is none of this name, or the system has no database.
    """
    if re.fullmatch(r"[+-]\d\d:?\d\d", text):
        return _offset(text)
    return zoneinfo.ZoneInfo(text)


def iso_times(began: datetime | None, seconds: NDArray[np.float64]) -> Sequence[str | None]:
    """Times so many seconds after another one, in ISO 8601 with milliseconds, and with the offset if it is known."""
    if began is None:
        return [None] * len(seconds)
    local = np.datetime64(began.replace(tzinfo=None), "ms") + np.rint(1000 * seconds).astype("m8[ms]")
    offset = began.isoformat(timespec="seconds")[19:]
    return [text + offset for text in np.datetime_as_string(local, unit="ms").tolist()]


def _of_guano(chunks: Mapping[bytes, bytes]) -> datetime | None:
    text = chunks.get(b"guan", b"").decode(errors="replace")
    lines = (line.partition(":") for line in text.split("\n"))  # text within a line may hold other line ends
    return next((_parsed(value) for key, _, value in lines if key.strip() == "Timestamp"), None)


def _of_audiomoth(chunks: Mapping[bytes, bytes]) -> datetime | None:
    match = AUDIOMOTH.search(chunks.get(b"LIST", b"").decode("latin-1"))
    if match is None:
        return None
    hour, minute, second, day, month, year = map(int, match.groups()[:6])
    with contextlib.suppress(ValueError):
        zone = _zone(match[8] or "+0", match[9] or "0") if match[7] else None
        return _made(year, month, day, hour, minute, second, zone=zone)
    return None


def _of_wamd(chunks: Mapping[bytes, bytes]) -> datetime | None:
    fields = _wamd_fields(chunks.get(b"wamd", b""))
    return next((_parsed(value.decode("latin-1")) for key, value in fields if key == WAMD_START), None)


def _wamd_fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 6 <= len(data):
        key, length = struct.unpack_from("<HI", data, at)
        yield key, data[at + 6 : at + 6 + length]
        at += 6 + length


def _parsed(text: str) -> datetime | None:
    """A time in ISO 8601, which is no date alone."""
    text = text.strip(" \t\r\n\0")
    with contextlib.suppress(ValueError):
        time = datetime.fromisoformat(text)
        offset = time.utcoffset() or timedelta()
        is_offset = abs(offset) <= MOST_OFFSET and not offset % MINUTE
        return time if len(text) > len("2024-05-12") and time.year in YEARS and is_offset else None
    return None


def _made(*numbers: int, zone: tzinfo | None) -> datetime | None:
    """A time of year, month, day, hour, minute and second; None if no clock shows it."""
    with contextlib.suppress(ValueError):
        time = datetime(*numbers, tzinfo=zone)  # type: ignore[arg-type, misc]
        return time if time.year in YEARS else None
    return None


def _in_use(text: str) -> timezone | None:
    """The zone of `Z`, `+1000` or `-03:30` in a name; None for numbers that are no offset in use, such as -0000."""
    zone = None
    with contextlib.suppress(ValueError):
        zone = _offset(text)
    if zone is None or text in ("-0000", "-00:00"):
        return None
    return zone if zone.utcoffset(None) // MINUTE in IN_USE else None


def _offset(text: str) -> timezone:
    """The zone of `Z`, `+1000` or `-03:30`; see `_zone`."""
    digits = text.replace("Z", "+0000").replace(":", "")
    return _zone(digits[:3], digits[3:])


def _zone(hours: str, minutes: str) -> timezone:
    """The zone so far from UTC; `hours` have a sign.

    Raises:
        ValueError: no place on Earth is that far from it.
    """
    offset = timedelta(hours=int(hours[1:]), minutes=int(minutes))
    if int(minutes) > 59 or offset > MOST_OFFSET:
        raise ValueError(f"{hours}:{minutes} is no offset from UTC")
    return timezone(-offset if hours.startswith("-") else offset)
