"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from runtime.errors import InputError, reason

Files = str | Path | None | Iterable[str | Path] | Callable[[], Iterable[str | Path]]


@contextlib.contextmanager
def replacing(target: Path, name: str | None = None) -> Iterator[Path]:
    """A temporary path beside `target`, which takes its place if all goes well and leaves nothing otherwise.

    It is called like `target`, or like what `name` says, by which `remove_leftovers` finds it.

    Raises:
        InputError: the folder is missing or cannot be written, the disk is full, or `target` is no file.
    """
    target = _file_to_write(target)
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
    target = real_path(target)
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
    target = _file_to_write(target)
    probe = target.with_name(f".{target.name}.{os.getpid()}.probe")
    with replacing(probe):
        pass
    probe.unlink()


def _file_to_write(target: Path) -> Path:
    """Where a file is written: a link keeps pointing where it did, and a device or pipe is not replaced."""
    real = real_path(target)
    if os.path.exists(real) and not os.path.isfile(real):
        what = "a folder" if os.path.isdir(real) else "a device or pipe"
        raise InputError(f"cannot write {target}: it is {what}; name a file")
    return real


def check_outputs(writes: Mapping[str, Files], reads: Mapping[str, Files]) -> None:
    """Refuses to write over what is read, and to write two things to one file.

    Both are files by what they are called; None is none. Files are the same whatever they are called: through links,
    as hard links, or in another spelling where the file system knows no difference. What a function gives is asked for
    only where there is something that could be written over.

    Raises:
        InputError: two are the same.
    """
    targets: dict[object, str] = {}
    there = False
    for name, files in writes.items():
        for path in _listed(files):
            status = _status(path)
            there = there or status is not None
            known_by = _identities(str(real_path(path)), status)
            if taken := next((targets[each] for each in known_by if each in targets), None):
                raise InputError(f"{taken} and {name} {path} are the same file; name two")
            targets.update(dict.fromkeys(known_by, f"{name} {path}"))
    real_folder = functools.cache(os.path.realpath)  # a hundred thousand recordings are in few folders
    for name, files in reads.items() if there else ():
        for path in _listed(files):
            if (status := _status(path)) is None:
                continue
            folder, own = os.path.split(path)
            known_by = _identities(os.path.join(real_folder(folder), own), status)
            if taken := next((targets[each] for each in known_by if each in targets), None):
                raise InputError(f"{taken} would be written over {name} {path}; name another file")


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _identities(real: str, status: os.stat_result | None) -> list[object]:
    """What a file is known by: its path without links and, if it is there, its number on its device."""
    if status is None or not status.st_ino:  # some file systems number nothing
        return [os.path.normcase(real)]
    return [os.path.normcase(real), (status.st_dev, status.st_ino)]


def absolute(files: Files) -> list[str]:
    """Files by paths that stay right where the working folder changes."""
    return [os.path.abspath(path) for path in _listed(files)]


def _listed(files: Files) -> Iterable[str | Path]:
    given = files() if callable(files) else files
    return () if given is None else (given,) if isinstance(given, (str, Path)) else given


def real_path(path: str | Path) -> Path:
    """A path without links.

    Raises:
        InputError: it is none, or relative to a folder that is gone.
    """
    try:
        return Path(os.path.realpath(path))
    except OSError:
        raise InputError(f"cannot tell where {path} is: the working folder is gone; change to another one") from None
    except ValueError as error:
        raise InputError(f"there can be no file {str(path)!r} ({reason(error)})") from None


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


def composed(text: str) -> str:
    """A text with its letters put together (Unicode NFC): some systems take those of file names apart."""
    return unicodedata.normalize("NFC", text)


def utf8(text: str) -> str:
    """Text that Parquet and databases can hold: bytes of a file's name that are no UTF-8 as `\\xff`."""
    return re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)
