"""The folder of a dataset, on a disk or in an object store. Files in it appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from runtime.errors import InputError, OutputError, reason
from runtime.files import make_folder
from runtime.remote import RemoteFolder, is_url, local_path

LEFT_OVER = ".partial"
LEFT_OVER_S = 86_400.0
"""A temporary file that is older than this was left by a run that was killed."""
STAYS = "what was committed stays"


class Folder(Protocol):
    """A folder whose files are written whole; names in it are relative, with `/` between folders."""

    def files(self, prefix: str = "") -> dict[str, int]:
        """The files and their sizes in bytes, those in a folder within if `prefix` is its name and a `/`."""

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises OSError."""

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, which replaces one of this name. Raises OutputError."""

    def write_once(self, name: str, data: bytes) -> bool:
        """Writes a file unless there is one of this name already; returns whether it did. Raises OutputError."""

    def remove(self, name: str) -> None:
        """Removes a file, if it is there. Raises OSError."""


class LocalFolder:
    """A folder on a disk, which several machines may share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def files(self, prefix: str = "") -> dict[str, int]:
        found: dict[str, int] = {}
        for parent, folders, names in os.walk(self.path / prefix, onerror=self._cannot_list):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(parent, name)
                with contextlib.suppress(FileNotFoundError):  # it was removed just now
                    if not name.startswith("."):
                        found[path.relative_to(self.path).as_posix()] = path.stat().st_size
        return found

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        with self._written(data) as temporary:
            self._move(temporary, name)

    def write_once(self, name: str, data: bytes) -> bool:
        target = self.path / name
        with self._written(data) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            except OSError:  # a file system without links
                if target.exists():
                    return False
                self._move(temporary, name)
        return True

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Removes temporary files that runs left which were killed long ago."""
        with contextlib.suppress(OSError):
            for path in self.path.glob(f".*{LEFT_OVER}"):
                if time.time() - path.stat().st_mtime > LEFT_OVER_S:
                    path.unlink()

    def _move(self, temporary: Path, name: str) -> None:
        target = self.path / name
        make_folder(target.parent)
        try:
            temporary.replace(target)
        except OSError as error:
            raise self._cannot_write(error) from None

    @contextlib.contextmanager
    def _written(self, data: bytes) -> Iterator[Path]:
        """A temporary file with these bytes, safe on the disk. It lies at the top, where no reader of rows looks."""
        make_folder(self.path)
        temporary = self.path / f".{uuid.uuid4().hex}{LEFT_OVER}"
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            _remove(temporary)
            raise self._cannot_write(error) from None
        try:
            yield temporary
        finally:
            _remove(temporary)

    def _cannot_list(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise InputError(f"cannot look into {error.filename} ({reason(error)}); allow it, or name another folder")

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write to {self.path} ({reason(error)}); {STAYS}: make room, then repeat the command"
        )


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):  # a disk that cannot be written refuses this, too
        temporary.unlink()


class StoreFolder:
    """A folder in an object store."""

    def __init__(self, url: str) -> None:
        self._folder = RemoteFolder(url)

    def __str__(self) -> str:
        return self._folder.url

    def files(self, prefix: str = "") -> dict[str, int]:
        try:
            return self._folder.files(prefix)
        except OSError as error:
            raise InputError(f"cannot look into {self} ({reason(error)})") from None

    def read(self, name: str) -> bytes:
        return self._folder.read(name)

    def write(self, name: str, data: bytes) -> None:
        with self._writing():
            self._folder.write(name, data)

    def write_once(self, name: str, data: bytes) -> bool:
        with self._writing():
            return self._folder.write_once(name, data)

    def remove(self, name: str) -> None:
        self._folder.remove(name)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write to {self} ({reason(error)}); {STAYS}: repeat the command") from None


def open_folder(out: str | Path) -> Folder:
    """The folder of a dataset.

    Raises:
        InputError: it is a file.
    """
    path = local_path(str(out)) or Path(out)
    if is_url(str(out)) and local_path(str(out)) is None:
        return StoreFolder(str(out).rstrip("/"))
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, and a dataset is a folder; name another one")
    return LocalFolder(path)
