"""Files that lie at a URL: in an object store, on a web server, wherever fsspec can read."""

from __future__ import annotations

import contextlib
import errno
import inspect
import io
import os
import posixpath
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeGuard, TypeVar, cast
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from runtime.blocks import BlockCache
from runtime.stores import ask, http_status

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
CACHE_BYTES = 64 * 2**20
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
        path = unquote(urlsplit(self.url).path) if is_web(self.url) else self.url
        return path.rpartition("/")[2]

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
            # Old versions of s3fs ignore an argument that they do not know.
            if "mode" in inspect.signature(getattr(store, "_pipe_file", store.pipe_file)).parameters:
                store.pipe_file(path, data, mode="create")
            elif store.exists(path):
                raise FileExistsError(errno.EEXIST, "is there already")
            else:
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
        return ask(f"{self.url.rstrip('/')}/{name}", action)


def is_url(text: object) -> TypeGuard[str]:
    """Whether a path names a file by its URL."""
    return isinstance(text, str) and URL.match(text) is not None


def local_path(url: str) -> Path | None:
    """The path of a `file://` URL; None for other texts."""
    return Path(url2pathname("/" + url[7:].partition("/")[2])) if url[:7].lower() == "file://" else None


def located(path: str, size: int = 0, mtime_ns: int = 0) -> Location:
    """The file at a path or URL; what a listing said of it matters only for a URL."""
    return RemoteFile(path, size, mtime_ns) if is_url(path) else Path(path)


def absolute_path(path: str | Location) -> str:
    """A path that stays right when the working folder changes; URLs always do."""
    return str(path) if isinstance(path, RemoteFile) or is_url(path) else os.path.abspath(path)


def joined(folder: str, below: str) -> str:
    """The path or URL of a file below a folder; the reverse of `path_below`."""
    if not is_url(folder):
        return os.path.join(folder, below)
    return f"{folder.rstrip('/')}/{quote(below) if is_web(folder) else below}"


def is_there(file: Location) -> bool:
    """Whether there is a file, as far as can be told."""
    if isinstance(file, Path):
        return os.path.lexists(file)
    try:
        file.read(0, 1)
    except FileNotFoundError:
        return False
    except OSError:  # reading it will say why
        return True
    return True


def path_below(path: str | Location, folder: str | Path) -> str:
    """The path of a file below a folder, with slashes.

    Where there is no folder, or only one of the two is at a URL, it is the file's own path, without its first slashes.
    """
    file, above = absolute_path(path), absolute_path(folder) if folder else ""
    is_remote = is_url(file), is_url(above)
    start = f"{above}/" if is_remote[1] else os.path.join(above, "")
    if above and file.startswith(start):
        below = file.removeprefix(start)
    elif above and not any(is_remote):
        below = os.path.relpath(file, above)
    else:
        below = file.replace("://", "/", 1).lstrip("/")
    below = below if is_remote[0] else below.replace(os.sep, "/")
    return unquote(below) if is_web(file) else below


def find(url: str) -> Mapping[str, RemoteFile]:
    """All files below a URL, by their path below it; a single one called "" if the URL is that of a file.

    Raises:
        InputError: fsspec, or what it needs for such URLs, is not installed.
        OSError: they cannot be listed.
    """
    try:
        return ask(url, lambda store, path: _found(store, path, url))
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
        found[unquote(name) if is_web(url) else name] = _file(f"{top}/{name}", more.get(above + name, about))
    return found


def _file(url: str, about: Mapping[str, Any]) -> RemoteFile:
    if about.get("size") is None:
        raise OSError(errno.EINVAL, f"the server does not say how large {url} is")
    written = next((about[key] for key in TIMES if about.get(key)), 0)
    if isinstance(written, str):
        written = datetime.fromisoformat(written) if written[:1].isdigit() else parsedate_to_datetime(written)
    seconds = written.timestamp() if isinstance(written, datetime) else float(written)
    return RemoteFile(url, int(about["size"]), round(seconds * 1e6) * 1000)


def is_web(url: str) -> bool:
    """Whether browsers can open a URL. In these, `%20` stands for a space; in those of stores it does not."""
    return url.lower().startswith(("http:", "https:"))


def _fetch(file: RemoteFile, start: int, end: int) -> bytes:
    """Bytes of a file. At its end one more is asked for, to see whether it is longer than in the listing."""
    changed = OSError(errno.EINVAL, f"has changed since it was found, when it had {file.size:,} bytes")

    def read(store: Any, path: str) -> bytes:
        try:
            data = cast(bytes, store.cat_file(path, start=start, end=end + (end == file.size)))
        except Exception as error:
            raise changed if http_status(error) == 416 or "InvalidRange" in repr(error.__cause__) else error from error
        if len(data) > end - start + 1:
            raise OSError(errno.EINVAL, "its server sends no parts of files")
        if len(data) != end - start:
            raise changed
        return data

    return ask(file.url, read)


_blocks: BlockCache[RemoteFile] = BlockCache(_fetch, CACHE_BYTES)
