"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from runtime.errors import InputError, reason


@contextlib.contextmanager
def replacing(target: Path, name: str | None = None) -> Iterator[Path]:
    """A temporary path beside `target`, which takes its place if all goes well and leaves nothing otherwise.

    It is called like `target`, or like what `name` says, by which `remove_leftovers` finds it.

    Raises:
        InputError: the folder is missing or cannot be written, the disk is full, or `target` is a folder.
    """
    target = Path(os.path.realpath(target))  # a link keeps pointing where it did
    if os.path.isdir(target):
        raise InputError(f"cannot write {target}: it is a folder; name a file")
    temporary = target.with_name(f".{name or target.name}.{os.getpid()}.partial")
    try:
        temporary.touch()
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {target.parent} ({reason(error)}); choose another output") from None


def remove_leftovers(target: Path) -> None:
    """Removes what `replacing` left beside `target` in processes that were killed; nobody may be writing it now."""
    target = Path(os.path.realpath(target))
    left = re.compile(rf"\.+{re.escape(target.name)}\.\d+\.(partial|probe|probe\.\d+\.partial)")
    with contextlib.suppress(OSError):
        for path in [path for path in target.parent.iterdir() if left.fullmatch(path.name)]:
            with contextlib.suppress(OSError):  # what cannot be removed harms nobody
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def rescue(name: str, write: Callable[[Path], None]) -> Path | None:
    """Writes to a temporary folder what could not be written to its own; None where that fails, too."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="perch-run-"))
    except OSError:
        return None
    try:
        write(folder / name)
    except (InputError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return folder / name


def check_writable(target: Path) -> None:
    """Finds out before the work whether `target` could be written after it.

    Raises:
        InputError: it could not.
    """
    if os.path.isdir(target):
        raise InputError(f"cannot write {target}: it is a folder; name a file")
    target = Path(os.path.realpath(target))
    probe = target.with_name(f".{target.name}.{os.getpid()}.probe")
    with replacing(probe):
        pass
    probe.unlink()


def check_distinct(**named: Path | None) -> None:
    """Refuses to read and write the same file; `named` are the files by what they are called.

    Raises:
        InputError: two are the same.
    """
    seen: dict[str, str] = {}
    for name, path in named.items():
        if path is None:
            continue
        real = os.path.realpath(path)
        if real in seen:
            raise InputError(f"{path} is {seen[real]} and {name} at once, and would be written over; name another file")
        seen[real] = name


def make_folder(folder: Path) -> None:
    """Makes a folder, and those around it, where it is not there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({reason(error)}); choose another output") from None


def check_folder(target: Path) -> None:
    """Finds out whether a folder is there, or could be made, and files be written to it.

    Raises:
        InputError: they could not.
    """
    made = not os.path.lexists(target)
    make_folder(target)
    check_writable(target / "rows")
    if made:
        target.rmdir()


def utf8(text: str) -> str:
    """Text that Parquet and databases can hold: bytes of a file's name that are no UTF-8 as `\\xff`."""
    return re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)
