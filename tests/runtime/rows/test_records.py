"""Records in a file: what is read is what was written, or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from runtime.rows.records import Extent, intact_records, read_body, read_record, size_of, write_record

TEXTS = [{"number": i, "ä": "ö" * i} for i in range(3)]
BODIES = [[memoryview(bytes([i] * 5)), memoryview(b"more" * i)] for i in range(3)]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[FileIO]:
    with (tmp_path / "records").open("x+b", buffering=0) as file:
        yield file


def write(file: FileIO) -> Extent:
    extent = Extent()
    for text, body in zip(TEXTS, BODIES, strict=True):
        extent = extent.plus(write_record(file, extent.end, text, body))
    return extent


def test_records_come_back(file: FileIO) -> None:
    written, read = write(file), Extent()
    for record, text, body in zip(intact_records(file), TEXTS, BODIES, strict=True):
        assert {name: record.text[name] for name in text} == text
        assert read_body(file, record) == b"".join(body)
        read = read.plus(record)
    assert read == written
    assert (written.end, written.records) == (size_of(file), 3)


def test_the_format_stays(file: FileIO) -> None:
    """An interrupted run of an earlier version can be resumed."""
    write_record(file, 0, {"format": 5}, [memoryview(b"abc")])
    file.seek(0)
    text = b'{"format": 5, "crc32": 891568578}'
    assert file.read() == bytes([33, *[0] * 7, 3, *[0] * 7]) + text + bytes.fromhex("22d9b4bc") + b"abc"


def test_a_changed_byte_ends_the_intact_records(file: FileIO) -> None:
    end, data = write(file).end, os.pread(file.fileno(), 10**6, 0)
    ends = [record.end for record in intact_records(file)]
    for at in range(end):
        os.pwrite(file.fileno(), bytes([data[at] ^ 4]), at)
        assert sum(1 for _ in intact_records(file)) == sum(each <= at for each in ends)
        os.pwrite(file.fileno(), data[at : at + 1], at)


def test_the_order_of_records_is_part_of_an_extent(file: FileIO) -> None:
    write(file)
    one, two, three = intact_records(file)
    assert Extent().plus(one).plus(two).crc32 != Extent().plus(two).plus(one).crc32
    assert read_record(file, three.end, size_of(file)) is None
    assert read_record(file, two.end, three.end - 1) is None


class Full(FileIO):
    """A disk with room for a few bytes."""

    room = 40

    def write(self, data: object) -> int:
        if self.tell() >= self.room:
            raise OSError(28, "No space left on device")
        return super().write(memoryview(data)[: self.room - self.tell()])  # type: ignore[arg-type]


def test_a_record_that_does_not_fit_is_not_there(tmp_path: Path) -> None:
    with Full(str(tmp_path / "records"), "x+b") as file:
        first = write_record(file, 0, {}, [])
        with pytest.raises(OSError, match="No space left"):
            write_record(file, first.end, {}, [memoryview(bytes(100))])
        assert size_of(file) == first.end
