"""Files that appear complete or not at all, and never replace what is read."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from runtime.errors import InputError, OutputError, reason
from runtime.remote import Location, RemoteFile, absolute_path, is_url

Files = str | Path | None | Iterable[str | Location] | Callable[[], Iterable[str | Location]]


@contextlib.contextmanager
def replacing(target: Path, name: str | None = None) -> Iterator[Path]:
    """A temporary path beside `target`, which it replaces if all goes well; otherwise nothing is left.

    Its name is made from `target`'s, or from `name`, so that `remove_leftovers` recognises it.

    Raises:
        OutputError: the folder is missing or cannot be written, or the disk is full.
        InputError: `target` is a folder, a device or a pipe.
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
    except OutputError:  # another file could not be written; the error names it
        raise
    except OSError as error:
        if not target.parent.exists():
            raise OutputError(
                f"cannot write to {target.parent}, which does not exist; make that folder first"
            ) from None
        raise OutputError(f"cannot write to {target.parent} ({reason(error)}); choose another output") from None


def remove_leftovers(target: Path) -> None:
    """Removes what `replacing` left beside `target` in processes that were killed. No process may be writing it now."""
    target = real_path(target)
    leftover = re.compile(rf"\.+{re.escape(target.name)}\.\d+\.(partial|probe|probe\.\d+\.partial)")
    with contextlib.suppress(OSError):
        for path in [path for path in target.parent.iterdir() if leftover.fullmatch(path.name)]:
            with contextlib.suppress(OSError):  # one that stays does no harm
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def rescue(name: str, write: Callable[[Path], None]) -> Path | None:
    """Writes to a temporary folder what could not be written to its target.

    Returns the file; None where that fails, too.
    """
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
    """Checks before the work that `target` can be written after it.

    Raises:
        OutputError: its folder is missing or cannot be written.
        InputError: it is a folder, a device or a pipe.
    """
    target = _file_to_write(target)
    probe = target.with_name(f".{target.name}.{os.getpid()}.probe")
    with replacing(probe):
        pass
    probe.unlink()


def _file_to_write(target: Path) -> Path:
    """Where a file is really written: a link stays, and what it points to is replaced.

    Raises:
        InputError: it is a folder, a device or a pipe.
        OutputError: it is relative to a working folder that is gone.
    """
    real = real_path(target)
    if os.path.exists(real) and not os.path.isfile(real):
        what = "a folder" if os.path.isdir(real) else "a device or pipe"
        raise InputError(f"cannot write {target}: it is {what}; name a file")
    return real


def check_outputs(writes: Mapping[str, Files], reads: Mapping[str, Files]) -> None:
    """Refuses to write over a file that is read, and to write two things to one file.

    Args:
        writes: the files that will be written, by what messages call them, such as "-o".
        reads: the files that are read, likewise. A function is called only if a file to be written already exists.

    A file is the same under any name: through links, as a hard link, or in another spelling where the file system
    ignores case.

    Raises:
        InputError: two are the same, or no file can have one of these names.
        OutputError: one is relative to a working folder that is gone.
    """
    targets: dict[object, str] = {}
    any_exists = False
    for name, files in writes.items():
        for path in _local(files):
            status = _status(path)
            any_exists = any_exists or status is not None
            identities = _identities(str(real_path(path)), status)
            if other := _first(targets, identities):
                raise InputError(f"{other} and {name} {path} are the same file; name two")
            targets.update(dict.fromkeys(identities, f"{name} {path}"))
    real_folder = functools.cache(os.path.realpath)  # a hundred thousand recordings are in few folders
    for name, files in reads.items() if any_exists else ():
        for path in _local(files):
            if (status := _status(path)) is None:
                continue
            folder, own = os.path.split(path)
            if target := _first(targets, _identities(os.path.join(real_folder(folder), own), status)):
                raise InputError(f"{target} would be written over {name} {path}; name another file")


def _first(targets: Mapping[object, str], identities: Iterable[object]) -> str | None:
    """The target that is the file with one of these identities."""
    return next((targets[each] for each in identities if each in targets), None)


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _identities(real: str, status: os.stat_result | None) -> list[object]:
    """What two names of one file have in common: the path without links and, if it exists, its inode."""
    if status is None or not status.st_ino:  # some file systems number nothing
        return [os.path.normcase(real)]
    return [os.path.normcase(real), (status.st_dev, status.st_ino)]


def absolute(files: Files) -> list[str]:
    """Paths that stay right when the working folder changes."""
    return [absolute_path(path) for path in _listed(files)]


def _local(files: Files) -> Iterator[str | Path]:
    """Those that are on a disk."""
    return (path for path in _listed(files) if not (isinstance(path, RemoteFile) or is_url(path)))


def _listed(files: Files) -> Iterable[str | Location]:
    given = files() if callable(files) else files
    return () if given is None else (given,) if isinstance(given, (str, Path)) else given


def file_stamp(status: os.stat_result) -> tuple[int, ...]:
    """What changes when somebody writes to a file or replaces it."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def real_path(path: str | Path) -> Path:
    """A path with all links resolved.

    Raises:
        InputError: no file can have this name.
        OutputError: it is relative to a working folder that is gone.
    """
    try:
        return Path(os.path.realpath(path))
    except OSError:
        raise OutputError(f"cannot tell where {path} is: the working folder is gone; change to another one") from None
    except ValueError as error:
        raise InputError(f"there can be no file {str(path)!r} ({reason(error)})") from None


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents, if they do not exist.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder} ({reason(error)}); choose another output") from None


def check_folder(target: Path) -> None:
    """Checks before the work that files can be written to a folder; one that does not exist is made and removed again.

    Parents that are made for it stay: the rows of an unfinished run lie in them.

    Raises:
        OutputError: they cannot.
    """
    made = not os.path.lexists(target)
    make_folder(target)
    check_writable(target / "rows")
    if made:
        target.rmdir()


def take_room(descriptor: int, size: int) -> None:
    """Makes an open file so large, and takes the room on the disk now, where the system can.

    The disk may be full when a file without its room is written through a map; the system then kills the process.

    Raises:
        OSError: there is no room.
    """
    os.truncate(descriptor, size)
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):  # those say that it cannot
                raise


def composed(text: str) -> str:
    """A text with composed letters (Unicode NFC); some systems decompose those of file names."""
    return unicodedata.normalize("NFC", text)


def utf8(text: str) -> str:
    """Text that Parquet and databases can hold: bytes in a file's name that are not UTF-8 become `\\xff`."""
    return re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)
