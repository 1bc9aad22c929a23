"""What OGG files claim is checked against their pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.audio.containers.ogg import checksum
from runtime.audio.containers.reading import resuming
from runtime.audio.containers.stream import Entry, Stream
from tests.support.recordings import RATE, write
from tests.support.tones import SECONDS, check_times, encoded, lost, read, tones


@pytest.mark.parametrize("how", [{}, {"subtype": "OPUS"}])
@pytest.mark.parametrize("damage", ["flip", "zeros", "cut out"])
def test_ogg_with_pages_missing_keeps_its_times(tmp_path: Path, how: dict[str, str], damage: str) -> None:
    path = tmp_path / "a.ogg"
    data = bytearray(encoded("OGG", SECONDS, 48_000 if how else RATE, **how))
    third = len(data) // 3
    if damage == "flip":
        data[third] ^= 1
    elif damage == "zeros":
        data[third : third + 20_000] = bytes(20_000)
    else:
        del data[third : third + 20_000]
    path.write_bytes(data)
    windows, recording = read(path)
    assert len(windows) == 4
    assert 1 <= len(lost(windows)) <= 2
    assert recording.failure is not None and re.search(r"from \d+\.\d to \d+\.\d s", recording.failure)
    check_times(windows, SECONDS)


@pytest.mark.parametrize("shift", [-200_000, 900_000])
def test_ogg_whose_last_position_is_wrong(tmp_path: Path, shift: int) -> None:
    """The last page's position is the length; one that cannot be leaves that page out, and says so."""
    path = tmp_path / "a.ogg"
    data = bytearray(encoded("OGG", SECONDS, RATE))
    at = data.rindex(b"OggS")
    position = int.from_bytes(data[at + 6 : at + 14], "little") + shift
    data[at + 6 : at + 14] = position.to_bytes(8, "little")
    data[at + 22 : at + 26] = bytes(4)
    data[at + 22 : at + 26] = checksum(bytes(data[at:])).to_bytes(4, "little")
    path.write_bytes(data)
    windows, recording = read(path)
    assert len(windows) == 4
    assert lost(windows) == [3]
    assert recording.failure is not None and "truncated" in recording.failure
    check_times(windows, SECONDS)


def ogg_moved(data: bytes, first: int, seconds: int, pages: int, lost: int = -1) -> bytes:
    """An OGG whose positions and page numbers are so much greater from a page on, one of which is lost."""
    moved = []
    for number, page in enumerate(re.split(b"(?=OggS\0)", data)[1:]):
        changed = bytearray(page)
        if number >= first:
            position = int.from_bytes(page[6:14], "little", signed=True)
            changed[6:14] = (position + seconds * RATE).to_bytes(8, "little")
            changed[18:22] = (int.from_bytes(page[18:22], "little") + pages).to_bytes(4, "little")
            changed[22:26] = bytes(4)
            changed[22:26] = checksum(bytes(changed)).to_bytes(4, "little")
        moved.append(bytes(changed) if number != lost else b"")
    return b"".join(moved)


def test_ogg_whose_positions_cannot_be_ends_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(ogg_moved(encoded("OGG", SECONDS, RATE), first=21, seconds=2**30, pages=0, lost=20))
    windows, recording = read(path)
    assert 1 <= len(windows) <= 3
    assert recording.failure is not None and "is truncated: it breaks off after" in recording.failure


def test_a_place_beyond_what_a_file_can_hold_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write(path, tones(1))
    stream = Stream(entry_after=lambda frame: Entry(frame + RATE, [path.read_bytes()]))
    assert (found := resuming(path, stream, RATE, most=RATE)(0)) is not None
    assert found[0] == RATE
    assert resuming(path, stream, RATE, most=RATE - 1)(0) is None


def test_ogg_that_was_taken_up_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(ogg_moved(encoded("OGG", SECONDS, RATE), first=2, seconds=3600, pages=1000))
    windows, recording = read(path)
    assert recording.failure is None
    assert len(windows) == 4
    check_times(windows, SECONDS)
