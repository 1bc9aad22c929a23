"""Files that lie at a URL: in an object store, on a web server, wherever fsspec can read.

fsspec and its packages are imported when they are used.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import posixpath
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from runtime.blocks import BlockCache
from runtime.errors import InputError, PerchError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
FIRST_WAIT_S, PATIENCE_S = 0.5, 30.0
"""What failed is tried again after this time, which doubles, until this much has passed since the first try."""
CACHE_BYTES = 64 * 2**20
FINAL = (
    *(FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError),
    *(NotImplementedError, ValueError, TypeError, LookupError, AttributeError),
)
"""Errors that waiting does not mend."""
FINAL_NAMES = re.compile("Credential|Validation")
"""What such errors are called in the package of each store."""
TRY_LATER = 408, 429
"""The HTTP answers from 400 to 499 that waiting may mend."""
TIMES = "LastModified", "mtime", "updated", "last_modified", "Last-Modified", "created"
"""What stores call the time of a file."""
PARALLEL = 16
"""Requests at once, where a listing does not say how large files are."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Status:
    """What `os.stat_result` says of a file: its size in bytes, and when it was written."""

    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at a URL, as a listing described it. It is read in blocks, which all that open it in a process share.

    Reading raises OSError if the file cannot be reached for half a minute, does not exist, may not be read, or has
    another size than in the listing.
    """

    url: str
    size: int
    mtime_ns: int
    """0 where the store does not say."""

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(_decoded(self.url)).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The name's ending."""
        return PurePosixPath(self.name).suffix

    def stat(self) -> Status:
        """What the listing said."""
        return Status(self.size, self.mtime_ns)

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file, to be read from any place on. Nothing is requested before it is read."""
        if mode != "rb":
            raise ValueError(f"a file at a URL can be opened with 'rb' alone, not {mode!r}")
        return io.BufferedReader(_Reader(self), 2**16)

    def read(self, start: int, end: int) -> bytes:
        """Bytes `start` to before `end`, or to the file's end."""
        end = min(end, self.size)
        return _blocks.read(self, start, end, self.size) if start < end else b""


Location = Path | RemoteFile
"""Where a file lies."""


class _Reader(io.RawIOBase):
    def __init__(self, file: RemoteFile) -> None:
        self._remote, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._remote.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._remote.read(self._at, self._at + len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of small files in an object store. Names are paths below it.

    What fails is tried again for half a minute; then, and for what waiting does not mend, OSError is raised.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def files(self, prefix: str = "") -> dict[str, int]:
        """The sizes in bytes of all files whose names begin with `prefix`, by name."""
        folder = posixpath.dirname(prefix)
        below = f"{folder}/" if folder else ""
        found = find(f"{self.url.rstrip('/')}/{folder}".rstrip("/"))
        names = {below + name: file.size for name, file in found.items() if name}
        return {name: size for name, size in names.items() if name.startswith(prefix)}

    def read(self, name: str) -> bytes:
        """A file's content."""
        return self._do(name, lambda store, path: store.cat_file(path))

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, which appears complete or not at all; replaces one that is there.

        Up to 50 MB it is one request.
        """
        self._do(name, lambda store, path: store.pipe_file(path, data))

    def write_once(self, name: str, data: bytes) -> bool:
        """Writes a file unless there is one; returns whether `data` is what stands there now.

        S3 and Google's store decide this themselves. In other stores a file that appears in the same moment is
        replaced.
        """

        def write(store: Any, path: str) -> None:
            try:
                store.pipe_file(path, data, mode="create")
            except (NotImplementedError, TypeError):
                if store.exists(path):
                    raise FileExistsError(errno.EEXIST, "is there already") from None
                store.pipe_file(path, data)

        try:
            self._do(name, write)
        except FileExistsError:  # perhaps written by a try of ours whose answer was lost
            return self.read(name) == data
        return True

    def remove(self, name: str) -> None:
        """Removes a file; it may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            self._do(name, lambda store, path: store.rm_file(path))

    def _do(self, name: str, action: Callable[[Any, str], T]) -> T:
        return _retried(f"{self.url.rstrip('/')}/{name}", action)


def is_url(text: object) -> bool:
    """Whether a path names a file by its URL."""
    return isinstance(text, str) and URL.match(text) is not None


def local_path(url: str) -> Path | None:
    """The path of a `file://` URL; None for other texts."""
    return Path(url2pathname(urlsplit(url).path)) if url[:7].lower() == "file://" else None


def absolute_path(path: str | Location) -> str:
    """A path that stays right when the working folder changes; URLs always do."""
    return str(path) if isinstance(path, RemoteFile) or is_url(path) else os.path.abspath(path)


def find(url: str) -> Mapping[str, RemoteFile]:
    """All files below a URL, by their path below it; a single one called "" if the URL is that of a file.

    Raises:
        InputError: fsspec, or what it needs for such URLs, is not installed.
        OSError: they cannot be listed.
    """
    try:
        return _retried(url, lambda store, path: _found(store, path, url))
    except FileNotFoundError:
        return {}


def _found(store: Any, path: str, url: str) -> dict[str, RemoteFile]:
    store.invalidate_cache()  # other programs write too
    about = store.info(path)
    if about["type"] == "file" and about.get("mimetype") != "text/html":  # a web server shows a folder as a page
        return {"": _file(url, about)}
    top, above = url.rstrip("/"), f"{path.rstrip('/')}/"
    listed = [(name.removeprefix(above), about) for name, about in store.find(path, detail=True).items()]
    store.invalidate_cache()  # it may take gigabytes
    found = {}
    named = [
        (name, about) for name, about in listed if not (name == path or name.endswith("/") or name[:1] in ("", "?"))
    ]
    with ThreadPoolExecutor(PARALLEL) as threads:
        missing = [above + name for name, about in named if about.get("size") is None]
        more = dict(zip(missing, threads.map(store.info, missing)))
    for name, about in named:
        found[_decoded(name, url)] = _file(f"{top}/{name}", more.get(above + name, about))
    return found


def _file(url: str, about: Mapping[str, Any]) -> RemoteFile:
    if about.get("size") is None:
        raise OSError(errno.EINVAL, f"the server does not say how large {url} is")
    written = next((about[key] for key in TIMES if about.get(key)), 0)
    if isinstance(written, str):
        written = datetime.fromisoformat(written) if written[:1].isdigit() else parsedate_to_datetime(written)
    seconds = written.timestamp() if isinstance(written, datetime) else float(written)
    return RemoteFile(url, int(about["size"]), round(seconds * 1e6) * 1000)


def _decoded(text: str, url: str = "") -> str:
    """A URL, or part of one, as its author wrote it: addresses on the web are encoded, those in stores are not."""
    return unquote(urlsplit(text).path) if (url or text).lower().startswith(("http:", "https:")) else text


def _fetch(file: RemoteFile, start: int, end: int) -> bytes:
    """Bytes of a file. At its end one more is asked for, to see whether it is longer than in the listing."""
    changed = OSError(errno.EINVAL, f"has changed since it was found, when it had {file.size:,} bytes")

    def read(store: Any, path: str) -> bytes:
        try:
            data = cast(bytes, store.cat_file(path, start=start, end=end + (end == file.size)))
        except Exception as error:
            raise changed if _status(error) == 416 or "InvalidRange" in repr(error.__cause__) else error from error
        if len(data) > end - start + 1:
            raise OSError(errno.EINVAL, "its server sends no parts of files")
        if len(data) != end - start:
            raise changed
        return data

    return _retried(file.url, read)


_blocks: BlockCache[RemoteFile] = BlockCache(_fetch, CACHE_BYTES)


def _retried(url: str, action: Callable[[Any, str], T]) -> T:
    """Does something with a store and a path in it.

    Raises:
        InputError: fsspec, or what it needs for such URLs, is not installed.
        OSError: it cannot be done, or could not be for half a minute.
    """
    begin, wait = time.monotonic(), FIRST_WAIT_S
    while True:
        try:
            return action(*_store(url))
        except PerchError:
            raise
        except Exception as error:
            left = begin + PATIENCE_S - time.monotonic()
            if _is_final(error):
                raise _explained(error) from error
            if left <= 0:
                why = f"could not be reached for {PATIENCE_S:g} s ({_one_line(error)})"
                raise OSError(errno.EIO, why) from error
        time.sleep(min(wait, left))
        wait *= 2


def _store(url: str) -> tuple[Any, str]:
    """The store of a URL, and the path in it."""
    scheme = url.partition("://")[0].lower()
    try:
        import fsspec.core

        return cast(tuple[Any, str], fsspec.core.url_to_fs(url))
    except ImportError as error:
        package = PACKAGES.get(scheme)
        needs = f"{package}: `pip install fsspec {package}`" if package is not None else f"more: {_one_line(error)}"
        raise InputError(f"{scheme}:// needs fsspec and {needs} (or '.[remote]' in the project's folder)") from None
    except ValueError as error:
        raise InputError(f"cannot open {url}: {_one_line(error)}") from None


def _status(error: Exception) -> int:
    """The status of an HTTP answer, 0 for other errors."""
    status = getattr(error, "status", getattr(error, "code", 0))
    return int(status) if str(status).isdigit() else 0


def _is_final(error: Exception) -> bool:
    if isinstance(error, FINAL) or FINAL_NAMES.search(type(error).__name__):
        return True
    status = _status(error)
    return getattr(error, "errno", None) == errno.EINVAL or (400 <= status < 500 and status not in TRY_LATER)


def _explained(error: Exception) -> OSError:
    """An error that waiting does not mend, as one of the system's, with a reason that follows a file's name."""
    status = _status(error)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return FileNotFoundError(errno.ENOENT, "there is no such file, folder or bucket")
    if isinstance(error, PermissionError) or status in (401, 403):
        return PermissionError(errno.EACCES, f"access denied ({_one_line(error)})")
    if isinstance(error, OSError):
        return type(error)(error.errno, error.strerror or _one_line(error))
    return OSError(errno.EINVAL, _one_line(error))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
