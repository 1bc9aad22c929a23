"""Where the memory lies that processes share."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

import pytest

import runtime.memory
from runtime.workers.ring import Ring, Shape

SHAPE = Shape(slots=2, batch=3, samples=4096)
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux has files in memory")
has_them = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this Python has no files in memory")


def in_memory() -> bool:
    """Whether a ring lies in memory. In either case it holds what was written, and has no name to be left behind."""
    ring = Ring.create(SHAPE)
    try:
        ring.windows[1, 2, 3] = 7
        assert Ring(ring.descriptor, SHAPE).windows.sum() == 7
        assert os.fstat(ring.descriptor).st_nlink == 0
        return "memfd:" in os.readlink(f"/proc/self/fd/{ring.descriptor}")
    finally:
        ring.close()


@linux
def test_python_without_files_in_memory_takes_one_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert not in_memory()


@linux
@pytest.mark.parametrize(("number", "full"), [(errno.EOPNOTSUPP, False), (errno.ENOSPC, True)])
def test_a_ring_on_a_disk_whose_system_takes_no_room_is_made_and_one_on_a_full_disk_is_not(
    monkeypatch: pytest.MonkeyPatch, number: int, full: bool
) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("runtime.workers.ring._in_memory", lambda size: None)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space left") if full else contextlib.nullcontext():
        Ring.create(SHAPE).close()


@linux
def test_a_ring_on_a_disk_has_its_room_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.workers.ring._in_memory", lambda size: None)
    ring = Ring.create(SHAPE)
    assert os.fstat(ring.descriptor).st_blocks * 512 >= SHAPE.bytes
    ring.close()


@linux
def test_system_that_forbids_files_in_memory_takes_one_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refused, raising=False)
    assert not in_memory()


@has_them
@pytest.mark.parametrize(("pages", "fits"), [(2**30, True), (1, False)])
def test_ring_that_is_large_for_the_machine_lies_on_a_disk(
    pages: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else 4)
    monkeypatch.setattr("runtime.workers.ring.free_in_container", lambda: None)
    assert in_memory() is fits


@has_them
@pytest.mark.parametrize(
    ("limit", "used", "cached", "fits"),
    [
        ("max", 0, 0, True),
        (str(SHAPE.bytes * 5), 0, 0, True),
        (str(SHAPE.bytes * 3), 0, 0, False),
        (str(SHAPE.bytes * 9), SHAPE.bytes * 6, 0, False),
        (str(SHAPE.bytes * 9), SHAPE.bytes * 6, SHAPE.bytes * 2, True),
    ],
)
def test_ring_that_a_container_has_no_room_for_lies_on_a_disk(
    limit: str, used: int, cached: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    (tmp_path / "memory.stat").write_text(f"anon {used - cached}\ninactive_file {cached}\n")
    monkeypatch.setattr(runtime.memory, "CGROUP", tmp_path)
    assert in_memory() is fits
