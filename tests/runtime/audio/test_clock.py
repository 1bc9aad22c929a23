from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from runtime.audio.clock import began, iso_times, time_in_name, zone_of
from runtime.audio.containers.chunks import read_layout, read_said
from runtime.audio.recording import Recording
from tests.support.recorders import audiomoth, guano, song_meter, write_recorded
from tests.support.recordings import RATE, WINDOW, write
from tests.support.wav_files import chunk

NO_OFFSETS = "-0999", "-0000", "-0015", "-0045", "-0100AB", "-0600_0700", "-0600-1", "Zoo", "ZW", "+1075", "+10001"
SILENCE = np.zeros(RATE, np.float32)


def noted(note: str) -> bytes:
    """GUANO's chunk with a note before the time."""
    return chunk(b"guan", f"GUANO|Version: 1.0\nNote: {note}\nTimestamp: 2024-05-12T05:30:00\n".encode())


def written(path: Path) -> str | None:
    recording = Recording(path, RATE, WINDOW)
    recording.count_parts()
    counted = recording.written
    read = Recording(path, RATE, WINDOW)
    list(read.windows())
    assert read.written == counted
    return None if counted is None else counted.isoformat()


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (guano("2024-05-12T05:30:00-06:00"), "2024-05-12T05:30:00-06:00"),
        (guano("2024-05-12T05:30:00Z"), "2024-05-12T05:30:00+00:00"),
        (guano("2024-05-12 05:30:00.25"), "2024-05-12T05:30:00.250000"),
        (guano("2024-05-12"), None),
        (guano("yesterday"), None),
        (audiomoth("19:17:30 10/05/2018 (UTC)"), "2018-05-10T19:17:30+00:00"),
        (audiomoth("19:17:30 10/05/2018 (UTC+10)"), "2018-05-10T19:17:30+10:00"),
        (audiomoth("19:17:30 10/05/2018 (UTC-3:30)"), "2018-05-10T19:17:30-03:30"),
        (audiomoth("19:17:30.500 10/05/2018 (UTC)"), "2018-05-10T19:17:30+00:00"),
        (audiomoth("19:17:30 10/05/2018"), "2018-05-10T19:17:30"),
        (audiomoth("19:17:30 10/15/2018 (UTC)"), None),
        (audiomoth("19:17:30 10/05/2018 (UTC+99)"), None),
        (audiomoth("19:17:30 10/05/2018 (UTC+24)"), None),
        (audiomoth("19:17:30 10/05/2018 (UTC-99:99)"), None),
        (audiomoth("19:17:30 10/05/2018 (UTC+10:75)"), None),
        (guano("2024-05-12T05:30:00+23:00"), None),
        (guano("2024-05-12T05:30:00+10:00:30"), None),
        (guano("2024-05-12T05:30:00-05:30:00.5"), None),
        (guano("2024-05-12T05:30:00\r"), "2024-05-12T05:30:00"),
        *((noted(f"x{end}Timestamp: 2020-01-01T00:00:00"), "2024-05-12T05:30:00") for end in "\v\f\x1e\x85\u2028"),
        (song_meter("2014-04-02 22:59:14-05:00"), "2014-04-02T22:59:14-05:00"),
        (song_meter("2014-04-02 22:59:14.000"), "2014-04-02T22:59:14"),
        (song_meter("2014-04-02 22:59:14") + guano("2024-05-12T05:30:00"), "2024-05-12T05:30:00"),
        (b"", None),
    ],
)
def test_recorders_write_when_they_began(tmp_path: Path, chunks: bytes, expected: str | None) -> None:
    """Before the sound or behind it."""
    assert written(write_recorded(tmp_path / "a.wav", SILENCE, before=chunks)) == expected
    assert written(write_recorded(tmp_path / "b.wav", SILENCE, behind=chunks)) == expected


def test_no_more_than_64_kib_are_read_of_what_chunks_say(tmp_path: Path) -> None:
    path = write_recorded(tmp_path / "a.wav", SILENCE, behind=100 * chunk(b"LIST", b"A" * 65_000))
    with path.open("rb") as file:
        layout = read_layout(file, path.stat().st_size)
        assert layout is not None
        said = read_said(file, path.stat().st_size, layout, layout.start + 2 * len(SILENCE))
    assert len(said[b"LIST"]) == 65_536


def test_a_joined_file_does_not_say_when_the_first_one_began(tmp_path: Path) -> None:
    first = write_recorded(tmp_path / "first.wav", SILENCE)
    second = write_recorded(tmp_path / "second.wav", SILENCE, before=guano("2024-05-12T07:00:00"))
    joined = tmp_path / "joined.wav"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert written(joined) is None
    joined.write_bytes(second.read_bytes() + first.read_bytes())
    assert written(joined) == "2024-05-12T07:00:00"


def test_chunks_that_lie_say_nothing(tmp_path: Path) -> None:
    whole = song_meter("2014-04-02 22:59:14")
    path = write_recorded(tmp_path / "a.wav", SILENCE, behind=whole[: len(whole) // 2])
    assert written(path) is None
    assert written(write(tmp_path / "a.flac", SILENCE)) is None


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("20240512_053000", "2024-05-12T05:30:00"),
        ("20240512_053000T", "2024-05-12T05:30:00"),
        ("S4A01234_20240512_053000", "2024-05-12T05:30:00"),
        ("20240512T053000+1000_REC", "2024-05-12T05:30:00+10:00"),
        ("20240512T053000-0330", "2024-05-12T05:30:00-03:30"),
        ("20240512T053000Z", "2024-05-12T05:30:00+00:00"),
        *((f"20240512_053000{behind}", "2024-05-12T05:30:00") for behind in NO_OFFSETS),
        ("20240512_053000-0500_REC", "2024-05-12T05:30:00-05:00"),
        ("20240512_053000+1000_0700", "2024-05-12T05:30:00+10:00"),
        ("BC2026_Test_0001_S05_20250227_010002", "2025-02-27T01:00:02"),
        ("20240512_053000_20240512_060000", "2024-05-12T05:30:00"),
        ("site 2024-05-12_05-30-00", "2024-05-12T05:30:00"),
        ("2024-05-12T05.30.00+0100", "2024-05-12T05:30:00+01:00"),
        ("20241312_053000", None),
        ("99999999_053000_20240512_053000", "2024-05-12T05:30:00"),
        ("120240512_053000", None),
        ("20240512", None),
        ("XC123456", None),
    ],
)
def test_names_say_when_recordings_began(stem: str, expected: str | None) -> None:
    time = time_in_name(stem)
    assert (None if time is None else time.isoformat()) == expected


@pytest.mark.parametrize(
    ("stem", "zone", "expected"),
    [
        ("20240112_053000", "Australia/Sydney", "2024-01-12T05:30:00+11:00"),
        ("20240712_053000", "Australia/Sydney", "2024-07-12T05:30:00+10:00"),
        ("20240712_053000", "-03:30", "2024-07-12T05:30:00-03:30"),
        ("20240712_053000+0000", "Australia/Sydney", "2024-07-12T05:30:00+00:00"),
        ("20240712_053000", None, "2024-07-12T05:30:00"),
        ("19720201_000000", "Africa/Monrovia", "1972-02-01T00:00:00+00:00"),
        ("19710201_000000", "Africa/Monrovia", "1971-02-01T00:00:00"),  # 44 min 30 s behind UTC
    ],
)
def test_a_zone_is_for_times_without_an_offset(stem: str, zone: str | None, expected: str) -> None:
    time = began(None, stem, zone)
    assert time is not None
    assert time.isoformat() == expected
    file = datetime(2020, 1, 1)
    assert began(file, stem, None) == file  # what the file says comes before its name


@pytest.mark.parametrize("text", ["+10:99", "-0075", "+15:00", "+14:01"])
def test_offsets_that_no_clock_has_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no offset from UTC"):
        zone_of(text)


def test_times_have_milliseconds_and_the_offset_at_the_start() -> None:
    """In Sydney summer time ended at 3 h on 2024-04-07, and no recorder in the field noticed."""
    start = began(None, "20240407_025959", "Australia/Sydney")
    seconds = np.array([0.0, 1.0, 7.5, 1 / 3, 86_400.0])
    assert list(iso_times(start, seconds)) == [
        "2024-04-07T02:59:59.000+11:00",
        "2024-04-07T03:00:00.000+11:00",
        "2024-04-07T03:00:06.500+11:00",
        "2024-04-07T02:59:59.333+11:00",
        "2024-04-08T02:59:59.000+11:00",
    ]
    assert iso_times(datetime(2024, 5, 12, 23, 59, 59, 250_000), seconds[2:3]) == ["2024-05-13T00:00:06.750"]
    assert iso_times(None, seconds[:2]) == [None, None]
