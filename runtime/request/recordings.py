"""What a caller may ask of how recordings are read and cut into windows."""

from __future__ import annotations

import contextlib
import math
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from runtime.audio.channels import Channel
from runtime.audio.clock import zone_of
from runtime.audio.overlap import Pool
from runtime.audio.sites import compiled_pattern
from runtime.audio.times import times_of
from runtime.audio.windows import Normalization, Segments
from runtime.errors import InputError
from runtime.request.field import option
from runtime.request.values import at_least_one, number, parse_numbers, parse_seconds

MOST_HOP_S = 86_400.0

READ = "how recordings are read"


def _hop(name: str, value: object) -> float:
    hop_s = number(name, value)
    if not 0 < hop_s < MOST_HOP_S:
        raise InputError(f"{name} is {value}, but must be more than 0 seconds and less than a day")
    return hop_s


def _shifts(name: str, value: Any) -> tuple[float, ...]:
    try:
        shifts = tuple(sorted({float(shift) for shift in value}))
    except (TypeError, ValueError):
        shifts = ()
    if 0 not in shifts or not all(map(math.isfinite, shifts)):
        raise InputError(
            f"{name} is {value!r}, but must be seconds, with 0 for the window itself among them, such as 0, 0.5, -0.5"
        )
    return shifts


def _channel(name: str, value: object) -> Channel:
    named = {"left": 1, "right": 2}.get(str(value), value)
    if named in ("mix", "each", "loudest"):
        return cast(Channel, named)
    with contextlib.suppress(ValueError, InputError):
        return at_least_one(name, int(named) if isinstance(named, str) else named)
    raise InputError(
        f"{name} is {value!r}, but must be 'mix', 'left', 'right', 'each', 'loudest', or a channel's number, from 1 on"
    )


def _site_from(name: str, value: str) -> str:
    with contextlib.suppress(TypeError, ValueError):
        compiled_pattern(value)
        return value
    raise InputError(
        f"{name} is {value!r}, but must be a pattern with one {{site}} and else {{date}}, {{time}}, *, ** and text, "
        "such as {site}/{date}_{time}"
    )


def _between(name: str, value: str) -> str:
    with contextlib.suppress(AttributeError, ValueError):
        times_of(value, None)
        return value
    raise InputError(f"{name} is {value!r}, but must be two times of the day, such as 04:00-09:00 or 22:00-04:00")


def _dates(name: str, value: str) -> str:
    with contextlib.suppress(AttributeError, ValueError):
        times_of(None, value)
        return value
    raise InputError(f"{name} is {value!r}, but must be a date or two, such as 2024-05-01..2024-05-31")


def _timezone(name: str, value: str) -> str:
    with contextlib.suppress(OSError, TypeError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        zone_of(value)
        return value
    raise InputError(
        f"{name} is {value!r}, but must be an offset from UTC such as +10:00, or a zone such as Australia/Sydney; "
        "where the system knows no zones, `pip install tzdata`"
    )


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """The options of a run that say how recordings are read and cut into windows."""

    hop_s: float | None = option(
        None,
        "seconds from the start of one window to the start of the next",
        READ,
        unset="the length of a window, 5 s",
        flags=["--hop"],
        metavar="TIME",
        parse=parse_seconds,
        check=_hop,
        journal=["hop"],
    )
    pool: Pool | None = option(
        None,
        "makes each row from the windows that overlap it by at least half. Rows are then a window apart, and `hop` "
        'says how far apart windows start. "max" or "mean" is taken of each class\'s scores, after `activation`; '
        "outputs without classes get the mean with either. Windows without a score do not count",
        READ,
        unset="each row has one window",
    )
    shifts: Sequence[float] | None = option(
        None,
        "seconds such as 0,0.5,-0.5, with 0 among them: a row is the mean of its own window and of those shifted by so "
        "much, after `activation`. No window starts before the recording or after its last row",
        READ,
        unset="each row has one window",
        metavar="TIMES",
        parse=parse_numbers,
        check=_shifts,
    )
    normalize: Normalization = option(
        "raw",
        '"raw" takes amplitudes as decoded, as BirdCLEF notebooks do. "peak" removes the mean of each window and '
        "scales its peak to 0.25, as Perch's own library does",
        READ,
        journal=["normalize"],
        recording=True,
    )
    channel: Channel | Literal["left", "right", "each"] = option(
        "mix",
        'what to score of a recording with several channels. "mix" is their mean, "left" the first, "right" the '
        'second, a number that channel, from 1 on. "each" gives every channel rows of its own, named '
        'after it (`a_ch2_5`). "loudest" takes in each window the channel with the most sound. A recording without the '
        "channel fails",
        READ,
        metavar="CHANNEL",
        parse=str,
        check=_channel,
        recording=True,
    )
    segments: Segments = option(
        "grid",
        '"grid" takes windows from start to end, one hop apart. "peaks" takes windows around the loudest events, for '
        "focal recordings; a recording without events then has no rows",
        READ,
        journal=["segments"],
    )
    max_peaks: int = option(
        5,
        'the most windows that a recording has if `segments` is "peaks"',
        READ,
        metavar="N",
        check=at_least_one,
        journal=["max_peaks"],
    )
    timezone: str | None = option(
        None,
        "the zone of recorders' clocks, where neither the file nor its name says the offset from UTC: a name such as "
        '"Australia/Sydney", or an offset such as "+10:00"',
        READ,
        unset="times without an offset stay so",
        metavar="ZONE",
        check=_timezone,
    )
    site_from: str | None = option(
        None,
        "where a recording's path names its site, as a pattern of the path's end: \"{site}/*\" is the folder that it "
        'lies in, "/{site}/**" the first folder below the one that was named, "{site}_{date}_{time}" the beginning of '
        "its name. Rows then have a column `site`",
        READ,
        unset="no column of sites",
        metavar="PATTERN",
        check=_site_from,
    )
    between: str | None = option(
        None,
        "score only windows that begin at these times of the day by the recorder's clock, from the first on and before "
        'the second: "04:00-09:00", or over midnight "22:00-04:00". Recordings whose time nobody knows are left out',
        READ,
        unset="all day",
        metavar="HH:MM-HH:MM",
        check=_between,
    )
    dates: str | None = option(
        None,
        "score only windows that begin on these dates by the recorder's clock, the first and the last included: "
        '"2024-05-01..2024-05-31", or one date. Recordings whose time nobody knows are left out',
        READ,
        unset="all dates",
        metavar="DATE..DATE",
        check=_dates,
    )
